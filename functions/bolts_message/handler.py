"""WebSocket $default: a VEN's keep-alive. API Gateway needs to see it; nothing needs to answer.

The connection itself was authenticated when it was opened, and a message changes nothing: signs of
life come over HTTPS, where each proves its token again.
"""

from pce.runtime.http import Event, Reply


def handler(event: Event, context: object) -> Reply:
    """200, whatever the message was."""
    return {"statusCode": 200}
