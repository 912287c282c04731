"""What a flow batch costs: microseconds and bytes for 300 summaries, and a query over many."""

import gzip
import time
import uuid
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

from bench.figure import Figure
from pce.flows.answer import run_query
from pce.flows.batch import pack, unpack
from pce.flows.directory import Directory, Label, Workload, addresses_of
from pce.flows.query import validate_query
from pce.flows.rollup import pack_rollup, roll_up
from pce.flows.selection import IpListContent
from ven_protocol.compression import inflate
from ven_protocol.flows import FlowSummary, State, decode_batch, encode_batch
from ven_protocol.messages import Heartbeat, HostFacts

ROWS = 300
"""The sizing rule: summaries of a workload in ten minutes."""
KNOWN, STRANGERS = 40, 30
"""Its peers: workloads of the org, and other addresses. Each known one costs 20
bytes, most of them its UUID."""
END = 1_800_000_000
REPEATS = 20
BATCHES_QUERIED = 500
KIB = 1024

HEARTBEAT = Heartbeat(
    host=HostFacts(hostname="web-prod-0007", version="1.0.0", os_id="ubuntu-x86_64-24.04"),
    uptime_seconds=86_400,
)
OWN = bytes([10, 1, 7, 9])
LABELS = {
    "app": ("shop", "crm", "hr", "billing", "search"),
    "env": ("prod", "stage"),
    "loc": ("fra", "ams", "nyc"),
    "role": ("web", "db", "app", "cache", "lb", "bastion"),
}
INBOUND = (
    (443, "/usr/sbin/nginx", "www-data", 6),
    (22, "/usr/sbin/sshd", "root", 1),
    (9100, "/usr/bin/node_exporter", "prometheus", 2),
    (8080, "/usr/bin/java", "tomcat", 3),
)
OUTBOUND = ((5432, 6), (6379, 6), (53, 17), (389, 6), (443, 6), (123, 17), (8200, 6), (9092, 6))


def measure() -> list[Figure]:
    """Decoding to stored bytes on one core, sizes, and queries over many batches."""
    figures = []
    bodies = []
    for counted, budget_kb, name in ((False, 3, "without"), (True, 5, "with")):
        posts = [_post(seed, counted) for seed in range(10)]
        stored = [_store(*post) for post in posts]
        per_second = ROWS * len(posts) / _seconds(partial(_store_all, posts))
        figures += [
            Figure(
                f"flow ingest, gzip to stored, {name} byte counts",
                per_second,
                "summaries/s",
                80_000,
                per_second >= 80_000,
            ),
            _size(f"stored batch of {ROWS}, {name} byte counts", stored, budget_kb),
        ]
        bodies += stored
    post = _post(0, True)[0]
    figures.append(Figure(f"posted batch of {ROWS}, gzip", len(post) / KIB, "KiB", None, True))
    rolled = _seconds(partial(_roll_up, bodies))
    name = "flows, stored batches with and without byte counts to a rollup"
    figures.append(Figure(name, len(bodies) * ROWS / rolled, "summaries/s", None, True))
    figures += _queries([bodies[number % len(bodies)] for number in range(BATCHES_QUERIED)])
    return figures


def _size(name: str, stored: list[bytes], budget_kib: int) -> Figure:
    kib = sum(map(len, stored)) / len(stored) / KIB
    return Figure(name, kib, "KiB", budget_kib, kib <= budget_kib)


def _post(seed: int, counted: bool) -> tuple[bytes, Directory]:
    random = Random(seed)
    known = [
        bytes([10, random.randrange(1, 4), random.randrange(16), random.randrange(1, 255)])
        for _ in range(KNOWN)
    ]
    strangers = [
        bytes([random.choice([13, 20, 34, 52, 104, 142, 185]), *random.randbytes(3)])
        for _ in range(STRANGERS)
    ]
    flows = [_flow(random, known, strangers, counted) for _ in range(ROWS)]
    directory = {address: _workload(random) for address in [OWN, *known]}
    body = encode_batch(1, END - 600, END, HEARTBEAT, flows)
    return gzip.compress(body, compresslevel=6), directory


def _workload(random: Random) -> Workload:
    ids = {
        (key, value): str(number)
        for number, (key, value) in enumerate(
            (key, value) for key, values in LABELS.items() for value in values
        )
    }
    values = {key: random.choice(values) for key, values in LABELS.items()}
    return Workload(
        id=uuid.UUID(int=random.getrandbits(128)),
        hostname=f"{values['role']}-{values['env']}-{random.randrange(10_000):04d}",
        labels=tuple(Label(ids[item], *item) for item in values.items()),
    )


def _flow(random: Random, known: list[bytes], strangers: list[bytes], counted: bool) -> FlowSummary:
    """One summary of a busy server: two thirds inbound, a few blocked, half of the active old."""
    peer = random.choice(known if random.random() < 0.8 else strangers)
    inbound, blocked = random.random() < 0.65, random.random() < 0.06
    process = user = None
    proto = 6
    if blocked:
        port = random.choice([23, 445, 3389, 5900, 8443])
    elif inbound:
        port, process, user, _ = random.choices(INBOUND, [service[3] for service in INBOUND])[0]
    else:
        port, proto = random.choice(OUTBOUND)
    state: State = "N" if blocked else random.choices(("A", "C", "T"), (1, 5, 4))[0]
    count = 1 if blocked else min(5000, int(random.paretovariate(0.9)))
    last = END - random.randrange(600)
    measures: dict[str, Any] = {}
    if counted and not blocked:
        old = 5 if state == "A" and random.random() < 0.5 else 1
        bytes_in = int(count * random.lognormvariate(7.3, 1.2))
        bytes_out = int(count * random.lognormvariate(8.3, 1.6))
        lasted = int(count * random.lognormvariate(6, 2))
        measures = {
            "tbi": bytes_in * old,
            "tbo": bytes_out * old,
            "dbi": bytes_in,
            "dbo": bytes_out,
            "tdms": lasted * old,
            "ddms": lasted,
        }
    return FlowSummary(
        src_ip=peer if inbound else OWN,
        dst_ip=OWN if inbound else peer,
        proto=proto,
        dst_port=port,
        dir="I" if inbound else "O",
        state=state,
        pd=2 if blocked else random.choices((0, 1), (9, 1))[0],
        pd_qualifier=0 if blocked else None,
        count=count,
        first=last - min(599, int(random.expovariate(1 / 60))),
        last=last,
        process=process,
        user=user,
        **measures,
    )


def _store(body: bytes, directory: Directory) -> bytes:
    """All that happens between the request's bytes and the item's."""
    batch = decode_batch(inflate(body))
    asked = {address: directory[address] for address in addresses_of(batch) & directory.keys()}
    return pack(batch, uuid.UUID(int=1), asked)


def stored_batches(count: int) -> list[bytes]:
    """Stored batches with byte counts, for other benchmarks."""
    return [_store(*_post(seed, True)) for seed in range(count)]


def _store_all(posts: list[tuple[bytes, Directory]]) -> None:
    for post in posts:
        _store(*post)


def _unpack(bodies: list[bytes]) -> None:
    for body in bodies:
        unpack(body)


def _roll_up(bodies: list[bytes]) -> None:
    pack_rollup(roll_up(map(unpack, bodies)))


class _Org:
    """Has one label, and nothing else that a query names."""

    def label_ids(self, href: str) -> frozenset[str] | None:
        return frozenset({"0"})

    def workload_id(self, href: str) -> uuid.UUID | None:
        return None

    def ip_list(self, href: str) -> IpListContent | None:
        return None


def _queries(bodies: list[bytes]) -> list[Figure]:
    rows = len(bodies) * ROWS
    blocked_on_a_port = {
        "sources": {"include": [[{"label": {"href": "/orgs/1/labels/0"}}]]},
        "services": {"include": [{"port": 3389, "proto": 6}]},
        "policy_decisions": ["blocked"],
    }
    figures = [
        Figure(
            "unpack a stored batch",
            _seconds(partial(_unpack, bodies[:40])) / 40 * 1e6,
            "us",
            None,
            True,
        )
    ]
    for name, document in (("everything", {}), ("blocked on a port", blocked_on_a_port)):
        query = validate_query(document)
        seconds = _seconds(partial(run_query, query, bodies, _Org()), repeats=3)
        figures.append(Figure(f"traffic query, {name}", rows / seconds, "summaries/s", None, True))
    return figures


def _seconds(work: Callable[[], object], repeats: int = REPEATS) -> float:
    """The best of several runs: what the code costs, not what else the machine did."""
    best = float("inf")
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
    return best


if __name__ == "__main__":
    for figure in measure():
        print(figure)
