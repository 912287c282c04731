"""The emulator's application with two doors, run by the emulator's own interpreter (`hypercorn`).

The plain port is AWS: the CDK and the functions talk to it. The TLS port is the deployed PCE, as a
custom domain would be: HTTP goes to the HTTP API, WebSocket to the WebSocket API, presigned URLs to
S3. Which APIs those are is known after the deployment, so they are read from a file then.

Environment: PCE_FRONT_PLAIN_PORT, PCE_FRONT_ROUTES (a JSON file with `http` and `websocket`).
"""

import json
import os
from pathlib import Path

from ministack.app import app as emulator
from ministack.core import iam_actions

_action_of = iam_actions.extract_iam_action


def _action_as_aws_names_it(*request, **more):
    """SQS asks for the right to SendMessage for a batch too; the emulator for one that AWS does not
    know."""
    action = _action_of(*request, **more)
    return "sqs:SendMessage" if action == "sqs:SendMessageBatch" else action


iam_actions.extract_iam_action = _action_as_aws_names_it

PLAIN_PORT = os.environ["PCE_FRONT_PLAIN_PORT"]
ROUTES = Path(os.environ["PCE_FRONT_ROUTES"])


async def app(scope, receive, send):
    """ASGI: pass everything on, with the Host header that leads to the right place."""
    if scope["type"] not in ("http", "websocket"):
        await emulator(scope, receive, send)
        return
    headers = [(name, value) for name, value in scope["headers"] if name != b"x-forwarded-proto"]
    if scope["scheme"] in ("https", "wss") and b"X-Amz-Signature=" not in scope["query_string"]:
        api_id = json.loads(ROUTES.read_text())[scope["type"]]
        host = f"{api_id}.execute-api.localhost:{PLAIN_PORT}".encode()
        headers = [(name, value) for name, value in headers if name not in (b"host", b":authority")]
        headers.append((b"host", host))
    # The queues and the bucket refuse what did not come by TLS. Functions reach the emulator over
    # loopback without it; that they must use TLS on AWS is asserted on the template.
    headers.append((b"x-forwarded-proto", b"https"))
    await emulator({**scope, "headers": headers}, receive, send)
