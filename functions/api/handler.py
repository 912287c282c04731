"""ANY /api/v2/{proxy+}: the management API; ``pce.runtime.api_routes`` lists its endpoints."""

from pce.runtime.api_routes import answer
from pce.runtime.clock import now
from pce.runtime.http import Reply, Request, http_function
from pce.runtime.wiring import wiring


@http_function
def handler(request: Request) -> Reply:
    """The answer of the endpoint that the path names."""
    return answer(request, wiring(), now())
