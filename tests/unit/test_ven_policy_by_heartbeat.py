"""Policy by heartbeat: what bolts cannot bring, the next heartbeat's reply does."""

import pytest

from tests.fleet.simulator import HEARTBEAT_S, Fleet, Network, document

LATE_S = 1.05 * HEARTBEAT_S + 5
"""A heartbeat may come 5 % late; the fetch and the kernel take the rest."""


def fleet_without_bolts(size: int, lost: float = 0.0) -> Fleet:
    fleet = Fleet(size, seed=1, network=Network(lost=lost, bolts_up=False))
    for ven in fleet.vens:
        fleet.pce.set_policy(ven.number, document(1))
    fleet.run(LATE_S)
    return fleet


def test_policy_change_arrives_with_the_next_heartbeat_when_bolts_are_broken() -> None:
    """The channel cannot be opened at all: every VEN holds the change one interval later, and has
    reported it applied one more interval later."""
    fleet = fleet_without_bolts(20)
    assert all(ven.kernel == document(1) for ven in fleet.vens)
    for ven in fleet.vens:
        ven.bolt(fleet.pce.set_policy(ven.number, document(2)))
    fleet.run(5)
    assert any(ven.kernel == document(1) for ven in fleet.vens), "no bolt was needed after all"
    fleet.run(LATE_S)
    assert not any(ven.connection for ven in fleet.vens)
    assert all(ven.kernel == document(2) == ven.disk.document for ven in fleet.vens)
    fleet.run(LATE_S)
    assert all(fleet.pce.applied[ven.number] == fleet.pce.etag(ven.number) for ven in fleet.vens)


def test_one_lost_bolt_is_repaired_by_the_next_heartbeat() -> None:
    """The channel is open and this one message never came."""
    fleet = Fleet(1, seed=2)
    fleet.pce.set_policy(0, document(1))
    fleet.run(LATE_S)
    assert fleet.vens[0].connection
    fleet.pce.set_policy(0, document(2))  # and nobody sends its bolt
    fleet.run(LATE_S)
    assert fleet.vens[0].kernel == document(2)


@pytest.mark.parametrize("intervals", [10])
def test_heartbeats_that_bring_nothing_new_fetch_nothing(intervals: int) -> None:
    """An etag that is held costs no further request."""
    fleet = fleet_without_bolts(3)
    fetched = fleet.pce.requests["policy"]
    fleet.run(intervals * HEARTBEAT_S)
    assert fleet.pce.requests["policy"] == fetched == len(fleet.vens)
