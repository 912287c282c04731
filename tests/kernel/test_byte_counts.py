"""Byte counts of flow summaries beside an independent witness: a capture of the same transfer.

``BYTES=1000000000 pytest tests/kernel/test_byte_counts.py -k large`` moves a gigabyte.
"""

import contextlib
import os
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel.judging_host import JudgingHost
from tests.kernel.namespaces import Host, Network
from tests.kernel.protected_host import eventually
from ven_protocol.flows import FlowSummary
from ven_protocol.policy import PolicyDocument

KILOBYTE, MEGABYTE = 1_000, 1_000_000
LARGE = int(os.environ.get("BYTES", 64 * MEGABYTE))
PORT = 443
ETHERNET_BYTES = 14
TOLERANCE = 0.01
LOSS = (
    "table bridge loss { chain c { type filter hook forward priority 0;"
    " numgen random mod 100 < 2 drop; }; }"
)


class Capture:
    """Packets of one TCP port that a host's interface carried, seen by AF_PACKET: not by conntrack,
    nftables or anything of the VEN's. Sizes are from the IP header on."""

    _ANY = socket.htons(3)
    _SNAP_BYTES = 96
    _SOL_PACKET, _STATISTICS, _FORCE_BUFFER = 263, 6, 33

    def __init__(self, host: Host, port: int) -> None:
        self.to_port = self.from_port = 0
        self._port = port
        with host.entered():
            self._tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, self._ANY)
            self._tap.setsockopt(socket.SOL_SOCKET, self._FORCE_BUFFER, 256 << 20)
            self._tap.bind(("eth0", 3))
        self._tap.settimeout(0.1)
        self._reader = threading.Thread(target=self._read)
        self._over = threading.Event()
        self._reader.start()

    def close(self) -> None:
        """Read what is left. Fails when the capture itself missed something."""
        self._over.set()
        self._reader.join()
        _, missed = struct.unpack("II", self._tap.getsockopt(self._SOL_PACKET, self._STATISTICS, 8))
        self._tap.close()
        assert missed == 0

    def _read(self) -> None:
        head = bytearray(self._SNAP_BYTES)
        while True:
            try:
                size = self._tap.recv_into(head, self._SNAP_BYTES, socket.MSG_TRUNC)
            except TimeoutError:
                if self._over.is_set():
                    return
                continue
            self._count(head, size - ETHERNET_BYTES)

    def _count(self, head: bytearray, size: int) -> None:
        version = head[ETHERNET_BYTES] >> 4
        proto, start = (head[23], 34) if version == 4 else (head[20], 54)
        if proto == socket.IPPROTO_TCP:
            source, target = struct.unpack_from(">HH", head, start)
            self.to_port += size if target == self._port else 0
            self.from_port += size if source == self._port else 0


COUNTING = PolicyDocument(
    mode="visibility_only", visibility="enhanced_data_collection", sets={}, rules=[]
)


@pytest.fixture
def provider(network: Network, tmp_path: Path) -> Iterator[JudgingHost]:
    yield from judging(network["db"], tmp_path / "db")


@pytest.fixture
def consumer(network: Network, tmp_path: Path) -> Iterator[JudgingHost]:
    yield from judging(network["web"], tmp_path / "web")


def judging(host: Host, folder: Path) -> Iterator[JudgingHost]:
    made = JudgingHost(host, folder)
    made.apply(COUNTING)
    try:
        yield made
    finally:
        made.close()


def transfer(client: Host, server: Host, family: int, up: int, down: int) -> None:
    """A connection that carries so many bytes each way, one after the other, and is closed."""

    def serve() -> None:
        peer, _ = listening.accept()
        with peer:
            peer.settimeout(120)
            receive(peer, up)
            send(peer, down)
            peer.recv(1)

    with contextlib.closing(server.listen(PORT, family)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        with client.connect(server, PORT, family, timeout_s=120) as own:
            send(own, up)
            receive(own, down)
        thread.join()


def send(to: socket.socket, size: int) -> None:
    block = bytes(MEGABYTE)
    while size > 0:
        size -= to.send(block[: min(size, MEGABYTE)])


def receive(by: socket.socket, size: int) -> None:
    block = bytearray(MEGABYTE)
    while size > 0:
        got = by.recv_into(block, min(size, MEGABYTE))
        assert got
        size -= got


def reported(host: JudgingHost) -> FlowSummary:
    """The one summary of the transfer."""
    (summary,) = (s for s in host.traffic_log() if s.dst_port == PORT)
    return summary


def retransmitted(host: Host) -> int:
    """TCP segments that a host has sent again."""
    names, values = (
        line.split()[1:]
        for line in host.run("cat", "/proc/net/snmp").splitlines()
        if line.startswith("Tcp:")
    )
    return int(values[names.index("RetransSegs")])


def assert_close(said: int | None, witnessed: int, moved: int) -> None:
    assert said is not None
    assert witnessed >= moved
    assert abs(said - witnessed) <= TOLERANCE * witnessed, (said, witnessed)


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("size", [KILOBYTE, MEGABYTE, pytest.param(LARGE, id="large")])
def test_bytes_are_those_that_a_capture_saw(
    network: Network, provider: JudgingHost, consumer: JudgingHost, family: int, size: int
) -> None:
    """Within 1 %, both directions, and the same whichever end reports: ``tbi`` is what went into
    the provider."""
    capture = Capture(provider.host, PORT)
    try:
        transfer(consumer.host, provider.host, family, up=size, down=size // 2)
    finally:
        capture.close()
    ours, theirs = reported(provider), reported(consumer)
    assert (ours.dir, theirs.dir) == ("I", "O")
    for summary in (ours, theirs):
        assert_close(summary.tbi, capture.to_port, size)
        assert_close(summary.tbo, capture.from_port, size // 2)
        assert (summary.dbi, summary.dbo) == (summary.tbi, summary.tbo)


@pytest.mark.parametrize("family", [4, 6])
def test_retransmitted_bytes_are_counted(
    network: Network, provider: JudgingHost, family: int
) -> None:
    """The switch loses 2 % of all packets; what the provider sent again it has sent twice. Packets
    are as on a wire here, not joined: so a loss is a segment, and each header is counted."""
    size = 4 * MEGABYTE
    for host in (network["web"], provider.host):
        host.run("ip", "link", "set", "eth0", "gso_max_segs", "1")
    before = retransmitted(provider.host)
    network.switch.run("nft", LOSS)
    capture = Capture(provider.host, PORT)
    try:
        transfer(network["web"], provider.host, family, up=size, down=size)
    finally:
        capture.close()
        network.switch.run("nft", "delete", "table", "bridge", "loss")
        for host in (network["web"], provider.host):
            host.run("ip", "link", "set", "eth0", "gso_max_segs", "65535")
    summary = reported(provider)
    assert retransmitted(provider.host) > before + 10
    headers = (52 if family == 4 else 72) * (size // 1_448)
    assert capture.from_port > size + headers + 10 * 1_448
    assert_close(summary.tbi, capture.to_port, size)
    assert_close(summary.tbo, capture.from_port, size)


@pytest.mark.parametrize("family", [4, 6])
def test_joined_packets_have_one_header(
    network: Network, provider: JudgingHost, family: int
) -> None:
    """Segments that the kernel hands on joined (up to 64 KB at once) count with one header: beside
    the same transfer in segments as on a wire, some 5 % are missing (less than 10 %: what a busy
    machine sends again counts on one side alone), and nothing of the data."""
    size = 4 * MEGABYTE
    said = []
    for segments in ("65535", "1"):
        for host in (network["web"], provider.host):
            host.run("ip", "link", "set", "eth0", "gso_max_segs", segments)
        transfer(network["web"], provider.host, family, up=size, down=0)
        said.append(reported(provider).tbi or 0)
    for host in (network["web"], provider.host):
        host.run("ip", "link", "set", "eth0", "gso_max_segs", "65535")
    joined, apart = said
    print(
        f"IPv{family}: joined {joined}, on a wire {apart}: {100 * (1 - joined / apart):.2f} % less"
    )
    assert size < joined < apart
    assert joined > 0.9 * apart


def test_a_long_transfer_is_reported_in_parts_that_add_up(
    network: Network, provider: JudgingHost
) -> None:
    """Each window has its own bytes and the total so far; together they are what the capture saw,
    and nothing is told twice."""
    capture = Capture(provider.host, PORT)
    parts: list[FlowSummary] = []
    with contextlib.closing(provider.host.listen(PORT)) as listening:
        client = network["web"].connect(provider.host, PORT)
        peer, _ = listening.accept()
        for size in (MEGABYTE, 10, 2 * MEGABYTE):
            sender = threading.Thread(target=send, args=(client, size))
            sender.start()
            receive(peer, size)
            sender.join()
            parts.append(reported(provider))
        client.close()
        peer.close()
    closed: list[FlowSummary] = []

    def ended() -> bool:
        closed.extend(s for s in provider.traffic_log() if s.dst_port == PORT)
        return any(s.state == "C" for s in closed)

    eventually(ended)
    capture.close()
    assert [s.state for s in parts] == ["A", "A", "A"]
    assert [s.count for s in parts] == [1, 1, 1]
    deltas = [s.dbi or 0 for s in (*parts, *closed)]
    assert sum(deltas) == closed[-1].tbi
    assert deltas[1] < 1_000 < MEGABYTE <= deltas[0]
    assert_close(sum(deltas), capture.to_port, 3 * MEGABYTE)
