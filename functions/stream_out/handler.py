"""SQS FIFO "this lane has a backlog": take one destination forward in one source, or roll it up."""

import time
from typing import Any

import msgspec
from aws_lambda_powertools.utilities.batch import SqsFifoPartialProcessor, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from pce.runtime.metrics import write_line
from pce.runtime.wiring import wiring
from pce.streaming.lanes import Lane
from pce.usecases.roll_up_flows import ROLLUP, roll_up_flows
from pce.usecases.stream_records import stream_records

WORK_S = 25
"""How long new steps begin; the last one may take half a minute more. The next minute goes on."""


def handler(event: dict[str, Any], context: Any) -> Any:
    """A destination that fails is no failure of the message: it is tried again when due."""
    processor = SqsFifoPartialProcessor(skip_group_on_error=True)
    return process_partial_response(event, _stream, processor, context)


def _stream(record: SQSRecord) -> None:
    lane = Lane.named(msgspec.json.decode(record.body)["lane"])
    work = roll_up_flows if lane.destination == ROLLUP else stream_records
    done = work(lane, wiring(), time.time, time.time() + WORK_S)
    if done.failed or done.damaged:
        write_line({"level": "WARN", "lane": lane.name, **msgspec.to_builtins(done)})
