"""Established connections follow the policy: cut when it narrows, untouched when it does not."""

import contextlib
import random
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.kernel.namespaces import Host, Network
from tests.kernel.protected_host import HTTP, ProtectedHost, allow, eventually, policy
from ven.core.kernel import Decision
from ven_protocol.policy import PolicyDocument, Service

SO_RCVBUFFORCE = 33


class Conversation:
    """A TCP connection, both ends in hand."""

    def __init__(self, client: Host, server: Host, port: int, family: int = 4) -> None:
        with contextlib.closing(server.listen(port, family)) as listening:
            self.client = client.connect(server, port, family)
            self.server, _ = listening.accept()
        for end in (self.client, self.server):
            # A message is one packet, and one that was lost is sent again soon.
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        assert self.passes()

    def passes(self) -> bool:
        """Whether a message each way arrives."""
        return self.arrives(self.client, self.server) and self.arrives(self.server, self.client)

    @staticmethod
    def arrives(sender: socket.socket, receiver: socket.socket, within_s: float = 0.5) -> bool:
        sender.send(b"x")
        receiver.settimeout(within_s)
        try:
            return bool(receiver.recv(1000))
        except TimeoutError:
            return False

    def close(self) -> None:
        self.client.close()
        self.server.close()


@contextlib.contextmanager
def conversation(
    client: Host, server: Host, port: int = 80, family: int = 4
) -> Iterator[Conversation]:
    opened = Conversation(client, server, port, family)
    try:
        yield opened
    finally:
        opened.close()


def lets_in(*members: str) -> PolicyDocument:
    return policy("full", {"peers": sorted(members)}, allow(["peers"], HTTP))


@pytest.mark.parametrize("family", [4, 6])
def test_a_removed_peer_is_cut_at_its_next_packet(
    network: Network, db: ProtectedHost, family: int
) -> None:
    """The server hears no more of it, while another peer's connection goes on; when the peer
    comes back, so does its connection."""
    web, other = network["web"], network["other"]
    web_address, other_address = web.address(family), other.address(family)
    db.apply(lets_in(web_address, other_address))
    with (
        conversation(web, db.host, family=family) as removed,
        conversation(other, db.host, family=family) as kept,
    ):
        db.apply(lets_in(other_address))
        assert not removed.arrives(removed.client, removed.server)
        assert kept.passes()
        db.apply(lets_in(web_address, other_address))
        # TCP repeats what was lost; how soon is its own affair.
        assert eventually(lambda: removed.arrives(removed.client, removed.server))
        assert kept.passes()


def test_a_removed_peer_is_not_talked_to_either(network: Network, db: ProtectedHost) -> None:
    """The first packet after the change goes from the server to the peer, and is stopped: a stream
    that needs no answer ends too."""
    web = network["web"]
    udp = Service(proto=17, port=53)
    with (
        contextlib.closing(db.host.listen(53, kind=socket.SOCK_DGRAM)) as server,
        contextlib.closing(web.listen(5353, kind=socket.SOCK_DGRAM)) as client,
    ):
        db.apply(policy("full", {"web": [web.ipv4]}, allow(["web"], udp)))
        client.sendto(b"send me all", (db.host.ipv4, 53))
        _, peer = server.recvfrom(100)
        server.sendto(b"first", peer)
        assert client.recv(100) == b"first"
        db.apply(policy("full", {"web": ["10.77.0.99"]}, allow(["web"], udp)))
        with contextlib.suppress(PermissionError):  # how the output hook says that it dropped it
            server.sendto(b"second", peer)
        dropped = db.drop(proto=17)
        assert (dropped.direction, dropped.dst_port) == ("I", 53)
        assert dropped.src == socket.inet_aton(web.ipv4)
        # It did not arrive: what arrives next was sent later.
        db.apply(policy("full", {"web": [web.ipv4]}, allow(["web"], udp)))
        server.sendto(b"third", peer)
        assert client.recv(100) == b"third"


CHANGES: list[Callable[[Host], PolicyDocument]] = [
    lambda web: policy("full", {"peers": [web.ipv4]}),
    lambda web: policy("full", {"peers": [web.ipv4]}, allow(["peers"], Service(proto=6, port=81))),
    lambda web: policy(
        "full",
        {"peers": [web.ipv4]},
        allow(["peers"], HTTP),
        allow(["peers"], HTTP, action="override_deny"),
    ),
    lambda web: policy("selective", {"peers": [web.ipv4]}, allow(["peers"], action="deny")),
    lambda web: policy("full", {"peers": []}, allow(["peers"], HTTP)),
]


@pytest.mark.parametrize("change", range(len(CHANGES)))
def test_any_narrowing_cuts(network: Network, db: ProtectedHost, change: int) -> None:
    """A rule that goes, another port, an override deny, another mode, an emptied set."""
    web = network["web"]
    db.apply(lets_in(web.ipv4))
    with conversation(web, db.host) as opened:
        db.apply(CHANGES[change](web))
        assert not opened.arrives(opened.client, opened.server)


def test_enforcement_cuts_what_visibility_let_through(network: Network, db: ProtectedHost) -> None:
    """A potentially blocked connection is blocked when full enforcement begins."""
    rules = allow(["peers"], HTTP)
    sets = {"peers": [network["web"].ipv4]}
    db.apply(policy("visibility_only", sets, rules))
    with (
        conversation(network["other"], db.host) as potential,
        conversation(network["web"], db.host) as allowed,
    ):
        db.apply(policy("full", sets, rules))
        assert not potential.arrives(potential.client, potential.server)
        assert allowed.passes()
        db.apply(policy("visibility_only", sets, rules))
        assert eventually(lambda: potential.arrives(potential.client, potential.server))


def test_outbound_connections_are_cut_too(network: Network, db: ProtectedHost) -> None:
    """What this host opened ends when its rule's peer goes."""
    web, other = network["web"], network["other"]

    def lets_out(*members: str) -> PolicyDocument:
        return policy("full", {"peers": sorted(members)}, allow(["peers"], HTTP, direction="out"))

    db.apply(lets_out(web.ipv4, other.ipv4))
    with conversation(db.host, web) as removed, conversation(db.host, other) as kept:
        db.apply(lets_out(other.ipv4))
        assert not removed.arrives(removed.server, removed.client)
        assert not removed.arrives(removed.client, removed.server)
        assert kept.passes()
        assert db.drop(direction="O").dst == socket.inet_aton(web.ipv4)


def test_a_connection_survives_a_new_agent(network: Network, db: ProtectedHost) -> None:
    """A restarted agent replaces the table whole; what the policy allows goes on, and a peer that
    is gone by then is cut."""
    web, other = network["web"], network["other"]
    db.apply(lets_in(web.ipv4, other.ipv4))
    with conversation(web, db.host) as kept, conversation(other, db.host) as removed:
        db.restarted()
        assert kept.passes()
        db.apply(lets_in(web.ipv4))
        assert kept.passes()
        assert not removed.arrives(removed.client, removed.server)


def test_a_connection_older_than_the_firewall_is_judged(
    network: Network, db: ProtectedHost
) -> None:
    """Both peers were connected before; the allowed one notices nothing."""
    web, other = network["web"], network["other"]
    with conversation(web, db.host) as allowed, conversation(other, db.host) as refused:
        db.apply(lets_in(web.ipv4))
        assert allowed.arrives(allowed.client, allowed.server)
        assert allowed.passes()
        assert not refused.arrives(refused.client, refused.server)


def test_decisions_are_renewed_with_the_policy(network: Network, db: ProtectedHost) -> None:
    """A connection that lives through a change is reported as the new policy sees it."""
    web = network["web"]
    db.apply(policy("visibility_only", {"peers": ["10.77.0.99"]}, allow(["peers"], HTTP)))
    with conversation(web, db.host) as opened:
        port = opened.client.getsockname()[1]

        def decisions() -> list[Decision]:
            return [c.decision for c in db.live() if c.src_port == port]

        assert decisions() == [Decision.POTENTIALLY_BLOCKED]
        db.apply(policy("visibility_only", {"peers": [web.ipv4]}, allow(["peers"], HTTP)))
        assert opened.passes()
        assert decisions() == [Decision.ALLOWED]


def test_never_more_open_than_both_policies(network: Network, db: ProtectedHost) -> None:
    """While the policy changes 150 times in every way, no datagram of a peer that no policy allows
    arrives, and none of a peer that all policies allow is lost."""
    web, other = network["web"], network["other"]
    udp = Service(proto=17, port=53)
    documents = [
        policy("full", {"a": [web.ipv4]}, allow(["a"], udp)),
        policy("full", {"a": [web.ipv4, "10.99.0.1"]}, allow(["a"], udp)),
        policy("full", {"a": ["10.77.0.0/31"], "b": ["10.88.0.1"]}, allow(["a", "b"], udp)),
        policy("selective", {"a": [other.ipv4]}, allow(["a"], action="deny")),
        policy("selective", {"a": ["10.77.0.3-10.77.0.99"]}, allow(["a"], action="deny")),
        policy("selective", {"a": ["10.77.0.2-10.77.0.98"]}, allow(["a"], action="deny")),
        policy(
            "full",
            {"a": [web.ipv4, other.ipv4], "b": [other.ipv4]},
            allow(["a"], udp),
            allow(["b"], action="override_deny"),
        ),
        policy(
            "full",
            {"a": [web.ipv4], "b": ["10.88.0.1"]},
            allow(["a"], udp),
            allow(["b"], action="override_deny"),
        ),
    ]
    target = (db.host.ipv4, 53)
    dice = random.Random("changes")
    over, sent = threading.Event(), []

    def talk(allowed: socket.socket, refused: list[socket.socket]) -> None:
        while not over.wait(0.0003):
            allowed.sendto(b"allowed", target)
            sent.append(1)
            for client in refused:
                client.sendto(b"refused", target)

    with contextlib.ExitStack() as opened:
        server = opened.enter_context(db.host.listen(53, kind=socket.SOCK_DGRAM))
        server.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 32 << 20)
        allowed = opened.enter_context(web.listen(5353, kind=socket.SOCK_DGRAM))
        with other.entered():
            refused = [
                opened.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                for _ in range(5)
            ]
        db.apply(documents[0])
        talker = threading.Thread(target=talk, args=(allowed, refused))
        talker.start()
        try:
            for number in range(150):
                db.apply(
                    documents[number * 7 % len(documents)] if number % 3 else dice.choice(documents)
                )
        finally:
            over.set()
            talker.join()
        assert len(sent) > 60
        assert {server.recv(100) for _ in sent} == {b"allowed"}
