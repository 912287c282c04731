"""SQS queue of bolts: post each to its connection."""

from typing import Any

import msgspec

from pce.runtime.clock import now_s
from pce.runtime.http import Event
from pce.runtime.metrics import emit, log_error
from pce.runtime.wiring import wiring
from pce.store.queues import BoltOrder
from pce.usecases.send_bolts import send_bolts

_ORDERS = msgspec.json.Decoder(list[BoltOrder])


def handler(event: Event, context: object) -> dict[str, Any]:
    """Names the messages that failed, so that SQS delivers those again."""
    failed = []
    for record in event["Records"]:
        try:
            orders = _ORDERS.decode(record["body"])
            sent = send_bolts(orders, wiring().bolts, wiring().presence, now_s())
            emit({"BoltsSent": sent.sent, "BoltsGone": sent.gone, "BoltsBusy": sent.busy}, {})
        except Exception as error:  # one bad message must not hold back the others
            log_error(error, {"message_id": record["messageId"]})
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}
