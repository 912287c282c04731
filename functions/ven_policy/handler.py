"""GET .../policy and POST .../policy/applied."""

import base64
import gzip

import msgspec

from pce.runtime.clock import now_s
from pce.runtime.http import Reply, Request, agent_of, http_function, json_body, json_reply
from pce.runtime.wiring import wiring
from pce.usecases.fetch_policy import fetch_policy
from pce.usecases.record_policy_applied import record_policy_applied
from ven_protocol.messages import PolicyApplied

GZIP_FROM_BYTES = 1_400
"""A reply that fits one packet is not worth compressing."""

MAX_ETAG = 64
"""Characters of an etag that are looked for: ours are shorter, and DynamoDB refuses long keys."""


@http_function
def handler(request: Request) -> Reply:
    """GET: 304, or 200 with a delta or the document. POST applied: 204."""
    token = agent_of(request)
    if request.method == "POST":
        applied = json_body(request, PolicyApplied)
        record_policy_applied(token, applied, wiring(), now_s())
        return json_reply(204)
    row = wiring().presence.sign_of_life(token, now_s())
    held = request.headers.get("if-none-match", "").strip().strip('"')[:MAX_ETAG]
    reply = fetch_policy(row, held, wiring().policies)
    etag = {"etag": f'"{row.target_etag}"'}
    if reply is None:
        return json_reply(304, headers=etag)
    body = msgspec.json.encode(reply)
    if len(body) < GZIP_FROM_BYTES or "gzip" not in request.headers.get("accept-encoding", ""):
        return json_reply(200, reply, etag)
    return {
        "statusCode": 200,
        "headers": {"content-type": "application/json", "content-encoding": "gzip", **etag},
        "body": base64.b64encode(gzip.compress(body, 6, mtime=0)).decode(),
        "isBase64Encoded": True,
    }
