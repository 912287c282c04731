"""Random flow batches and directories, from tiny worlds so that ends and services meet again."""

import uuid
from random import Random

from hypothesis import strategies as st
from msgspec import Struct

from pce.flows.directory import Directory, Label, Workload
from ven_protocol.flow_columns import ICMP_PROTOCOLS
from ven_protocol.flows import FlowSummary
from ven_protocol.messages import Heartbeat, HostFacts

HEARTBEAT = Heartbeat(host=HostFacts(hostname="web-1", version="1.0.0"), uptime_seconds=1)
REPORTER = uuid.UUID("00000000-0000-4000-8000-00000000000a")
START, END = 1_800_000_000, 1_800_000_600

V4 = [bytes([10, 0, 0, n]) for n in range(1, 7)] + [b"\xe0\0\0\1", b"\xff\xff\xff\xff", bytes(4)]
V6 = [bytes.fromhex("20010db8") + bytes(11) + bytes([n]) for n in (1, 2)] + [b"\xff" * 16]
MAPPED = bytes(10) + b"\xff\xff" + V4[0]

texts = st.none() | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8
)
amounts = st.integers(0, 3) | st.integers(0, 2**20) | st.just(2**53 - 1)


@st.composite
def flow_summaries(draw, any_address=True, start=START, end=END):
    """One summary that the wire accepts."""
    edge = st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16)
    address = st.sampled_from([*V4, *V6, MAPPED]) | (edge if any_address else st.nothing())
    proto = draw(st.sampled_from([6, 17, 1, 58, 47, 0, 255]))
    icmp = proto in ICMP_PROTOCOLS
    first = draw(st.integers(start - 5000, end))
    bytes_in, bytes_out, before_in, before_out = draw(st.tuples(*[amounts] * 4))
    counted, timed = draw(st.booleans()), draw(st.booleans())
    lasted, before = draw(amounts), draw(amounts)
    return FlowSummary(
        src_ip=draw(address),
        dst_ip=draw(address),
        proto=proto,
        dst_port=0 if icmp else draw(st.sampled_from([0, 22, 443, 8080, 65535])),
        icmp_type=draw(st.sampled_from([0, 8, 255])) if icmp else None,
        icmp_code=draw(st.sampled_from([0, 3])) if icmp else None,
        dir=draw(st.sampled_from("IO")),
        state=draw(st.sampled_from(["A", "C", "T", "S", "N", ""])),
        pd=draw(st.integers(0, 3)),
        pd_qualifier=draw(st.none() | st.integers(0, 3)),
        transmission=draw(st.sampled_from("UMB")),
        count=draw(st.integers(1, 3) | st.just(2**32 - 1)),
        first=first,
        last=draw(st.integers(first, end)),
        process=draw(texts),
        user=draw(texts),
        service=draw(texts),
        fqdn=draw(texts),
        tbi=min(2**53 - 1, bytes_in + before_in) if counted else None,
        tbo=min(2**53 - 1, bytes_out + before_out) if counted else None,
        dbi=bytes_in if counted else None,
        dbo=bytes_out if counted else None,
        tdms=min(2**53 - 1, lasted + before) if timed else None,
        ddms=lasted if timed else None,
    )


LABELS = [
    Label(str(number), key, value)
    for number, (key, value) in enumerate(
        [("app", "shop"), ("app", "crm"), ("env", "prod"), ("env", "stage"), ("role", "web")], 1
    )
]


@st.composite
def workloads(draw):
    """A workload with at most one label of a key."""
    labels = {label.key: label for label in draw(st.lists(st.sampled_from(LABELS), max_size=4))}
    return Workload(
        id=draw(st.uuids()),
        hostname=draw(st.sampled_from(["", "web-1", "db-1.example.com", "wörk"])),
        labels=tuple(labels[key] for key in sorted(labels)),
        managed=draw(st.booleans()),
    )


def directories() -> st.SearchStrategy[Directory]:
    """Some of the world's addresses, and their workloads."""
    return st.dictionaries(st.sampled_from([*V4, *V6]), workloads(), max_size=8)


# --- Dense worlds: many flows between few ends, so that queries find something ---

REPORTERS = [uuid.UUID(int=n) for n in (1, 2)]
NAMES = ["plain", "a.example.com", "EXAMPLE.com", "other"]
PROGRAMS = ["nginx", "/usr/sbin/nginx", "C:\\Windows\\svchost.exe", "sshd"]


class Window(Struct):
    """What one reporter posted, and what each address was at the time."""

    reporter: uuid.UUID
    start: int
    flows: list[FlowSummary]
    directory: Directory


def random_windows(random: Random) -> list[Window]:
    """Up to five windows in a row, of two reporters, over ends and services that meet again."""
    workloads = [
        Workload(
            id=uuid.UUID(int=number),
            hostname=f"host-{number}",
            labels=tuple(
                label
                for key in ("app", "env", "role")
                for label in random.sample([x for x in LABELS if x.key == key], 1)
                if random.random() < 0.7
            ),
            managed=random.random() < 0.8,
        )
        for number in range(4)
    ]
    windows = []
    for number in range(random.randint(1, 5)):
        directory = {
            address: random.choice(workloads) for address in [*V4, *V6] if random.random() < 0.5
        }
        start = START - 600 * (number // 2)
        flows = [random_flow(random, start, start + 600) for _ in range(random.randint(1, 25))]
        windows.append(Window(REPORTERS[number % 2], start, flows, directory))
    return windows


def random_flow(random: Random, start: int, end: int) -> FlowSummary:
    """One summary; most are alike, so that they merge."""

    def mostly(usual, *others):
        return usual if random.random() < 0.6 else random.choice([usual, *others])

    proto = mostly(6, 17, 1, 58, 47)
    icmp = proto in ICMP_PROTOCOLS
    first = random.choice([start - 900, random.randint(start, end)])
    deltas = [random.randint(0, 99) for _ in range(3)]
    befores = [random.choice([0, random.randint(1, 99)]) for _ in range(3)]
    totals = [delta + before for delta, before in zip(deltas, befores, strict=True)]
    counted, timed = mostly(True, False), mostly(True, False)
    return FlowSummary(
        src_ip=random.choice([*V4[:4], *V6[:1], MAPPED]),
        dst_ip=mostly(V4[0], *V4, *V6),
        proto=proto,
        dst_port=0 if icmp else mostly(443, 0, 22, 8080),
        icmp_type=random.choice([0, 8]) if icmp else None,
        icmp_code=random.choice([0, 3]) if icmp else None,
        dir=mostly("I", "O"),
        state=mostly("A", "C", "T", "S", "N", ""),
        pd=mostly(0, 1, 2, 3),
        pd_qualifier=mostly(None, 0, 1, 2, 3),
        transmission=mostly("U", "M", "B"),
        count=random.randint(1, 9),
        first=first,
        last=random.choice([first, end, random.randint(first, end)]),
        process=mostly(None, *PROGRAMS),
        user=mostly(None, "root"),
        service=mostly(None, *PROGRAMS),
        fqdn=mostly(None, *NAMES),
        tbi=totals[0] if counted else None,
        tbo=totals[1] if counted else None,
        dbi=deltas[0] if counted else None,
        dbo=deltas[1] if counted else None,
        tdms=totals[2] if timed else None,
        ddms=deltas[2] if timed else None,
    )
