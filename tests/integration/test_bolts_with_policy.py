"""Bolts that bring the policy along: to whom, what is in them, what a wave costs."""

import base64
import functools
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pce.identifiers import OrgId
from pce.policy.incremental.engine import Engine
from pce.runtime.wiring import Wiring
from pce.store.presence_key import presence_key
from pce.store.queues import BoltBatch, BoltOrder, WaveOrder
from pce.usecases import compile_policy as compiling
from pce.usecases import offer_policy as offering
from pce.usecases.current_etag import current_etag
from pce.usecases.fetch_policy import fetch_policy
from pce.usecases.offer_policy import offer_policy
from pce.usecases.send_bolts import send_bolts
from pce.usecases.send_wave import begin_wave
from tests.fakes.fan_out import Connections, Queued
from tests.fakes.installation import Requests, installed
from tests.fakes.policy_org import ORG, PolicyOrg, another_worker
from ven_protocol.limits import MAX_BOLT_BYTES, MAX_BOLT_REPLY_BYTES

NOW = 1_800_000_000
SIZE = 12


@pytest.fixture
def stores() -> Iterator[Wiring]:
    with installed() as stores:
        stores.__dict__["queues"] = Queued()
        stores.__dict__["bolts"] = Connections()
        yield stores


def fleet(stores: Wiring, monkeypatch: pytest.MonkeyPatch, wide: bool, size: int = SIZE):
    """An org of one class whose VENs are connected and hold what they should."""
    monkeypatch.setattr(
        compiling, "Engine", functools.partial(Engine, wide_from=10 if wide else 10_000)
    )
    org = PolicyOrg(stores)
    org.label(1)
    org.add(*range(1, size + 1))
    org.provision(("ams", "ams", 80))
    org.compile()
    for number in range(1, size + 1):
        connect(stores, number)
    return org


def connect(stores: Wiring, number: int, connection: str = "") -> None:
    """The VEN of this number opens a connection and reports that it holds what it should."""
    row = stores.presence.get(ORG, uuid.UUID(int=number))
    assert row is not None
    key = presence_key(ORG, row.ven_id)
    stores.dynamodb.call(
        "UpdateItem",
        TableName="presence",
        Key={"p": {"S": key.partition}, "v": {"B": key.sort}},
        UpdateExpression="SET ci = :c, ae = :e REMOVE bo",
        ExpressionAttributeValues={
            ":c": {"S": connection or f"c{number}"},
            ":e": {"S": current_etag(row, "", another_worker())},
        },
    )


def order(number: int, connection: str = "") -> BoltOrder:
    return BoltOrder(str(uuid.UUID(int=number)), connection or f"c{number}", "a-hint")


def queued(stores: Wiring) -> list[Any]:
    assert isinstance(stores.queues, Queued)
    return [message for message, _ in stores.queues.messages]


def posted(stores: Wiring) -> dict[str, dict[str, Any]]:
    assert isinstance(stores.bolts, Connections)
    return dict(stores.bolts.posted)


def offers(stores: Wiring, *numbers: int) -> dict[uuid.UUID, offering.Offer]:
    return offer_policy(ORG, {uuid.UUID(int=n): f"c{n}" for n in numbers}, stores)


def test_a_wave_costs_few_requests_and_a_post_each(stores, monkeypatch):
    """A rule that all have, for 12 VENs: nine requests to DynamoDB and a post for each VEN. None of
    them has to fetch: every bolt holds what the fetch would be answered."""
    org = fleet(stores, monkeypatch, wide=True)
    org.provision(("ams", "ams", 80), ("ams", "ams", 81))
    org.compile()
    worker = another_worker()  # nothing in memory
    worker.__dict__.update(queues=stores.queues, bolts=stores.bolts)
    (wave,) = queued(stores)
    assert isinstance(wave, WaveOrder)
    with Requests(stores) as requests:
        begin_wave(wave, worker, NOW)
    assert requests.counts == {
        "Query": 16,  # the partitions of an org, however many VENs it has
        "GetItem": 3,  # what waits, two timetables
        "UpdateItem": 1,
        "TransactWriteItems": 1,
    }
    batch = queued(stores)[-1]
    assert len(batch.orders) == SIZE
    with Requests(stores) as requests:
        assert send_bolts(batch, worker, NOW).sent == SIZE
    assert requests.counts == {
        "GetItem": 3,  # the wide head, before and after; the former one, on which the delta rests
        "BatchGetItem": 5,  # the rows; class part, sets, and blocks as they were and as they are
    }
    for number in range(1, SIZE + 1):
        bolt = posted(stores)[f"c{number}"]
        row = stores.presence.get(ORG, uuid.UUID(int=number))
        answer = fetch_policy(row, row.applied_etag, another_worker())
        assert (bolt["etag"], bolt["base"]) == (answer.etag, row.applied_etag)
        assert base64.b64decode(bolt["reply"]) == answer.gzipped


def test_vens_named_one_by_one_are_told_too_and_count_as_told(stores, monkeypatch):
    """Their rows remember a bolt under way; the bolt that brings the policy is the answer to it, so
    that what changes after it was made is announced at once. One write each, as for a fetch."""
    org = fleet(stores, monkeypatch, wide=False)
    org.provision(("ams", "ams", 80), ("ams", "ams", 81))
    org.compile()
    (batch,) = queued(stores)
    with Requests(stores) as requests:
        send_bolts(batch, stores, NOW)
    assert requests.counts == {"UpdateItem": SIZE, "GetItem": 1, "BatchGetItem": 4}
    assert all(bolt["reply"] for bolt in posted(stores).values())
    rows = [stores.presence.get(ORG, uuid.UUID(int=n)) for n in range(1, SIZE + 1)]
    assert {row.bolt_at for row in rows} == {None}
    org.provision(("ams", "ams", 80), ("ams", "ams", 82))
    org.compile()
    assert len(queued(stores)[-1].orders) == SIZE, "nobody waits for an answer to the first"


def test_a_change_while_an_offer_is_made_is_in_it_or_announced(stores, monkeypatch):
    """The row is read by the write that takes the bolt back: what came before is told, and what
    comes later finds no bolt under way."""
    org = fleet(stores, monkeypatch, wide=False)
    org.provision(("ams", "ams", 80), ("ams", "ams", 81))
    org.compile()
    before_write(
        stores, lambda: (org.provision(("ams", "ams", 80), ("ams", "ams", 82)), org.compile())
    )
    found = offers(stores, 1)
    row = stores.presence.get(ORG, uuid.UUID(int=1))
    assert not found and row.bolt_at is None, "another pair, which was not made: left to a fetch"
    assert offers(stores, 1)[uuid.UUID(int=1)].etag == row.target


def test_a_new_wide_head_while_an_offer_is_made_leaves_it_to_the_fetch(stores, monkeypatch):
    """Rows are read between two looks at the head: they may be of a state after the first."""
    org = fleet(stores, monkeypatch, wide=True)
    org.provision(("ams", "ams", 80), ("ams", "ams", 81))
    org.compile()
    make = offering.answer

    def slow(*arguments):
        org.provision(("ams", "ams", 80), ("ams", "ams", 82))
        org.compile()
        return make(*arguments)

    monkeypatch.setattr(offering, "answer", slow)
    assert offers(stores, 1) == {}
    monkeypatch.setattr(offering, "answer", make)
    assert offers(stores, 1)


def before_write(stores: Wiring, do: Callable[[], Any]) -> None:
    """Something happens just before a bolt is taken back."""
    take_back = stores.presence.answer_bolt

    def slow(*arguments):
        stores.presence.answer_bolt = take_back
        do()
        return take_back(*arguments)

    stores.presence.answer_bolt = slow


def test_a_policy_goes_only_to_the_connection_of_its_ven(stores, monkeypatch):
    """Not to a connection that its row no longer names, not to a VEN of another org, and not to one
    that is not there."""
    org = fleet(stores, monkeypatch, wide=True, size=12)
    org.provision(("ams", "ams", 80), ("ams", "ams", 81))
    org.compile()
    connect(stores, 2, "opened-since")
    orders = [order(1), order(2), order(99)]
    send_bolts(BoltBatch(ORG, orders), stores, NOW)
    assert posted(stores)["c1"]["reply"]
    hint = {"type": "policy", "etag": "a-hint"}
    assert posted(stores)["c2"] == posted(stores)["c99"] == hint
    send_bolts(BoltBatch(OrgId(2), [order(1)]), stores, NOW)
    assert posted(stores)["c1"] == hint


def test_what_is_too_large_is_left_to_the_fetch(stores, monkeypatch):
    """A bolt stays one frame, whatever the policy."""
    org = fleet(stores, monkeypatch, wide=True, size=12)
    org.provision(("ams", "ams", 80), ("ams", "ams", 81))
    org.compile()
    assert len(offers(stores, 1)) == 1
    monkeypatch.setattr(offering, "MAX_BOLT_REPLY_BYTES", 20)
    assert offers(stores, 1) == {}
    assert MAX_BOLT_REPLY_BYTES * 4 / 3 + 500 < MAX_BOLT_BYTES, "with etags, reason and names"


def test_answers_that_few_need_are_left_to_the_fetch(stores, monkeypatch):
    """A batch waits for a few answers only, those for most of its VENs."""
    org = fleet(stores, monkeypatch, wide=False, size=6)
    org.label(2)
    org.relabel(5, 2)
    org.relabel(6, 2)
    org.provision(("ams", 1, 81), (2, 1, 82))
    org.compile()
    monkeypatch.setattr(offering, "NEW_ANSWERS", 1)
    assert sorted(id.int for id in offers(stores, *range(1, 7))) == [1, 2, 3, 4]


def test_who_holds_nothing_known_gets_the_document(stores, monkeypatch):
    """As its fetch would; and who holds the policy already gets a hint alone."""
    org = fleet(stores, monkeypatch, wide=True, size=12)
    assert offers(stores, 1) == {}
    org.add(13)
    org.compile()
    row = stores.presence.get(ORG, uuid.UUID(int=13))
    attributes = {"ci": {"S": "c13"}}
    stores.presence._update(ORG, row.ven_id, attributes, (), condition="attribute_exists(p)")
    assert offers(stores, 13)[row.ven_id].base == ""


def test_a_policy_that_waits_for_a_person_is_not_brought(stores, monkeypatch):
    """A VEN whose workload is static keeps what it has applied, whatever a bolt in the queue was
    for."""
    org = fleet(stores, monkeypatch, wide=True)
    org.provision(("ams", "ams", 80), ("ams", "ams", 81))
    org.compile()
    attributes = {"sp": {"N": "1"}}
    ven_id = uuid.UUID(int=1)
    stores.presence._update(ORG, ven_id, attributes, (), condition="attribute_exists(p)")
    assert offers(stores, 1, 2).keys() == {uuid.UUID(int=2)}
    assert stores.presence.ask_to_apply(ORG, ven_id, NOW)
    assert offers(stores, 1, 2).keys() == {ven_id, uuid.UUID(int=2)}
