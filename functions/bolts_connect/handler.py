"""WebSocket $connect: a VEN opens its bolt channel. The agent token is the only way in."""

from pce.errors import PceError
from pce.runtime.clock import now_s
from pce.runtime.http import Event, Reply, bearer_token, error_reply
from pce.runtime.wiring import wiring


def handler(event: Event, context: object) -> Reply:
    """200 opens the connection and notes it in the VEN's presence row; 401 refuses it."""
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    connection_id = event["requestContext"]["connectionId"]
    try:
        token = bearer_token(headers)
        wiring().presence.sign_of_life(
            token,
            now_s(),
            attributes={"ci": {"S": connection_id}},
            remove=("bo",),  # a bolt to the connection before it may not arrive
        )
    except PceError as error:
        return error_reply(error)
    return {"statusCode": 200}
