"""SQS FIFO "org has work": bring the org's policy up to date."""

import math
import time
from typing import Any

import msgspec
from aws_lambda_powertools.utilities.batch import SqsFifoPartialProcessor, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from pce.identifiers import OrgId
from pce.runtime.metrics import emit
from pce.runtime.wiring import wiring
from pce.usecases.compile_policy import Compiled, compile_policy

RESERVED_S = 20
"""For what follows the last presence row: bolts, the change log, and requests that hang."""


def handler(event: dict[str, Any], context: Any) -> Any:
    """Compiles each org in the batch once. An org that fails is tried again, by itself."""
    compiled: dict[OrgId, bool] = {}  # from scratch?

    def compile_org(record: SQSRecord) -> None:
        org_id = OrgId(msgspec.json.decode(record.body)["org_id"])
        attempts = int(record.attributes.approximate_receive_count)
        if org_id in compiled and (attempts == 1 or compiled[org_id]):
            return  # all of these changes were there when it was compiled
        try:
            # Who had this message before may have been killed half-way, or overtaken.
            done = compile_policy(
                org_id, wiring(), time.time, afresh=attempts > 1, until=_until(context)
            )
        except Exception:
            wiring().queues.compile_again(record.receipt_handle, attempts)
            raise
        compiled[org_id] = done.fresh
        if done.changes or done.fresh:
            _report(done)

    # One processor an invocation: it keeps what it processed, and threads would share it.
    processor = SqsFifoPartialProcessor(skip_group_on_error=True)
    return process_partial_response(event, compile_org, processor, context)


def _until(context: Any) -> float:
    """When to leave the rest to another attempt; rather than to be killed in the middle."""
    if context is None:
        return math.inf
    left_s: float = context.get_remaining_time_in_millis() / 1000
    return time.time() + left_s - RESERVED_S


def _report(done: Compiled) -> None:
    work = done.statistics
    metrics = {
        "CompileLagSeconds": done.lag_s,
        "ClassesAffected": work.classes_affected,
        "ClassesChanged": work.classes_changed,
        "SetDeltaMembers": work.members_added + work.members_removed,
        "PolicyBytes": done.bytes,
    }
    emit(metrics, msgspec.to_builtins(done))
