"""The address directory: a change costs a small write, and readers see what a whole one would."""

import ipaddress
import uuid
from collections.abc import Iterator

import pytest

from pce.flows.directory import Directory, Label
from pce.identifiers import OrgId
from pce.runtime.wiring import Wiring
from pce.store import directory as store
from pce.store.directory import DirectoryStore
from tests.fakes.installation import Requests, installed

ORG = OrgId(1)


@pytest.fixture
def stores() -> Iterator[Wiring]:
    with installed() as stores:
        yield stores


def workload(number: int, *addresses: str, labels: tuple[int, ...] = ()) -> dict:
    return {
        "href": f"/orgs/1/workloads/{uuid.UUID(int=number)}",
        "hostname": f"host-{number}",
        "online": True,
        "enforcement_mode": "full",
        "visibility_level": "flow_summary",
        "labels": [{"href": f"/orgs/1/labels/{label}"} for label in labels],
        "interfaces": [{"name": "eth0", "address": address} for address in addresses],
        "ven": {"href": "x"},
    }


def label(number: int, value: str) -> dict:
    return {"href": f"/orgs/1/labels/{number}", "key": "role", "value": value}


def by_id(*documents: dict) -> dict[str, dict]:
    return {document["href"].rpartition("/")[2]: document for document in documents}


def loaded(stores: Wiring) -> Directory:
    """As a function environment sees it that has just started."""
    return DirectoryStore(stores.archive).load(ORG)


def packed(text: str) -> bytes:
    return ipaddress.ip_address(text).packed


def test_a_change_is_one_small_put_over_the_base(stores: Wiring) -> None:
    """A workload that moves, one that goes, one that comes, a label with another name."""
    stores.directory.save(
        ORG,
        [workload(n, f"10.0.0.{n}", labels=(1,)) for n in range(1, 50)],
        [label(1, "web")],
    )
    with Requests(stores) as requests:
        stores.directory.update(
            ORG,
            {
                **by_id(workload(1, "10.0.1.1", labels=(1,)), workload(99, "10.0.0.2")),
                str(uuid.UUID(int=2)): None,
            },
            by_id(label(1, "frontend")),
        )
    assert requests.counts == {"GetObject": 1, "PutObject": 1}
    directory = loaded(stores)
    assert packed("10.0.0.1") not in directory
    assert directory[packed("10.0.0.2")].hostname == "host-99"
    assert directory[packed("10.0.1.1")].labels == (Label("1", "role", "frontend"),)
    assert directory[packed("10.0.0.3")].labels == (Label("1", "role", "frontend"),)


def test_what_changes_no_entry_is_not_written(stores: Wiring) -> None:
    """The same again costs no PUT."""
    stores.directory.update(ORG, by_id(workload(1, "10.0.0.1")), {})
    with Requests(stores) as requests:
        stores.directory.update(ORG, by_id(workload(1, "10.0.0.1")), {})
        stores.directory.update(ORG, {}, {})
    assert requests.counts == {"GetObject": 1}


def test_a_head_that_outgrows_its_limit_becomes_a_base(
    stores: Wiring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is lost, whoever is gone stays gone, and bases before the last are deleted."""
    monkeypatch.setattr(store, "MAX_HEAD_BYTES", 200)
    stores.directory.save(ORG, [workload(1, "10.0.0.1"), workload(2, "10.0.0.2")], [])
    stores.directory.update(ORG, {str(uuid.UUID(int=1)): None}, {})
    for number in range(3, 40):
        stores.directory.update(ORG, by_id(workload(number, f"10.0.0.{number}")), {})
    assert set(loaded(stores)) == {packed(f"10.0.0.{number}") for number in range(2, 40)}
    head = DirectoryStore(stores.archive)._head(ORG)
    assert head.base > 3
    assert (
        str(uuid.UUID(int=1)) not in DirectoryStore(stores.archive)._base(ORG, head.base).workloads
    )
    kept = [stores.archive.get(f"directories/1/base-{n}") for n in range(1, head.base + 1)]
    assert [body is not None for body in kept] == [False] * (head.base - 2) + [True] * 2


def test_two_with_one_address_and_one_goes(stores: Wiring) -> None:
    """Whoever is left has it."""
    stores.directory.save(ORG, [workload(1, "10.0.0.1"), workload(2, "10.0.0.1")], [])
    for gone, left in ((1, 2), (2, 1)):
        stores.directory.update(
            ORG, {str(uuid.UUID(int=gone)): None, **by_id(workload(left, "10.0.0.1"))}, {}
        )
        assert loaded(stores)[packed("10.0.0.1")].hostname == f"host-{left}"


def test_directories_in_memory_are_bounded(stores: Wiring, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that serves many orgs forgets those that it used longest ago; the one in use stays,
    and a forgotten one is read again."""
    monkeypatch.setattr(store, "MAX_WORKLOADS", 3 * store.MIN_WORKLOADS + 10)
    directory = DirectoryStore(stores.archive)
    for number in range(1, 6):
        directory.save(OrgId(number), [workload(number, f"10.0.0.{number}")], [])
    reader = DirectoryStore(stores.archive)
    for number in range(1, 6):
        reader.load(OrgId(number))
    assert set(reader._bases) == set(reader._cache) == {OrgId(3), OrgId(4), OrgId(5)}
    assert len(reader.load(OrgId(2))) == 1
