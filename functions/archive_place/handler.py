"""Firehose: under which prefix of the archive does each record belong?"""

import base64
from typing import Any

from pce.streaming.archive_object import place_of


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Each record as it came, with its place as partition keys; what is none of ours goes to the
    error prefix."""
    return {"records": [_placed(record) for record in event["records"]]}


def _placed(record: dict[str, Any]) -> dict[str, Any]:
    same = {"recordId": record["recordId"], "data": record["data"]}
    try:
        place = place_of(base64.b64decode(record["data"]))
    except ValueError:
        return {**same, "result": "ProcessingFailed"}
    return {**same, "result": "Ok", "metadata": {"partitionKeys": place}}
