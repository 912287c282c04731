"""A few rounds of what ``python -m tests.published.races`` does a thousand times."""

from tests.published.races import race


def test_nothing_accepted_is_lost_and_nothing_is_torn() -> None:
    """Two clients at once on one workload, label, service and rule set, in bulk and by themselves,
    while it is provisioned."""
    assert race(3) == []
