"""A large org on the local host's store: lists through the API's handler, and the whole as a file.

Times are those of a person who waits: store, handler and worker share the machine. The org is put
into the tables as pairings leave it, a VEN on each workload.
"""

import base64
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from bench.api import peak_mib
from bench.figure import Figure
from pce.identifiers import OrgId
from pce.objects.ven import new_ven
from pce.objects.workload import new_managed_workload
from pce.runtime.wiring import Wiring, wiring
from pce.store.presence_item import item_key
from pce_local.resources import BUCKET, StoreClients, ensure_resources
from pce_local.signatures import AwsKey
from pce_local.store_process import StoreProcess
from ven_protocol.messages import HostFacts, Interface

BUDGET_LIST_S = 1.0
BUDGET_EXPORT_MIB = 256.0
"""What an export of 100,000 may hold beside what its process needs to begin: the presence rows of
all, some thousand documents, and a part of the upload."""
LABELS = 80
TABLES = ("presence", "objects", "events", "flows", "policy")
FILLED_TOGETHER = 1_000


@contextlib.contextmanager
def _installation() -> Iterator[Wiring]:
    """An empty local store, and the wiring of handlers upon it."""
    key = AwsKey("bench", "bench")
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "lock").open("wb") as lock:
        store = StoreProcess(Path(folder) / "data", Path(folder) / "log", lock.fileno())
        try:
            queues = ensure_resources(StoreClients.connect(store.url, key))
            os.environ.update(
                {
                    **{f"PCE_{name.upper()}_TABLE": name for name in TABLES},
                    "PCE_BUCKET": BUCKET,
                    "PCE_COMPILE_QUEUE_URL": queues["compile.fifo"],
                    "PCE_BOLTS_QUEUE_URL": queues["bolts"],
                    "PCE_TRAFFIC_QUEUE_URL": queues["traffic_queries"],
                    "PCE_STREAMS_QUEUE_URL": queues["streams.fifo"],
                    "PCE_URL": "https://localhost",
                    "AWS_REGION": "us-east-1",
                    "AWS_ACCESS_KEY_ID": key.access_key,
                    "AWS_SECRET_ACCESS_KEY": key.secret_key,
                    "AWS_ENDPOINT_URL": store.url,
                }
            )
            yield wiring()
        finally:
            store.stop()


class _Org:
    """An org with so many VENs, and calls of its API."""

    def __init__(self, stores: Wiring, count: int) -> None:
        from functions.org_create.handler import handler as create

        self.created = create({"name": f"{count} hosts"}, None)
        self.path = f"/orgs/{self.created['org_id']}"
        self._stores = stores
        self._org_id = OrgId(self.created["org_id"])
        labels = []
        for number in range(LABELS):
            label = {"key": f"key{number % 4}", "value": f"v{number}"}
            labels.append({**label, "href": f"{self.path}/labels/{1_000 + number}"})
        by_id = {f"{1_000 + n:012d}": label for n, label in enumerate(labels)}
        stores.objects.put_all(self._org_id, "labels", by_id)
        ids = [uuid.uuid4() for _ in range(count)]
        batches = [range(at, min(count, at + FILLED_TOGETHER)) for at in range(0, count, 1_000)]
        documents: list[dict[str, Any]] = []
        with ThreadPoolExecutor(2) as pool:
            for made in pool.map(lambda batch: self._fill(ids, batch), batches):
                documents += made
        stores.directory.save(self._org_id, documents, labels)

    def _fill(self, ids: list[uuid.UUID], batch: range) -> list[dict[str, Any]]:
        """Store the hosts of these numbers; what the index needs of their workloads."""
        workloads, vens, rows = {}, {}, []
        for number in batch:
            id, address = ids[number], f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
            host = HostFacts(hostname=f"host-{number:06d}.example.com", version="1.2.3")
            workloads[str(id)] = new_managed_workload(
                org_id=self._org_id,
                ven_id=id,
                host=host,
                interfaces=[Interface(name="eth0", address=address, cidr_block=8)],
                label_hrefs=[
                    f"{self.path}/labels/{1_000 + 20 * k + number % 20}" for k in range(4)
                ],
                enforcement_mode="full",
                visibility_level="flow_summary",
                ven_type="server",
                cluster=None,
                agent_id=number,
                now=1_800_000_000,
            )
            vens[str(id)] = new_ven(
                org_id=self._org_id,
                ven_id=id,
                host=host,
                ven_type="server",
                machine_id=id.hex,
                pairing_profile_href=f"{self.path}/pairing_profiles/1",
                agent_id=number,
                now=1_800_000_000,
            )
            seen = {"hb": {"N": "1800000000"}, "up": {"N": "77"}, "th": {"B": id.bytes * 2}}
            stopped = {"st": {"S": "s"}} if number % 500 == 0 else {}
            rows.append({**item_key(self._org_id, id), **seen, **stopped})
        self._stores.objects.put_all(self._org_id, "workloads", workloads)
        self._stores.objects.put_all(self._org_id, "vens", vens)
        self._stores.dynamodb.put_all("presence", rows)
        return [{name: w[name] for name in _IN_INDEX} for w in workloads.values()]

    def get(self, collection: str, prefer: str = "", **query: str) -> Any:
        """The reply to a GET."""
        from functions.api.handler import handler

        key = f"{self.created['api_key']}:{self.created['api_secret']}".encode()
        authorization = f"Basic {base64.b64encode(key).decode()}"
        path = f"/api/v2{self.path}/{collection}"
        sent = {"authorization": authorization, "accept-encoding": "gzip", "prefer": prefer}
        event: dict[str, Any] = {
            "requestContext": {"http": {"method": "GET", "sourceIp": "192.0.2.1"}},
            "rawPath": path,
            "rawQueryString": urlencode(query),
            "headers": sent,
        }
        return handler(event, None)

    def seconds(self, collection: str, **query: str) -> float:
        """How long a list takes, the second time that a process makes it."""
        self.get(collection, **query)
        began = time.perf_counter()
        reply = self.get(collection, **query)
        taken = time.perf_counter() - began
        assert reply["statusCode"] == 200, reply["body"]
        return taken

    def export(self, collection: str) -> tuple[float, float]:
        """Seconds, and MiB by which a worker grows, to write the file of all."""
        reply = self.get(collection, "respond-async")
        job = reply["headers"]["location"].rpartition("/")[2]
        program = f"from bench import large_org; large_org.export_alone({self._org_id}, {job!r})"
        run = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )
        status = json.loads(self.get(f"jobs/{job}")["body"])["status"]
        assert status == "done", status
        seconds, grown = run.stdout.split()
        return float(seconds), float(grown)


_IN_INDEX = (
    *("href", "name", "hostname", "labels", "ven", "online", "enforcement_mode"),
    *("visibility_level", "interfaces", "os_type", "ven_version", "container_cluster"),
)


def export_alone(org_id: int, job_id: str) -> None:
    """Print what :meth:`_Org.export` returns; in a process of its own, whose peak is the
    export's."""
    from pce.usecases.run_export import run_export

    stores = wiring()
    stores.objects.get(OrgId(org_id), "jobs", job_id)
    before = peak_mib()
    began = time.perf_counter()
    run_export(OrgId(org_id), job_id, stores, time.time)
    taken = time.perf_counter() - began
    print(taken, peak_mib() - before)


_LISTS: tuple[tuple[str, dict[str, str]], ...] = (
    ("workloads", {"hostname": "host-0123"}),
    ("workloads", {}),
    ("vens", {"hostname": "host-0123"}),
    ("vens", {"status": "stopped"}),
    ("vens", {"version[lte]": "1.0"}),
    ("vens", {}),
)


def measure() -> list[Figure]:
    """Lists over 25,000 and 100,000 hosts, all of 25,000 at once, and all of 100,000 as a file."""
    with _installation() as stores:
        small = _Org(stores, 25_000)
        figures = list(_lists(small, 25_000, BUDGET_LIST_S))
        taken = small.seconds("workloads", max_results="200000")
        figures.append(Figure("all 25,000 workloads at once", taken, "s", None, True))
        large = _Org(stores, 100_000)
        figures += _lists(large, 100_000, None)
        for collection in ("workloads", "vens"):
            seconds, grown = large.export(collection)
            name = f"export of 100,000 {collection}"
            figures.append(Figure(name, seconds, "s", None, True))
            within = grown <= BUDGET_EXPORT_MIB
            figures.append(Figure(f"{name}, memory", grown, "MiB", BUDGET_EXPORT_MIB, within))
    return figures


def _lists(org: _Org, count: int, budget: float | None) -> Iterator[Figure]:
    for collection, query in _LISTS:
        taken = org.seconds(collection, **query)
        asked = " ".join(f"{name}={value}" for name, value in query.items()) or "the first 500"
        name = f"{collection}, {asked}, of {count:,}"
        yield Figure(name, taken, "s", budget, budget is None or taken <= budget)
