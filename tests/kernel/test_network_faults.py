"""What networks, servers and clocks do to a VEN: it keeps enforcing, recovers by itself, and its
log says in plain words what was wrong.

A real VEN on a real kernel in a namespace, a real local PCE, a heartbeat a second.
"""

from collections.abc import Iterator

import pytest

from demo.operator import wait_for
from tests.kernel.faulty_network import FaultyNetwork


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyNetwork]:
    found = FaultyNetwork(tmp_path_factory.mktemp("faults"))
    try:
        found.pair_and_enforce()
        yield found
    finally:
        found.close()


@pytest.fixture(autouse=True)
def well(net: FaultyNetwork) -> Iterator[None]:
    """Before and after every fault the VEN is normal, heard and enforces."""
    net.begin()
    yield
    wait_for("a VEN that is well again", lambda: net.mode() == "normal")
    net.is_heard()
    assert net.enforces()
    assert net.online(), "nobody was isolated"


def test_every_third_packet_is_lost(net: FaultyNetwork) -> None:
    """TCP repeats them: a change of policy arrives, nothing is logged as an error."""
    lost = ["tcp", "dport", str(net.port), "numgen", "random", "mod", "100", "<", "33"]
    with net.rule(*lost, "drop"):
        net.allow(9001)
        wait_for("the change", lambda: net.allows(9001))
        assert net.enforces()
    assert "ERROR" not in net.log_since_begin()


def test_a_slow_relay(net: FaultyNetwork) -> None:
    """Everything takes longer, and works."""
    net.relay.late_s = 0.4
    try:
        net.allow(9002)
        wait_for("the change", lambda: net.allows(9002))
        net.is_heard()
        assert net.mode() == "normal"
    finally:
        net.relay.late_s = 0


def test_a_partition(net: FaultyNetwork) -> None:
    """Degraded after three missed heartbeats, with the last policy in force; normal after it."""
    cut = ["ip", "daddr", net.gateway, "reject", "with", "icmp", "host-unreachable"]
    with net.rule(*cut):
        net.relay.cut()  # what is open would wait half a minute for an answer
        wait_for("degraded", lambda: net.mode() == "degraded")
        assert net.enforces()
        net.said("mode is now degraded: three heartbeats in a row were missed")
        net.said("The last policy that was received stays in force")
        net.said("there is no way to it (No route to host)")
    net.said("the PCE answers again after")
    net.said("mode is now normal")


def test_packets_vanish_without_a_word(net: FaultyNetwork) -> None:
    """What was open stays open, and no answer comes, good or bad. The policy stays in force; when
    packets pass again, so do heartbeats, and a change that was made meanwhile is there."""
    with net.silence():
        net.allow(9006)
        wait_for("degraded", lambda: net.mode() == "degraded")
        assert net.enforces() and not net.allows(9006)
        net.said("no answer in time; is the way to it blocked?")
        net.said("mode is now degraded: three heartbeats in a row were missed")
    net.said("the PCE answers again after")
    net.said("mode is now normal")
    wait_for("the change", lambda: net.allows(9006))


def test_the_pce_is_killed_and_comes_back(net: FaultyNetwork) -> None:
    """A change that it takes after its return arrives."""
    net.kill_pce()
    net.said("nothing listens there (connection refused); is the PCE running?")
    wait_for("degraded", lambda: net.mode() == "degraded")
    assert net.enforces()
    net.start_pce()
    net.allow(9003)
    wait_for("the change", lambda: net.allows(9003))


def test_the_name_is_not_known_any_more(net: FaultyNetwork) -> None:
    """Connections that are open go on; when one must be made, the log says what is missing."""
    net.names(known=False)
    try:
        net.kill_pce()
        net.start_pce()
        net.said("the name pce.test cannot be resolved")
        net.said("does this host's DNS work?")
        wait_for("degraded", lambda: net.mode() == "degraded")
        assert net.enforces()
    finally:
        net.names(known=True)


def test_the_certificate_has_expired(net: FaultyNetwork) -> None:
    """It is not believed, as long as that lasts; the log names both things that may be wrong."""
    with net.expired_certificate():
        net.said("its certificate is refused: certificate has expired")
        net.said("or this host's clock")
        wait_for("degraded", lambda: net.mode() == "degraded")
        assert net.enforces()


@pytest.mark.parametrize("shift", [3600, -3600])
def test_the_clock_jumps(net: FaultyNetwork, shift: int) -> None:
    """The VEN waits by a clock that only goes forward: heartbeats, bolts and policy go on. The
    operator sees which host's clock is wrong, as long as it is."""
    net.clock(shift)
    try:
        net.is_heard()
        port = 9004 if shift > 0 else 9005
        net.allow(port)
        wait_for("the change", lambda: net.allows(port))
        net.is_heard()
        assert net.mode() == "normal"
        assert "missed" not in net.log_since_begin()
        way = "ahead of" if shift > 0 else "behind"
        wait_for("the condition", lambda: f"60 minutes {way} the PCE's" in str(net.conditions()))
    finally:
        net.clock(0)
    wait_for("no condition", lambda: not net.conditions())
