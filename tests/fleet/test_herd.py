"""A fleet that comes back after an outage does not bring down what it comes back to."""

import pytest

from tests.fleet.herd import (
    CONNECTION_FLOOR_S,
    CONNECTIONS_PER_S,
    HEARTBEAT_S,
    JITTER,
    REQUESTS_PER_S,
    come_back,
)

VENS = 1_000
LAST_S = HEARTBEAT_S * (1 + JITTER) + 15
"""A heartbeat, and the answers on the way: one that failed just before took ten seconds."""


@pytest.mark.parametrize("outage_s", [1200, 3600])
def test_a_herd_is_spread_over_a_heartbeat_interval(outage_s: float) -> None:
    """After an hour, or as soon as it is degraded: nobody is refused, every VEN is heard and has
    its bolt channel within one heartbeat interval. ``python -m tests.fleet.herd`` is 100,000."""
    seen = come_back("outage", VENS, outage_s=outage_s)
    assert seen.missing == 0
    assert not seen.refused
    assert seen.connections_per_s <= CONNECTIONS_PER_S
    assert seen.requests_per_s <= REQUESTS_PER_S / 4
    assert seen.heard_s <= LAST_S
    assert seen.connected_s <= LAST_S + 1


def test_connections_that_end_at_one_instant_are_back_within_a_heartbeat() -> None:
    """More is asked than the quota allows: who is refused waits its turn, nobody is left out."""
    seen = come_back("drop", VENS)
    assert seen.missing == 0
    assert seen.connected_s <= HEARTBEAT_S + CONNECTION_FLOOR_S
