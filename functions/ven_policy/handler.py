"""GET .../policy and POST .../policy/applied."""

import base64
import gzip
import time

from pce.runtime.clock import now_s
from pce.runtime.http import Reply, Request, agent_of, http_function, json_body, json_reply
from pce.runtime.wiring import wiring
from pce.usecases.fetch_policy import fetch_policy
from pce.usecases.record_policy_applied import record_policy_applied
from ven_protocol.messages import PolicyApplied

MAX_ETAG = 64
"""Characters of an etag that are looked for: ours are shorter, and DynamoDB refuses long keys."""


@http_function
def handler(request: Request) -> Reply:
    """GET: 304, or 200 with a delta or the document. POST applied: 200 with what should be held."""
    token = agent_of(request)
    if request.method == "POST":
        applied = json_body(request, PolicyApplied)
        return json_reply(200, record_policy_applied(token, applied, wiring(), now_s()))
    asked_at = time.monotonic()
    # Whatever a bolt announced is answered with this.
    row = wiring().presence.sign_of_life(token, now_s(), remove=("bo",))
    held = request.headers.get("if-none-match", "").strip().strip('"')[:MAX_ETAG]
    fetched = fetch_policy(row, held, wiring(), asked_at)
    headers = {"etag": f'"{fetched.etag}"'}
    if fetched.gzipped is None:
        return json_reply(304, headers=headers)
    headers["content-type"] = "application/json"
    if "gzip" not in request.headers.get("accept-encoding", ""):
        body = gzip.decompress(fetched.gzipped).decode()
        return {"statusCode": 200, "headers": headers, "body": body}
    return {
        "statusCode": 200,
        "headers": {**headers, "content-encoding": "gzip"},
        "body": base64.b64encode(fetched.gzipped).decode(),
        "isBase64Encoded": True,
    }
