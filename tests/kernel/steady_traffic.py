"""Traffic of every kind between all hosts, all the time, every packet with the time when it was
sent, when it arrived and when its answer came back.

It runs in a process of its own, so that it goes on while the test changes policies. That process
plays all hosts: it asks on their behalf and answers on their behalf. Times are nanoseconds of the
monotonic clock, which all processes share.
"""

import contextlib
import heapq
import itertools
import multiprocessing
import selectors
import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection as Pipe
from typing import Literal

from pce.policy.traffic import Traffic
from tests.kernel.attempts import ICMP, ICMPV6, TCP, UDP, icmp_query
from tests.kernel.namespaces import Host

Kind = Literal["tcp", "udp", "connect", "ping"]
PORTS: dict[Kind, int] = {"tcp": 7001, "udp": 7002, "connect": 7003}
EVERY_NS: dict[Kind, int] = {
    "tcp": 10_000_000,
    "udp": 5_000_000,
    "connect": 20_000_000,
    "ping": 10_000_000,
}
"""Time between two messages of a stream."""
RENEWED_AFTER = {"udp": 200, "ping": 100, "tcp": 500}
"""Messages of a flow before another begins: a second of datagrams, five of a TCP connection."""
SILENCE_NS = 700_000_000
"""A TCP connection that hears nothing for so long is given up; one lost packet is repeated after
200 ms."""
PATIENCE_NS = 500_000_000
"""For a handshake: shorter than it takes for a SYN to be sent again (1 s)."""
ROUNDS = 20
"""Nothing is given up before the process had this many turns: it may have been asleep itself."""
LATE = 4096
"""Handshakes that wait for this process to accept them, on a machine that is busy."""
_MESSAGE = struct.Struct(">II8x")
"""Number of the flow, number of the message in it."""
SO_RCVBUFFORCE = 33
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Stream:
    """Messages of one kind from one host to another, as one flow after the other."""

    kind: Kind
    source: Host
    target: Host
    family: int

    @property
    def traffic(self) -> Traffic:
        match self.kind:
            case "ping" if self.family == 4:
                return Traffic(ICMP, icmp_type=8, icmp_code=0)
            case "ping":
                return Traffic(ICMPV6, icmp_type=128, icmp_code=0)
            case "udp":
                return Traffic(UDP, PORTS["udp"])
            case kind:
                return Traffic(TCP, PORTS[kind])


@dataclass(slots=True)
class Message:
    """One packet and its answer; 0 is never. Of a ping and of a handshake the arrival is not
    seen."""

    sent: int
    arrived: int = 0
    answered: int = 0


@dataclass(slots=True)
class Flow:
    """Messages between the same two sockets."""

    stream: Stream
    began: int
    messages: list[Message] = field(default_factory=list)
    cut: int = 0
    """When it was given up because nothing came back."""


class SteadyTraffic:
    """All streams at once, from entering the context to :meth:`finish`."""

    def __init__(self, streams: list[Stream]) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_play, args=(streams, theirs))

    def __enter__(self) -> "SteadyTraffic":
        self._process.start()
        assert self._pipe.recv() == "ready"
        return self

    def finish(self) -> list[Flow]:
        """Stop sending, and tell what was seen."""
        self._pipe.send("over")
        flows: list[Flow] = self._pipe.recv()
        return flows

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        self._process.join(10)
        if self._process.is_alive():
            self._process.kill()


def _play(streams: list[Stream], pipe: Pipe) -> None:
    stage = _Stage(streams)
    pipe.send("ready")
    with contextlib.suppress(EOFError):  # the test has failed and is gone
        stage.play(until=pipe.poll)
        pipe.recv()
        pipe.send(stage.flows)


class _Stage:
    """All hosts, played by one loop."""

    def __init__(self, streams: list[Stream]) -> None:
        self.flows: list[Flow] = []
        self.rounds = 0
        self._waiting = selectors.DefaultSelector()
        hosts = {stream.target for stream in streams} | {stream.source for stream in streams}
        for host, family in itertools.product(hosts, (4, 6)):
            datagrams = host.listen(PORTS["udp"], family, socket.SOCK_DGRAM)
            datagrams.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
            self.when_readable(datagrams, self._answer_datagram)
            for port, accept in (("tcp", self._accept), ("connect", self._accept_handshake)):
                server = host.listen(PORTS[port], family)  # type: ignore[index]
                server.listen(LATE)
                self.when_readable(server, accept)
        actors = {"udp": _Datagrams, "tcp": _Conversation, "connect": _Handshakes, "ping": _Pings}
        self._due: list[tuple[int, int, Stream, _Actor]] = [
            (0, number, stream, actors[stream.kind](self, stream))
            for number, stream in enumerate(streams)
        ]

    def play(self, until: Callable[[], bool]) -> None:
        while self.rounds % 16 or not until():
            now = time.monotonic_ns()
            while self._due[0][0] <= now:
                _, number, stream, actor = heapq.heappop(self._due)
                actor.turn(now)
                heapq.heappush(self._due, (now + EVERY_NS[stream.kind], number, stream, actor))
            self._listen(0.001)
        end = time.monotonic_ns() + 300_000_000
        while time.monotonic_ns() < end:
            self._listen(0.01)

    def _listen(self, seconds: float) -> None:
        self.rounds += 1
        for key, _events in self._waiting.select(seconds):
            # All that is there: a queue that overruns would look like a firewall that drops.
            with contextlib.suppress(OSError):
                while key.fileobj.fileno() >= 0:  # type: ignore[union-attr]
                    key.data(key.fileobj)

    def when_readable(self, opened: socket.socket, act: Callable[[socket.socket], None]) -> None:
        opened.setblocking(False)
        self._waiting.register(opened, selectors.EVENT_READ, act)

    def when_writable(self, opened: socket.socket, act: Callable[[socket.socket], None]) -> None:
        self._waiting.register(opened, selectors.EVENT_WRITE, act)

    def close(self, opened: socket.socket) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._waiting.unregister(opened)
        opened.close()

    def begin(self, stream: Stream) -> tuple[int, Flow]:
        """A new flow and its number."""
        self.flows.append(Flow(stream, time.monotonic_ns()))
        return len(self.flows) - 1, self.flows[-1]

    def messages(self, data: bytes) -> Iterator[Message]:
        for flow, number in _MESSAGE.iter_unpack(data):
            yield self.flows[flow].messages[number]

    def _answer_datagram(self, server: socket.socket) -> None:
        data, peer = server.recvfrom(_MESSAGE.size)
        for message in self.messages(data):
            message.arrived = time.monotonic_ns()
        server.sendto(data, peer)

    def hear(self, client: socket.socket) -> None:
        """A datagram that answers."""
        for message in self.messages(client.recv(_MESSAGE.size)):
            message.answered = time.monotonic_ns()

    def _accept(self, server: socket.socket) -> None:
        opened, _peer = server.accept()
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.when_readable(opened, self._answer_conversation)

    def _answer_conversation(self, server: socket.socket) -> None:
        # A message is sent whole and small, so it is never split.
        data = server.recv(1000 * _MESSAGE.size)
        if not data:
            self.close(server)
            return
        now = time.monotonic_ns()
        for message in self.messages(data):
            message.arrived = now
        server.send(data)

    def _accept_handshake(self, server: socket.socket) -> None:
        server.accept()[0].close()


class _Actor:
    """Sends the messages of one stream, one a turn."""

    def __init__(self, stage: _Stage, stream: Stream) -> None:
        self.stage, self.stream = stage, stream
        self.number, self.flow = -1, Flow(stream, 0)

    def turn(self, now: int) -> None:
        raise NotImplementedError

    def begin(self) -> None:
        self.number, self.flow = self.stage.begin(self.stream)

    def open(self, kind: int, proto: int = 0) -> socket.socket:
        domain = socket.AF_INET if self.stream.family == 4 else socket.AF_INET6
        with self.stream.source.entered():
            opened = socket.socket(domain, kind, proto)
        opened.setblocking(False)
        return opened

    def address(self, port: int = 0) -> tuple[str, int]:
        return self.stream.target.address(self.stream.family), port

    def next_message(self) -> bytes:
        """Its bytes; it counts as sent from now on."""
        self.flow.messages.append(Message(time.monotonic_ns()))
        return _MESSAGE.pack(self.number, len(self.flow.messages) - 1)


class _Datagrams(_Actor):
    def __init__(self, stage: _Stage, stream: Stream) -> None:
        super().__init__(stage, stream)
        self.sockets: list[socket.socket] = []

    def turn(self, now: int) -> None:
        if self.number < 0 or len(self.flow.messages) >= RENEWED_AFTER["udp"]:
            self.begin()
            self.sockets.append(self.open(socket.SOCK_DGRAM))
            self.sockets[-1].connect(self.address(PORTS["udp"]))
            self.stage.when_readable(self.sockets[-1], self.stage.hear)
            if len(self.sockets) > 2:  # the one before may still hear answers
                self.stage.close(self.sockets.pop(0))
        with contextlib.suppress(PermissionError):  # how the output hook says that it dropped it
            self.sockets[-1].send(self.next_message())


class _Pings(_Actor):
    def __init__(self, stage: _Stage, stream: Stream) -> None:
        super().__init__(stage, stream)
        self.socket = self.open(socket.SOCK_RAW, stream.traffic.proto)
        self.socket.connect(self.address())
        stage.when_readable(self.socket, self._hear)

    def turn(self, now: int) -> None:
        if self.number < 0 or len(self.flow.messages) >= RENEWED_AFTER["ping"]:
            self.begin()
        query = icmp_query(
            self.stream.traffic,
            self.number & 0xFFFF,
            len(self.flow.messages),
            self.next_message(),
        )
        with contextlib.suppress(PermissionError):
            self.socket.send(query)

    def _hear(self, opened: socket.socket) -> None:
        packet = opened.recv(200)
        start = (packet[0] & 15) * 4 if self.stream.family == 4 else 0
        if packet[start] not in (0, 129):  # the peer asks; the kernel answers
            return
        flow, number = _MESSAGE.unpack(packet[start + 8 :])
        if self.stage.flows[flow].stream is self.stream:
            self.stage.flows[flow].messages[number].answered = time.monotonic_ns()


class _Conversation(_Actor):
    """One TCP connection after the other."""

    def __init__(self, stage: _Stage, stream: Stream) -> None:
        super().__init__(stage, stream)
        self.socket: socket.socket | None = None
        self.connected = False
        self.awaited = 0
        self.round = 0

    def turn(self, now: int) -> None:
        if self.socket is None:
            self._connect()
        elif not self.connected:
            self._look(now)
        elif self._is_silent(now):
            self.flow.cut = now
            self._close()
        elif len(self.flow.messages) < RENEWED_AFTER["tcp"]:
            try:
                self.socket.send(self.next_message())
            except OSError:
                self.flow.cut = now
                self._close()
        elif self.awaited == len(self.flow.messages):
            self._close()

    def _connect(self) -> None:
        self.begin()
        self.socket = self.open(socket.SOCK_STREAM)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.connect_ex(self.address(PORTS["tcp"]))
        self.connected, self.awaited, self.round = False, 0, self.stage.rounds

    def _look(self, now: int) -> None:
        assert self.socket is not None
        try:
            self.socket.getpeername()
        except OSError:
            if now - self.flow.began > PATIENCE_NS:
                self._close()
            return
        self.connected = True
        self.stage.when_readable(self.socket, self._hear)

    def _is_silent(self, now: int) -> bool:
        messages = self.flow.messages
        while self.awaited < len(messages) and messages[self.awaited].answered:
            self.awaited += 1
            self.round = self.stage.rounds
        return (
            self.awaited < len(messages)
            and now - messages[self.awaited].sent > SILENCE_NS
            and self.stage.rounds - self.round > ROUNDS
        )

    def _hear(self, opened: socket.socket) -> None:
        data = opened.recv(1000 * _MESSAGE.size)
        if not data:
            self._close()
        now = time.monotonic_ns()
        for message in self.stage.messages(data):
            message.answered = now

    def _close(self) -> None:
        if self.socket is not None:
            self.stage.close(self.socket)
        self.socket = None


class _Handshakes(_Actor):
    """A new TCP connection at every turn, closed as soon as it stands."""

    def __init__(self, stage: _Stage, stream: Stream) -> None:
        super().__init__(stage, stream)
        self.waiting: list[tuple[int, int, socket.socket]] = []

    def turn(self, now: int) -> None:
        while self.waiting:
            began, round, opened = self.waiting[0]
            if now - began < PATIENCE_NS or self.stage.rounds - round < ROUNDS:
                break
            self.stage.close(self.waiting.pop(0)[2])
        self.begin()
        opened = self.open(socket.SOCK_STREAM)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.next_message()
        message = self.flow.messages[0]
        opened.connect_ex(self.address(PORTS["connect"]))
        self.stage.when_writable(opened, lambda client: self._connected(client, message))
        self.waiting.append((now, self.stage.rounds, opened))

    def _connected(self, opened: socket.socket, message: Message) -> None:
        if opened.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
            message.answered = time.monotonic_ns()
        self.stage.close(opened)
