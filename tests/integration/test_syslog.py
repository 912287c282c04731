"""Messages reach a real rsyslog over UDP, TCP and TLS; what does not arrive is noticed."""

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from pce.store.delivery import Undelivered
from pce.store.syslog import Receiver, send
from tests.fakes.pce import wait_until
from tests.fakes.syslog_receiver import SyslogReceiver, syslog_receiver


@pytest.fixture(scope="module")
def rsyslog(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SyslogReceiver]:
    with syslog_receiver(tmp_path_factory.mktemp("rsyslog")) as running:
        yield running


def numbered(kind: str, count: int) -> list[bytes]:
    header = "<14>1 2027-01-15T08:00:00.000Z pce.test app - id "
    return [f'{header}[meta sequenceId="{n}"] {kind} ünï {n}'.encode() for n in range(1, count + 1)]


def received(rsyslog: SyslogReceiver, kind: str, count: int) -> list[str]:
    """The texts of a kind, once all are there."""

    def seen() -> list[str]:
        return [line for line in rsyslog.raw if f"] {kind} " in line]

    wait_until(f"{count} of {kind}", lambda: len(seen()) >= count)
    return seen()


@pytest.mark.parametrize("framing", ["octet_counting", "lf"])
def test_over_tcp(rsyslog: SyslogReceiver, framing: str) -> None:
    """All of them, whole and in order, whichever way they are told apart."""
    messages = numbered(f"tcp-{framing}", 2_000)
    send(Receiver("127.0.0.1", rsyslog.tcp, framing=framing), messages)  # type: ignore[arg-type]
    found = received(rsyslog, f"tcp-{framing}", 2_000)
    assert found == [message.decode() for message in messages]


@pytest.mark.parametrize("address", ["localhost", "127.0.0.1", "::1"])
def test_over_tls_with_a_private_authority(rsyslog: SyslogReceiver, address: str) -> None:
    """A certificate for a name or an address, of an authority that the settings name."""
    messages = numbered(f"tls-{address}", 2_000)
    send(Receiver(address, rsyslog.tls, tls=True, ca_bundle=rsyslog.ca_bundle), messages)
    found = received(rsyslog, f"tls-{address}", 2_000)
    assert found == [message.decode() for message in messages]


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_over_udp(rsyslog: SyslogReceiver, address: str) -> None:
    """One datagram each, also one of 60,000 bytes."""
    kind = f"udp-{address}"
    messages = [*numbered(kind, 3), numbered(kind, 1)[0] + b"x" * 59_900]
    send(Receiver(address, rsyslog.udp, protocol=17), messages)
    found = received(rsyslog, kind, 4)
    assert sorted(found) == sorted(message.decode() for message in messages)


def test_a_certificate_that_is_not_trusted(rsyslog: SyslogReceiver) -> None:
    """Of an unknown authority, or for another name: nothing is sent, and the error says why."""
    with pytest.raises(Undelivered, match=r"not trusted.*tls_ca_bundle"):
        send(Receiver("localhost", rsyslog.tls, tls=True), numbered("untrusted", 1))
    other = Receiver("127.0.0.2", rsyslog.tls, tls=True, ca_bundle=rsyslog.ca_bundle)
    with pytest.raises(Undelivered):
        send(other, numbered("untrusted", 1))
    send(Receiver("127.0.0.1", rsyslog.tcp), numbered("after", 1))
    received(rsyslog, "after", 1)
    assert not [line for line in rsyslog.raw if "untrusted" in line]


@pytest.mark.parametrize("protocol", [6, 17])
def test_a_receiver_that_is_down(protocol: int) -> None:
    """A refused connection, or a host that says that nobody listens on the port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(Undelivered, match=r"syslog (TCP|UDP) 127\.0\.0\.1:"):
        send(Receiver("127.0.0.1", port, protocol), numbered("x", 2))


@contextlib.contextmanager
def listening(behave: str) -> Iterator[int]:
    """A receiver that accepts one connection and then ``resets`` it, ``stays`` without reading, or
    ``talks`` for as long as somebody listens."""
    with socket.socket() as server, contextlib.ExitStack() as kept:
        server.bind(("127.0.0.1", 0))
        server.listen()

        def serve() -> None:
            connection, _ = server.accept()
            if behave == "resets":
                connection.recv(10)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                connection.close()
            elif behave == "talks":
                with connection, contextlib.suppress(OSError):
                    while True:
                        connection.sendall(b"." * 1_000)
            else:
                kept.enter_context(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


def test_a_receiver_that_resets_has_not_received() -> None:
    """Whatever it read before: it may have thrown the rest away."""
    with listening("resets") as port, pytest.raises(Undelivered):
        send(Receiver("127.0.0.1", port), numbered("x", 5_000))


def test_a_receiver_that_does_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than its buffers hold: given up after the time-out. Less: its kernel has it all, and
    that it keeps the connection open is its own affair."""
    monkeypatch.setattr("pce.store.syslog.SEND_TIMEOUT_S", 0.2)
    monkeypatch.setattr("pce.store.syslog.CLOSE_TIMEOUT_S", 0.2)
    with listening("stays") as port, pytest.raises(Undelivered, match="no progress in time"):
        send(Receiver("127.0.0.1", port), [b"x" * 60_000] * 500)
    with listening("stays") as port:
        send(Receiver("127.0.0.1", port), numbered("x", 2))


def test_a_receiver_that_talks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without end, and without closing: it is listened to no longer than to any other."""
    monkeypatch.setattr("pce.store.syslog.CLOSE_TIMEOUT_S", 0.2)
    with listening("talks") as port, contextlib.suppress(Undelivered):
        send(Receiver("127.0.0.1", port), numbered("x", 2))


@pytest.mark.parametrize("address", ["169.254.169.254", "224.0.0.1", "0.0.0.0", "255.255.255.255"])
def test_addresses_that_no_receiver_has(address: str) -> None:
    """The cloud's metadata service above all."""
    with pytest.raises(Undelivered, match="no address of a receiver"):
        send(Receiver(address, 514), numbered("x", 1))
