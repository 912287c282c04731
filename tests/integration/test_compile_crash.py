"""A compile that is killed, overtaken or late: whatever happens, the next one sets it right."""

import functools
import time
import uuid
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

from pce.policy.incremental.engine import Engine
from pce.policy.parts import version_name
from pce.presence.record import Presence
from pce.store.change import Change, PresenceChange
from pce.store.presence import token_hash
from pce.store.queues import BoltBatch
from pce.usecases import compile_policy as compiling
from pce.usecases.compile_policy import OutOfTime, Overtaken, compile_policy
from tests.fakes.installation import installed
from tests.fakes.interrupted import Killed, before_request, killed_before_request
from tests.fakes.policies import fetched, followed
from tests.fakes.policy_org import PolicyOrg, another_worker
from ven_protocol.paths import AgentToken
from ven_protocol.policy import PolicyDocument, PolicyReply

RULES = [(1, 2, 80), (2, 2, 22), ("ams", 1, 53)]


@pytest.fixture
def org(monkeypatch: pytest.MonkeyPatch) -> Iterator[PolicyOrg]:
    """Two roles of two VENs each. What concerns all four is wide, the rest is narrow."""
    monkeypatch.setattr(compiling, "Engine", functools.partial(Engine, wide_from=3))
    with installed() as stores:
        org = PolicyOrg(stores)
        org.label(1, 2)
        org.add(1, 2, label=1)
        org.add(3, 4, label=2)
        org.provision(*RULES)
        org.compile()
        assert stores.policies.wide_head(org.org_id).parts
        yield org


def change(org: PolicyOrg, number: int) -> None:
    """Another change each time: an address, a label, rules, all at once."""
    org.move(1, f"10.1.0.{number}")
    org.relabel(2, 1 + number % 2)
    org.provision(*RULES[number % 2 :], (2, 1, 1000 + number))


def test_killed_before_any_request(org: PolicyOrg) -> None:
    """Whichever request a compile dies at, the next one leaves what an undisturbed one would: every
    VEN its recomputed document, and an empty change log. By a worker that knows nothing, by one
    that knows the org as it was before, or by that very process."""
    warm = another_worker()
    number = 0
    while True:
        change(org, number)
        try:
            with killed_before_request(number):
                org.compile()
        except Killed:
            assert org.stores.objects.change_log(org.org_id)
        else:
            break
        org.compile((another_worker(), warm, org.stores)[number % 3])
        org.assert_converged()
        number += 1
    org.assert_converged()
    assert number > 10, "a compile makes more requests than that"


def test_another_compile_in_the_middle(org: PolicyOrg) -> None:
    """Whenever a second worker compiles a newer state while the first one is under way: nothing
    older than that is left once the first one's message has been handled, again if need be."""
    other = another_worker()
    number = 0
    overtaken = 0
    while True:
        change(org, number)
        happened = False

        def meanwhile(number: int = number) -> None:
            nonlocal happened
            happened = True
            change(org, 100 + number)
            org.compile(other)

        try:
            with before_request(number, meanwhile):
                org.compile()
        except Overtaken:
            overtaken += 1
            org.compile(afresh=True)
        org.assert_converged()
        if not happened:
            break
        number += 3  # each would take half a minute
    assert number > 3 * overtaken > 15, "both ends are quiet; what lies between is overtaken"


def test_an_overtaken_compile_whose_message_is_lost(
    org: PolicyOrg, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One worker read a label, another one that it is as it was before and that there is nothing to
    write; then the first one writes what it read, and its message is never delivered again. The
    next compile of anything sets it right, by the very worker that believes it knows the store."""
    other = another_worker()
    org.relabel(1, 1)
    org.compile(other)
    store_policy = compiling.store_policy

    def late(*arguments: Any) -> Any:
        monkeypatch.setattr(compiling, "store_policy", store_policy)
        org.relabel(2, 1)
        org.compile(other)
        return store_policy(*arguments)

    org.relabel(2, 2)
    monkeypatch.setattr(compiling, "store_policy", late)
    with pytest.raises(Overtaken):
        org.compile()
    org.relabel(3, 1)
    org.compile(other)
    org.assert_converged()


def test_workers_take_turns(org: PolicyOrg, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that was away catches up with what another one did. It reads the whole org again
    only when that one replaced the wide head."""
    workers = [org.stores, another_worker()]
    wide = compiling.Engine
    monkeypatch.setattr(compiling, "Engine", Engine)
    org.compile(workers[0], afresh=True)
    org.move(1, "10.1.0.1")  # what was wide leaves the head with the next change
    org.compile(workers[0])
    org.compile(workers[1], afresh=True)
    for number in range(6):
        org.move(1 + number % 4, f"10.1.1.{number}")
        done = org.compile(workers[number % 2])
        org.assert_converged()
        assert not done.fresh
    monkeypatch.setattr(compiling, "Engine", wide)
    org.compile(workers[0], afresh=True)
    org.move(1, "10.1.2.1")
    assert org.compile(workers[1]).fresh
    org.assert_converged()


def test_what_another_worker_did_and_was_undone(
    org: PolicyOrg, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One worker stores a change, the other is to take it back, and to that one nothing seems to
    differ. The VENs get back what they had, and nothing of it expires."""
    monkeypatch.setattr(compiling, "Engine", Engine)
    org.compile(afresh=True)
    org.move(1, "10.1.0.1")  # what was wide leaves the head
    org.compile()
    org.move(3, "10.1.0.2")
    org.relabel(2, 2)
    org.compile(another_worker())
    org.move(3, "10.0.0.3")
    org.relabel(2, 1)
    assert not org.compile().fresh
    org.assert_converged()


def test_an_undisturbed_life_leaves_nothing_behind(org: PolicyOrg) -> None:
    """What is stored and stays is exactly what VENs need."""
    for number in range(6):
        change(org, number)
        org.compile()
    org.provision()
    org.compile()
    org.assert_converged()
    head = org.stores.policies.wide_head(org.org_id)
    leaving = {version_name(id, part.digest) for id, part in head.parts.items()}
    assert org.live_parts() <= org.needed_parts() | leaving


def test_what_time_does_not_suffice_for_is_done_next_time(org: PolicyOrg) -> None:
    """A compile that may not begin another write leaves the change log, and says so."""
    change(org, 1)
    with pytest.raises(OutOfTime):
        compile_policy(org.org_id, org.stores, lambda: 1_000.0, until=1_000.0)
    assert org.stores.objects.change_log(org.org_id)
    org.compile()
    org.assert_converged()


def test_a_fetch_in_the_middle_gives_one_state_whole(org: PolicyOrg) -> None:
    """Whenever VENs fetch while a compile writes narrow and wide parts one after the other: each is
    given its policy of before or that of after, never some of both; also when its row was read
    before everything and the rest afterwards."""
    number = 0
    told: set[bool] = set()
    while True:
        early = rows_of(org)
        held = {id: fetched(org.stores, row) for id, row in early.items()}
        change(org, number)
        after = org.expected()
        seen: list[bool] = []

        def meanwhile(
            early: dict[str, Presence] = early,
            held: dict[str, PolicyReply | None] = held,
            after: dict[str, PolicyDocument] = after,
            seen: list[bool] = seen,
        ) -> None:
            process = another_worker()
            for rows in (early, rows_of(org)):
                for id, row in rows.items():
                    had = held[id]
                    assert had is not None and had.document is not None
                    reply = fetched(process, row, had.etag)
                    holds = had.document if reply is None else followed(had.document, reply)
                    assert holds in (had.document, after[id]), id
                    seen.append(holds == after[id])

        with before_request(number, meanwhile):
            org.compile()
        org.assert_converged()
        if not seen:
            break
        told.update(seen)
        number += 2  # each takes a second
    assert told == {False, True}, "there are moments before and after the new state holds"


def test_a_fetch_before_the_wide_head_costs_no_bolt(org: PolicyOrg) -> None:
    """A VEN answers the bolt of one change while the next is being written: it is told that nothing
    changed, so it must hear of the next one although a bolt was under way when its row was
    written. No wave would tell it: its wide parts stay as they are."""
    org.add(5, 6, label=2)
    org.provision((1, 2, 80), (2, 2, 22), ("ams", 1, 53))
    org.compile()
    ven = uuid.UUID(org.id(1))
    presence, policies = org.stores.presence, org.stores.policies
    token = AgentToken.new(org.org_id, ven)
    org.stores.objects.commit(
        Change(org.org_id, presence=(PresenceChange(ven, token_hash=token_hash(token.secret)),))
    )
    now = int(time.time())
    presence.sign_of_life(token, now, attributes={"ci": {"S": "open"}}, remove=("bo",))
    org.provision((1, 2, 81), (2, 2, 22), ("ams", 1, 53))
    org.compile()
    held = fetched(org.stores, presence.sign_of_life(token, now))
    assert held is not None

    def replaced(*arguments: Any) -> bool:
        early = presence.sign_of_life(token, now, remove=("bo",))
        assert early.bolt_at, "the first change's bolt led to this fetch"
        assert fetched(org.stores, early, held.etag) is None
        return replace(*arguments)

    replace = policies.replace_wide_head
    org.provision((1, 2, 82), (2, 2, 23), ("ams", 1, 53))
    with (
        mock.patch.object(policies, "replace_wide_head", replaced),
        mock.patch.object(org.stores.queues, "send_bolts") as send,
    ):
        org.compile()
    messages = [message for call in send.call_args_list for message, _ in call.args[0]]
    batches = [message for message in messages if isinstance(message, BoltBatch)]
    assert str(ven) in {order.ven_id for batch in batches for order in batch.orders}


def rows_of(org: PolicyOrg) -> dict[str, Presence]:
    """VEN id to presence row."""
    return {str(row.ven_id): row for row in another_worker().presence.all_of(org.org_id)}
