"""SQS queue of bolts: post them to their connections, or find out whose they are."""

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
from pce.store.queues import BoltBatch, BoltMessage, WaveOrder, WavePart
from pce.usecases.send_bolts import send_bolts
from pce.usecases.send_wave import begin_wave, send_wave_part

_MESSAGE: msgspec.json.Decoder[BoltMessage] = msgspec.json.Decoder(BoltMessage)


def handler(event: dict[str, Any], context: Any) -> Any:
    """Names the messages that failed, so that SQS delivers those again."""
    processor = BatchProcessor(EventType.SQS)
    return process_partial_response(event, _handle, processor, context)


def _handle(record: SQSRecord) -> None:
    message, now = _MESSAGE.decode(record.body), now_s()
    match message:
        case BoltBatch():
            sent = send_bolts(message, wiring(), now)
            emit({"BoltsSent": sent.sent, "BoltsGone": sent.gone, "BoltsBusy": sent.busy}, {})
        case WaveOrder():
            begin_wave(message, wiring(), now)
        case WavePart():
            send_wave_part(message, wiring(), now)
