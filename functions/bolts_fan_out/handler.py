"""SQS queue of bolts: post each to its connection."""

from typing import Any

import msgspec
from aws_lambda_powertools.utilities.batch import (
    BatchProcessor,
    EventType,
    process_partial_response,
)
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from pce.runtime.clock import now_s
from pce.runtime.metrics import emit
from pce.runtime.wiring import wiring
from pce.store.queues import BoltOrder
from pce.usecases.send_bolts import send_bolts

_ORDERS = msgspec.json.Decoder(list[BoltOrder])


def handler(event: dict[str, Any], context: Any) -> Any:
    """Names the messages that failed, so that SQS delivers those again."""
    processor = BatchProcessor(EventType.SQS)
    return process_partial_response(event, _send, processor, context)


def _send(record: SQSRecord) -> None:
    sent = send_bolts(_ORDERS.decode(record.body), wiring().bolts, wiring().presence, now_s())
    emit({"BoltsSent": sent.sent, "BoltsGone": sent.gone, "BoltsBusy": sent.busy}, {})
