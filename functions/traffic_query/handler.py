"""SQS queue of traffic queries, exports, reports and runs of label mapping rules: do each, leave
its result in the archive."""

import time
from typing import Any

import msgspec
from aws_lambda_powertools.utilities.batch import (
    BatchProcessor,
    EventType,
    process_partial_response,
)
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from pce.identifiers import OrgId
from pce.runtime.wiring import wiring
from pce.usecases.run_export import run_export
from pce.usecases.run_label_mapping import run_label_mapping
from pce.usecases.run_report import run_report
from pce.usecases.run_traffic_query import run_traffic_query


def handler(event: dict[str, Any], context: Any) -> Any:
    """Names the messages that failed, so that SQS delivers those again."""
    return process_partial_response(event, _run, BatchProcessor(EventType.SQS), context)


def _run(record: SQSRecord) -> None:
    work = msgspec.json.decode(record.body)
    org_id = OrgId(work["org_id"])
    if "job_id" in work:
        run_export(org_id, work["job_id"], wiring(), time.time)
    elif "report_id" in work:
        run_report(org_id, work["report_id"], wiring(), time.time)
    elif "label_mapping_id" in work:
        run_label_mapping(org_id, work["label_mapping_id"], wiring(), time.time)
    else:
        run_traffic_query(org_id, work["query_id"], wiring(), time.time)
