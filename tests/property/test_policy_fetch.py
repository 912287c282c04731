"""What is stored of random policies, and what VENs are given of it, equals the full recompute."""

import dataclasses
import gzip
import uuid
from collections.abc import Iterator
from random import Random
from types import SimpleNamespace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pce.identifiers import OrgId
from pce.policy.change import changed, everything
from pce.policy.incremental.engine import Engine
from pce.policy.recompute import recompute
from pce.presence.record import Presence
from pce.runtime.wiring import Wiring
from pce.store import address_sets
from pce.store.address_sets import AddressSets
from pce.store.policies import PolicyStore
from pce.usecases.offer_policy import offer_policy
from pce.usecases.store_policy import of_effect, store_policy
from tests.fakes.installation import installed
from tests.fakes.policies import fetched, followed
from tests.property.policy_estates import random_change, random_estate, seeds
from ven_protocol.policy import PolicyReply, policy_delta, policy_digest

NOW = 1_790_000_000


@pytest.fixture(scope="module")
def stores() -> Iterator[Wiring]:
    with installed() as stores:
        yield stores


def fresh(stores: Wiring) -> SimpleNamespace:
    """Another function environment: nothing in memory."""
    policies = PolicyStore(stores.environment.tables.policy, stores.dynamodb)
    rows = SimpleNamespace(get=lambda org_id, ven_id: None)  # as it was
    return SimpleNamespace(policies=policies, address_sets=AddressSets(policies), presence=rows)


def offered(server: SimpleNamespace, row: Presence, held: str) -> PolicyReply | None:
    """What a bolt would bring to a VEN that reported that it holds this."""
    told = dataclasses.replace(row, connection_id="c", applied_etag=held)
    server.presence.get_many = lambda org_id, ids: {row.ven_id: told}
    offer = offer_policy(row.org_id, {row.ven_id: "c"}, server).get(row.ven_id)
    if offer is None:
        return None
    assert offer.base == held
    reply = msgspec.json.decode(gzip.decompress(offer.reply), type=PolicyReply)
    assert reply.etag == offer.etag
    return reply


_orgs = iter(range(1, 10**9))


@settings(max_examples=25)
@given(seeds, st.integers(1, 4), st.sampled_from([0, 40, 1000]))
def test_a_ven_is_led_from_any_policy_to_the_present_one(
    stores: Wiring, seed: Random, wide_from: int, difference_bytes: int
) -> None:
    """Whatever a VEN held before, wide parts or none, sets over a base or whole: the reply leads to
    the recomputed document, a delta says what the two documents' delta says, and a bolt brings the
    same."""
    org_id = OrgId(next(_orgs))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(address_sets, "DIFFERENCE_BYTES", difference_bytes)
        engine, worker = Engine(wide_from=wide_from), fresh(stores)
        held: dict[str, dict[str, object]] = {}
        estate = random_estate(seed)
        change = everything(estate)
        for number in range(1, 6):
            before = engine.head
            effect = engine.apply(change)
            stored = store_policy(org_id, engine, of_effect(engine, effect), number, worker)
            if effect.wide:
                assert worker.policies.replace_wide_head(org_id, before, effect.wide, NOW)
            stored.retire(org_id, number, NOW, worker)
            server = fresh(stores)
            for id, document in recompute(estate).documents.items():
                target = engine.target(id)
                row = Presence(
                    org_id, uuid.uuid4(), NOW, target=target.name, wide_slots=target.slots
                )
                ven = held.setdefault(id, {})
                for etag, old in ven.items():
                    reply = fetched(server, row, etag)
                    assert offered(server, row, etag) == reply
                    if reply is None:
                        assert old == document
                        continue
                    assert followed(old, reply) == document
                    assert reply.delta is not None
                    assert msgspec.to_builtins(reply.delta) == msgspec.to_builtins(
                        policy_delta(old, document)
                    )
                whole = fetched(server, row)
                assert whole is not None and whole.document == document
                assert whole.digest == policy_digest(document)
                ven[whole.etag] = document
            change = random_change(seed, estate)
            estate = changed(estate, change)
