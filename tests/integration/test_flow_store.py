"""Flow batches: stored once, in as many items as they need, found by the hours that hold any."""

import uuid
from collections.abc import Iterator

import pytest

from pce.identifiers import OrgId
from pce.runtime.wiring import Wiring
from tests.fakes.installation import Requests, installed

ORG, VEN = OrgId(1), uuid.UUID(int=5)
END = 1_790_000_000


@pytest.fixture
def stores() -> Iterator[Wiring]:
    with installed() as stores:
        yield stores


def test_a_batch_is_stored_once(stores: Wiring) -> None:
    """The same VEN and sequence again: refused, and the first one stays."""
    assert stores.flows.put(ORG, VEN, 7, END, [b"one"])
    assert not stores.flows.put(ORG, VEN, 7, END, [b"two"])
    assert stores.flows.put(ORG, VEN, 8, END, [b"three"])
    assert list(stores.flows.batches(ORG, 0, END)) == [b"one", b"three"]


def test_a_large_batch_takes_several_items(stores: Wiring) -> None:
    """Its first part is written last, so that a batch cut off in the middle is not there."""
    assert stores.flows.put(ORG, VEN, 7, END, [b"a", b"b", b"c"])
    assert not stores.flows.put(ORG, VEN, 7, END, [b"a", b"b", b"c"])
    assert sorted(stores.flows.batches(ORG, 0, END)) == [b"a", b"b", b"c"]


def test_a_query_over_years_asks_for_what_there_is(stores: Wiring) -> None:
    """Two hours with flows in eighty years: one request for the hours, and one for each."""
    stores.flows.put(ORG, VEN, 1, END, [b"x"])
    stores.flows.put(ORG, VEN, 2, END + 7200, [b"y"])
    with Requests(stores) as requests:
        assert list(stores.flows.batches(ORG, -(10**9), 10**12)) == [b"x", b"y"]
    assert requests.counts == {"Query": 3}
    assert list(stores.flows.batches(ORG, 0, END)) == [b"x"]
    assert list(stores.flows.batches(OrgId(2), 0, 10**12)) == []


def test_an_hour_is_named_once(stores: Wiring) -> None:
    """The name of an hour costs one write for all batches of a function environment."""
    with Requests(stores) as requests:
        for seq in range(5):
            stores.flows.put(ORG, VEN, seq, END, [b"x"])
    assert requests.counts == {"PutItem": 6}
