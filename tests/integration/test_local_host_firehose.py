"""The local host's Firehose: records end up where the deployed streams would put them."""

import asyncio
import base64
import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pce.identifiers import OrgId
from pce.streaming.archive_object import pieces
from pce_local.config import REPOSITORY
from pce_local.firehose import Firehose
from pce_local.functions import Functions
from pce_local.resources import RECORDS_BUCKET, StoreClients, ensure_resources
from pce_local.signatures import AwsKey
from pce_local.store_forwarding import StoreForwarder
from pce_local.store_process import StoreProcess

KEY = AwsKey("a", "b")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[StoreProcess]:
    with (tmp_path / "lock").open("w") as lock:
        store = StoreProcess(tmp_path / "store", tmp_path / "log", lock.fileno())
        try:
            ensure_resources(StoreClients.connect(store.url, KEY))
            yield store
        finally:
            store.stop()


def put(store: StoreProcess, stream: str, records: list[bytes]) -> Any:
    """The answer to PutRecordBatch."""
    functions = Functions(REPOSITORY / "functions")
    functions.load(["archive_place"])

    async def call() -> Any:
        forwarder = StoreForwarder(store.url, KEY)
        try:
            firehose = Firehose("https://pce.test:8443", functions, forwarder)
            body = {
                "DeliveryStreamName": stream,
                "Records": [{"Data": base64.b64encode(record).decode()} for record in records],
            }
            reply = await firehose.put_record_batch(json.dumps(body).encode())
            return reply.status, json.loads(reply.text or "")
        finally:
            await forwarder.close()

    try:
        return asyncio.run(call())
    finally:
        functions.close()


def objects(store: StoreProcess) -> dict[str, bytes]:
    """Folder -> content of every object."""
    s3 = StoreClients.connect(store.url, KEY).s3
    listed = s3.list_objects_v2(Bucket=RECORDS_BUCKET).get("Contents", [])
    return {
        re.sub(r"\d{4}/\d\d/\d\d/\d\d/[^/]+$", "HOUR", found["Key"]): s3.get_object(
            Bucket=RECORDS_BUCKET, Key=found["Key"]
        )["Body"].read()
        for found in listed
    }


def test_records_are_sorted_by_org_and_decision(store: StoreProcess) -> None:
    """One object a place, each a gzip file of JSON lines."""
    records = [
        piece
        for org, pd, number in ((1, 0, 1), (2, 2, 2), (1, 0, 3))
        for piece in pieces(OrgId(org), [{"number": number}], pd)
    ]
    status, answer = put(store, "summaries", records)
    assert (status, answer["FailedPutCount"], len(answer["RequestResponses"])) == (200, 0, 3)
    put(store, "auditable", list(pieces(OrgId(1), [{"number": 4}])))
    found = {
        folder: [json.loads(line)["number"] for line in gzip.decompress(body).splitlines()]
        for folder, body in objects(store).items()
    }
    assert found == {
        "pce.test/org_id=1/summaries/pd=0/HOUR": [1, 3],
        "pce.test/org_id=2/summaries/pd=2/HOUR": [2],
        "pce.test/org_id=1/auditable/HOUR": [4],
    }


def test_what_names_no_place_is_kept_apart(store: StoreProcess) -> None:
    """It is under ``errors``, not lost; an unknown stream is refused."""
    assert put(store, "summaries", [b"what is this"])[0] == 200
    assert objects(store) == {"errors/processing-failed/summaries/HOUR": b"what is this"}
    status, answer = put(store, "other", [b"x"])
    assert status == 400 and "no delivery stream other" in answer["message"]
