"""Posts to WebSocket connections through API Gateway's management API."""

from typing import Literal

from botocore.exceptions import ClientError

from pce.store.aws import aws_client, error_code

Outcome = Literal["sent", "gone", "busy"]


class BoltSender:
    """Hands bolts to open connections."""

    def __init__(self, management_url: str, region: str) -> None:
        self._client = aws_client("apigatewaymanagementapi", region, management_url)

    def send(self, connection_id: str, message: bytes) -> Outcome:
        """Post one message. ``gone``: the connection does not exist any more; ``busy``: a rate
        limit, or this client reads too slowly. A bolt is a hint: nothing here is an error."""
        try:
            self._client.post_to_connection(ConnectionId=connection_id, Data=message)
        except ClientError as error:
            code = error_code(error)
            if code in ("GoneException", "410"):
                return "gone"
            if code in ("LimitExceededException", "429"):
                return "busy"
            raise
        return "sent"
