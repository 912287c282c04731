"""SQS FIFO "org has work": compute the org's policy again."""

import time
from typing import Any

import msgspec
from aws_lambda_powertools.utilities.batch import SqsFifoPartialProcessor, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from pce.identifiers import OrgId
from pce.runtime.metrics import emit
from pce.runtime.wiring import wiring
from pce.usecases.compile_policy import compile_policy


def handler(event: dict[str, Any], context: Any) -> Any:
    """Compiles each org in the batch once. An org that fails is tried again, by itself."""
    compiled: set[OrgId] = set()

    def compile_org(record: SQSRecord) -> None:
        org_id = OrgId(msgspec.json.decode(record.body)["org_id"])
        if org_id in compiled:
            return  # all of these changes were there when it was compiled
        try:
            done = compile_policy(org_id, wiring(), time.time)
        except Exception:
            attempts = int(record.attributes.approximate_receive_count)
            wiring().queues.compile_again(record.receipt_handle, attempts)
            raise
        compiled.add(org_id)
        emit({"CompileLagSeconds": done.lag_s}, msgspec.to_builtins(done))

    # One processor an invocation: it keeps what it processed, and threads would share it.
    processor = SqsFifoPartialProcessor(skip_group_on_error=True)
    return process_partial_response(event, compile_org, processor, context)
