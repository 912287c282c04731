"""SQS queue of traffic queries: run each, leave its result in the archive."""

import time
from typing import Any

import msgspec

from pce.identifiers import OrgId
from pce.runtime.http import Event
from pce.runtime.metrics import log_error
from pce.runtime.wiring import wiring
from pce.usecases.run_traffic_query import run_traffic_query


def handler(event: Event, context: object) -> dict[str, Any]:
    """Names the messages that failed, so that SQS delivers those again."""
    failed = []
    for record in event["Records"]:
        try:
            work = msgspec.json.decode(record["body"])
            run_traffic_query(OrgId(work["org_id"]), work["query_id"], wiring(), time.time)
        except Exception as error:  # one bad message must not hold back the others
            log_error(error, {"message_id": record["messageId"]})
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}
