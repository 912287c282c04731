"""The local host's Firehose: records end up where the deployed streams would put them."""

import asyncio
import base64
import gzip
import json
import re
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb
import pytest

from infra.archive_columns import EVENTS, SUMMARIES
from pce.flows.batch import pack, unpack
from pce.flows.directory import Label, Workload
from pce.flows.summary import summary_json
from pce.identifiers import OrgId
from pce.streaming.archive_object import pieces
from pce_local.config import REPOSITORY
from pce_local.firehose import Firehose
from pce_local.functions import Functions
from pce_local.resources import RECORDS_BUCKET, StoreClients, ensure_resources
from pce_local.signatures import AwsKey
from pce_local.store_forwarding import StoreForwarder
from pce_local.store_process import StoreProcess
from tests.property.flow_batches import HEARTBEAT
from ven_protocol.flows import FlowSummary, decode_batch, encode_batch

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


def written_archive(store: StoreProcess, folder: Path) -> Path:
    """The archive's bucket as files; the glob of one's objects is what a table's location is."""
    s3 = StoreClients.connect(store.url, KEY).s3
    for found in s3.list_objects_v2(Bucket=RECORDS_BUCKET).get("Contents", []):
        path = folder / found["Key"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(s3.get_object(Bucket=RECORDS_BUCKET, Key=found["Key"])["Body"].read())
    return folder


def table(columns: Mapping[str, str], files: Path) -> duckdb.DuckDBPyRelation:
    """The archive's columns and folders for DuckDB, whose names of types are others."""
    names = {"string": "VARCHAR", "int": "INTEGER", "map<string,string>": "MAP(VARCHAR, VARCHAR)"}
    return duckdb.read_json(
        str(files),
        columns={name: names.get(kind, kind) for name, kind in columns.items()},
        format="newline_delimited",
        compression="gzip",
        hive_partitioning=True,
    )


def test_another_reader_reads_the_archive(store: StoreProcess, tmp_path: Path) -> None:
    """DuckDB, as Athena would: gzip members behind each other in one object are one file, folders
    are partitions, and the tables' columns fit what is written."""
    own, peer = bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])
    who = {own: Workload(uuid.UUID(int=1), 'web "1"\n', (Label("1", "app", "shop"),))}
    usual: dict[str, Any] = {"src_ip": peer, "dst_ip": own, "dir": "I", "first": 1, "last": 2}
    flow = FlowSummary(
        **usual, proto=6, dst_port=443, pd=0, state="C", count=2, process="nginx",
        tbi=2**50, tbo=2, dbi=2**50, dbo=1, tdms=1, ddms=1,
    )  # fmt: skip
    ping = FlowSummary(**usual, proto=1, icmp_type=8, icmp_code=0, pd=2, pd_qualifier=1)
    posted = decode_batch(encode_batch(1, 1, 601, HEARTBEAT, [flow] * 5_000 + [ping]))
    documents = summary_json(unpack(pack(posted, uuid.UUID(int=1), who)), OrgId(1), "pce", "Home")
    records = [
        piece
        for pd in (0, 2)
        for piece in pieces(OrgId(1), [d for d in documents if d["pd"] == pd], pd)
    ]
    assert len(records) == 3  # of which two share an object
    put(store, "summaries", records)
    event = {"href": "/orgs/1/events/x", "event_type": "user.login", "action": {"api": ["a"]}}
    put(store, "auditable", [*pieces(OrgId(1), [event]), *pieces(OrgId(1), [event])])
    archive = written_archive(store, tmp_path / "archive") / "pce.test"
    summaries = table(SUMMARIES, archive / "org_id=*/summaries/pd=*/*/*/*/*/*.json.gz")
    assert summaries.query(
        "summaries",
        "SELECT pd, dst_port, dst_labels['app'], dst_hostname, class, count(*), sum(count),"
        " max(dst_tbi), sum(dst_dbo) FROM summaries WHERE org_id = 1 GROUP BY ALL ORDER BY pd",
    ).fetchall() == [
        (0, 443, "shop", 'web "1"\n', "U", 5_000, 10_000, 2**50, 5_000),
        (2, 0, "shop", 'web "1"\n', "U", 1, 1, None, None),
    ]
    events = table(EVENTS, archive / "org_id=1/auditable/*/*/*/*/*.json.gz")
    assert (
        events.query(
            "events", "SELECT event_type, json_extract_string(action, '$.api[0]') FROM events"
        ).fetchall()
        == [("user.login", "a")] * 2
    )


def test_what_names_no_place_is_kept_apart(store: StoreProcess) -> None:
    """It is under ``errors``, not lost; an unknown stream is refused."""
    assert put(store, "summaries", [b"what is this"])[0] == 200
    assert objects(store) == {"errors/processing-failed/summaries/HOUR": b"what is this"}
    status, answer = put(store, "other", [b"x"])
    assert status == 400 and "no delivery stream other" in answer["message"]
