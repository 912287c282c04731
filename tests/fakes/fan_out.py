"""What stands at both ends of the fan-out: the queue, and the connections."""

import json
from collections.abc import Sequence
from typing import Any

from pce.store.bolts import Outcome
from pce.store.queues import BoltBatch


class Queued:
    """Stands in for SQS: (message, seconds of delay), in order."""

    def __init__(self) -> None:
        self.messages: list[tuple[Any, int]] = []

    def send_bolts(self, messages: Sequence[tuple[Any, int]]) -> None:
        self.messages += messages

    def wake_compiler(self, org_id: Any, change_id: str) -> None:
        """The test compiles by itself."""

    def orders(self) -> list[tuple[str, int]]:
        """Connection and delay of each bolt."""
        return [
            (order.connection_id, delay_s)
            for message, delay_s in self.messages
            if isinstance(message, BoltBatch)
            for order in message.orders
        ]


class Connections:
    """Stands in for the management API: what each connection answers, ``sent`` by default."""

    def __init__(self, **outcomes: Outcome) -> None:
        self.outcomes = outcomes
        self.posted: list[tuple[str, dict[str, Any]]] = []

    def send(self, posts: Sequence[tuple[str, bytes]]) -> list[Outcome]:
        self.posted += [(connection, json.loads(message)) for connection, message in posts]
        return [self.outcomes.get(connection, "sent") for connection, _ in posts]
