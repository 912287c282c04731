"""SQS FIFO "org has work": compute the org's policy again."""

import time
from typing import Any

import msgspec

from pce.identifiers import OrgId
from pce.runtime.http import Event
from pce.runtime.metrics import emit
from pce.runtime.wiring import wiring
from pce.usecases.compile_policy import compile_policy


def handler(event: Event, context: object) -> dict[str, Any]:
    """Compiles each org in the batch once. A failure fails the whole batch: what has been done is
    done again without harm, and order within an org is kept."""
    org_ids = {msgspec.json.decode(record["body"])["org_id"] for record in event["Records"]}
    for org_id in sorted(org_ids):
        compiled = compile_policy(OrgId(org_id), wiring(), time.time)
        emit({"CompileLagSeconds": compiled.lag_s}, msgspec.to_builtins(compiled))
    return {"batchItemFailures": []}
