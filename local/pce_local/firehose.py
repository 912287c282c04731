"""Firehose's PutRecordBatch: asks the product's function where each record belongs, and stores it.

As the deployed streams do (``infra/constructs/record_archive.py``), but at once instead of after a
quarter of an hour, and one object for each batch and place.
"""

import base64
import json
import uuid
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web

from pce_local.config import ACCOUNT, REGION
from pce_local.functions import Functions, HandlerFailed
from pce_local.resources import RECORDS_BUCKET
from pce_local.routes import ARCHIVE_PLACE
from pce_local.store_forwarding import StoreForwarder

TARGET = "Firehose_20150804."
"""How a request says that it is for Firehose."""

PREFIXES = {
    "summaries": "{fqdn}/org_id={org_id}/summaries/pd={pd}/{hour}/",
    "auditable": "{fqdn}/org_id={org_id}/auditable/{hour}/",
}
"""Stream -> prefix of its objects, by the record's place and the hour of its arrival."""

PLACE_TIMEOUT_S = 60.0


class Firehose:
    """The two delivery streams."""

    def __init__(self, url: str, functions: Functions, forwarder: StoreForwarder) -> None:
        """``url`` is the PCE's: its host name is the archive's first folder."""
        self._fqdn = urlsplit(url).hostname or ""
        self._functions = functions
        self._forwarder = forwarder

    async def put_record_batch(self, body: bytes) -> web.Response:
        """Store a batch; answers when the store has it."""
        request = json.loads(body)
        stream = request["DeliveryStreamName"]
        if stream not in PREFIXES:
            return _error("ResourceNotFoundException", f"there is no delivery stream {stream}")
        records = [
            {"recordId": str(number), "data": record["Data"]}
            for number, record in enumerate(request["Records"])
        ]
        event = {
            "invocationId": str(uuid.uuid4()),
            "deliveryStreamArn": f"arn:aws:firehose:{REGION}:{ACCOUNT}:deliverystream/{stream}",
            "region": REGION,
            "records": records,
        }
        try:
            placed = await self._functions.invoke(ARCHIVE_PLACE, event, PLACE_TIMEOUT_S)
            for prefix, content in self._objects(stream, placed["records"]).items():
                await self._store(f"{prefix}{stream}-{uuid.uuid4()}.json.gz", content)
        except (HandlerFailed, TimeoutError, aiohttp.ClientError) as error:
            return _error("ServiceUnavailableException", str(error), 503)
        answers = [{"RecordId": record["recordId"]} for record in records]
        return web.json_response({"FailedPutCount": 0, "RequestResponses": answers})

    def _objects(self, stream: str, placed: list[dict[str, Any]]) -> dict[str, bytes]:
        """Prefix -> content, in the order of the records."""
        hour = datetime.now(UTC).strftime("%Y/%m/%d/%H")
        objects: dict[str, bytes] = {}
        for record in placed:
            prefix = f"errors/processing-failed/{stream}/{hour}/"
            if record["result"] == "Ok":
                place = record["metadata"]["partitionKeys"]
                prefix = PREFIXES[stream].format(fqdn=self._fqdn, hour=hour, **place)
            objects[prefix] = objects.get(prefix, b"") + base64.b64decode(record["data"])
        return objects

    async def _store(self, key: str, content: bytes) -> None:
        target = f"/{RECORDS_BUCKET}/{key}"
        async with self._forwarder.send("PUT", target, {}, content) as reply:
            reply.raise_for_status()


def _error(kind: str, message: str, status: int = 400) -> web.Response:
    return web.json_response(
        {"message": message}, status=status, headers={"x-amzn-errortype": kind}
    )
