"""ANY /api/v2/{proxy+}: the management API; ``pce.runtime.api_routes`` lists its endpoints."""

import gc

from pce.runtime.api_answer import answer
from pce.runtime.clock import now
from pce.runtime.http import Reply, Request, http_function
from pce.runtime.wiring import wiring

gc.set_threshold(100_000)
"""Objects made before garbage is looked for: a policy of 20,000 rules is half a million, and two
thirds of the time of an answer went into looking."""


@http_function
def handler(request: Request) -> Reply:
    """The answer of the endpoint that the path names."""
    return answer(request, wiring(), now())
