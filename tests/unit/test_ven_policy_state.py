"""From a hint to a policy in the kernel."""

import gzip

import msgspec
import pytest

from tests.fleet.simulator import document
from ven.core import policy_state
from ven.core.policy_state import (
    Applied,
    ApplyPolicy,
    Damaged,
    Fetched,
    FetchFailed,
    FetchPolicy,
    PolicyState,
    Refresh,
    Refused,
    ReportPolicy,
    SavePolicy,
    Unchanged,
    Wanted,
)
from ven.core.timing import NEVER, Dice, Tick
from ven_protocol.policy import PolicyReply, policy_delta, policy_digest

OLD, NEW, NEWER = document(1), document(2), document(3)
E_OLD, E_NEW, E_NEWER = map(policy_digest, (OLD, NEW, NEWER))


def holding_old() -> PolicyState:
    return policy_state.start(Dice(1), E_OLD, OLD)


def run(state: PolicyState, *events: object, now: float = 0) -> tuple[PolicyState, list[object]]:
    said: list[object] = []
    for event in events:
        state, commands = policy_state.step(state, event, now)
        said += commands
    return state, said


def code(state: PolicyState) -> str:
    return state.trouble.code if state.trouble else ""


def whole(new: object = NEW) -> Fetched:
    return Fetched(PolicyReply(etag=policy_digest(new), digest=policy_digest(new), document=new))


def test_delta_is_applied_saved_then_reported() -> None:
    """Nothing is reported before the kernel has it and before it is kept on disk."""
    delta = Fetched(PolicyReply(etag=E_NEW, digest=E_NEW, delta=policy_delta(OLD, NEW)))
    state, said = run(holding_old(), Wanted(E_NEW), delta)
    assert said == [FetchPolicy(E_OLD), ApplyPolicy(E_NEW, NEW)]
    assert (state.held, state.document) == (E_OLD, OLD), "not before the kernel has it"
    state, said = run(state, Applied(rules=7), now=5)
    assert said == [SavePolicy(E_NEW, NEW), ReportPolicy(E_NEW, 0, 5, rules=7)]
    assert (state.held, state.document, state.phase) == (E_NEW, NEW, "idle")


def test_delta_that_does_not_fit_fetches_the_whole() -> None:
    """A delta from another base is not applied; the whole document is asked for at once."""
    wrong = Fetched(PolicyReply(etag=E_NEW, digest=E_NEW, delta=policy_delta(NEWER, OLD)))
    state, said = run(holding_old(), Wanted(E_NEW), wrong)
    assert said == [FetchPolicy(E_OLD), FetchPolicy("")]
    _, said = run(state, whole())
    assert said == [ApplyPolicy(E_NEW, NEW)]


def test_document_that_does_not_match_its_etag_is_not_applied() -> None:
    """What was altered on the way is no policy; it is asked for again, later, three times."""
    altered = Fetched(PolicyReply(etag=E_NEW, digest=E_NEW, document=NEWER))
    state, said = run(holding_old(), Wanted(E_NEW), altered)
    assert said == [FetchPolicy(E_OLD)]
    for _ in range(3):
        assert state.phase == "waiting"
        state, said = run(state, Tick(), altered, now=policy_state.wake_at(state))
        assert said == [FetchPolicy(E_OLD)]
    assert (state.phase, state.held) == ("idle", E_OLD)
    assert policy_state.wake_at(state) == NEVER


def test_a_delta_in_place_of_the_whole_is_damaged() -> None:
    """A PCE that answers with deltas alone is not asked in a ring."""
    wrong = Fetched(PolicyReply(etag=E_NEW, digest=E_NEW, delta=policy_delta(NEWER, OLD)))
    state, said = run(holding_old(), Wanted(E_NEW), wrong, wrong)
    assert said == [FetchPolicy(E_OLD), FetchPolicy("")]
    assert (state.phase, code(state)) == ("waiting", "policy_damaged")


@pytest.mark.parametrize(
    "event",
    [
        Damaged("not JSON"),
        Fetched(PolicyReply(etag=E_NEW, digest=E_NEW)),
        Fetched(PolicyReply(etag=E_NEW, digest=E_NEWER, document=NEW)),
    ],
)
def test_what_is_wrong_is_known_until_what_is_wanted_is_in_force(event: object) -> None:
    """A failed fetch does not mend it; the kernel's word does, and so does the PCE's that what is
    held is what is wanted."""
    state, _ = run(holding_old(), Wanted(E_NEW), event)
    assert (code(state), state.held, state.document) == ("policy_damaged", E_OLD, OLD)
    state, _ = run(state, Tick(), FetchFailed(), now=100)
    state, _ = run(state, Tick(), now=200)
    assert (code(state), state.phase) == ("policy_damaged", "fetching")
    assert code(run(state, whole(), Applied(1), now=100)[0]) == ""
    assert code(run(state, Unchanged(), now=100)[0]) == ""


def test_back_to_what_is_held_mends_a_refusal() -> None:
    """The PCE takes a policy back that the kernel refused: nothing is to be done any more."""
    state, _ = run(holding_old(), Wanted(E_NEW), whole(), Refused("no memory"))
    assert code(state) == "policy_not_applied"
    state, said = run(state, Wanted(E_OLD))
    assert (code(state), said) == ("", [])


def test_newer_document_version_is_refused_by_name() -> None:
    """A VEN that is too old says so instead of guessing; also when it cannot reproduce the digest,
    because it does not know all fields."""
    future = msgspec.structs.replace(NEW, version=99)
    unknown = Fetched(PolicyReply(etag="x", digest="of more than is known", document=future))
    state, said = run(holding_old(), Wanted("x"), unknown)
    assert code(state) == "policy_not_applied"
    assert isinstance(said[-1], ReportPolicy)
    assert "version 99" in said[-1].error


def test_same_etag_and_no_etag_ask_nothing() -> None:
    """What is held is not fetched again, and an empty etag means that there is no policy yet."""
    assert run(holding_old(), Wanted(E_OLD), Wanted(""))[1] == []


def test_changes_while_applying_are_looked_at_afterwards_once() -> None:
    """However many hints come meanwhile, one more fetch follows."""
    hints = [Wanted(f"e{number}") for number in range(50)]
    state, said = run(holding_old(), Wanted(E_NEW), whole(), *hints, Applied(1))
    assert said.count(FetchPolicy(E_NEW)) == 1
    assert state.phase == "fetching"
    state, said = run(state, Unchanged())
    assert (state.phase, state.wanted, said) == ("idle", E_NEW, [])


def test_answer_newer_than_the_hint_is_not_fetched_twice() -> None:
    """The PCE's answer overrules the hint that led to it."""
    state, said = run(holding_old(), Wanted(E_NEW), whole(NEWER), Applied(1))
    assert state.held == E_NEWER
    assert sum(isinstance(command, FetchPolicy) for command in said) == 1


def test_refused_policy_is_reported_and_waits_for_the_next_hint() -> None:
    """The kernel keeps the old policy; no loop of fetching and refusing."""
    state, said = run(holding_old(), Wanted(E_NEW), whole(), Refused("set x: no memory"))
    assert said[-1] == ReportPolicy(E_NEW, 0, 0, error="set x: no memory")
    assert (state.phase, state.held) == ("idle", E_OLD)
    assert run(state, Wanted(E_NEW))[1] == [FetchPolicy(E_OLD)]


def test_failed_fetch_is_tried_again_soon_and_then_left_to_the_heartbeat() -> None:
    """Three quick retries, each within 30 seconds; then nothing until wanted again."""
    state, _ = run(holding_old(), Wanted(E_NEW), FetchFailed())
    for _ in range(3):
        due = policy_state.wake_at(state)
        assert 0 <= due <= 30 * 3
        state, said = run(state, Tick(), FetchFailed(), now=due)
        assert said == [FetchPolicy(E_OLD)]
    assert policy_state.wake_at(state) == NEVER
    assert run(state, Wanted(E_NEW))[1] == [FetchPolicy(E_OLD)]


def test_spread_delays_the_fetch_and_the_earliest_hint_wins() -> None:
    """A fleet does not answer as one; a hint without spread goes at once."""
    state, said = run(holding_old(), Wanted(E_NEW, spread_s=100))
    assert said == []
    assert 0 < policy_state.wake_at(state) <= 100
    assert run(state, Wanted(E_NEW))[1] == [FetchPolicy(E_OLD)]


def test_refresh_fetches_the_whole_even_when_nothing_changed() -> None:
    """The PCE can make a VEN start from nothing known."""
    state, said = run(holding_old(), Refresh())
    assert said == [FetchPolicy("")]
    assert run(state, whole(OLD))[1] == [ApplyPolicy(E_OLD, OLD)]


def test_stale_answers_are_ignored() -> None:
    """An answer to a question that is no longer asked changes nothing."""
    for event in (whole(), Unchanged(), FetchFailed(), Applied(1), Refused("x")):
        assert run(holding_old(), event) == (holding_old(), [])


def brought(new: object = NEW, base: str = E_OLD, **more: object) -> Wanted:
    """A bolt's hint with the PCE's answer to who holds ``base``."""
    etag = policy_digest(new)
    reply = PolicyReply(etag=etag, digest=etag, delta=policy_delta(OLD, new))
    body = gzip.compress(msgspec.json.encode(msgspec.structs.replace(reply, **more)))
    return Wanted(etag, spread_s=100, base=base, reply=body, report_after_s=7)


def test_a_policy_that_a_bolt_brings_is_applied_at_once() -> None:
    """As a fetched one, without the fetch and without its spread; also while one waits."""
    for before in ((), (Wanted(E_NEWER, spread_s=100),)):
        state, said = run(holding_old(), *before, brought(), now=3)
        assert said == [ApplyPolicy(E_NEW, NEW)]
        assert (state.held, policy_state.wake_at(state)) == (E_OLD, NEVER)
        state, said = run(state, Applied(rules=7), now=5)
        assert said == [SavePolicy(E_NEW, NEW), ReportPolicy(E_NEW, 3, 5, rules=7, after_s=7)]
        assert (state.held, state.phase) == (E_NEW, "idle")


def test_a_policy_that_a_bolt_brings_for_another_base_is_fetched() -> None:
    """The PCE believed something else; nothing of it is looked at."""
    hint = msgspec.structs.replace(brought(base=E_NEWER), spread_s=0)
    state, said = run(holding_old(), hint)
    assert (said, code(state), state.document) == ([FetchPolicy(E_OLD)], "", OLD)


@pytest.mark.parametrize(
    "more",
    [
        {"digest": E_NEWER},
        {"delta": policy_delta(NEWER, OLD)},
        {"delta": None},
        {"delta": None, "document": NEWER},
    ],
)
def test_a_bolt_that_brings_no_policy_is_a_hint(more: dict[str, object]) -> None:
    """What was altered, or does not lead to its digest, changes nothing: the policy is fetched, by
    the delta from what is held, for the bolt may be at fault alone."""
    state, said = run(holding_old(), msgspec.structs.replace(brought(**more), spread_s=0))
    assert (state.held, state.document, state.phase) == (E_OLD, OLD, "fetching")
    assert said == [FetchPolicy(E_OLD)]


@pytest.mark.parametrize(
    "body",
    [b"{}", b"", gzip.compress(b"{"), gzip.compress(bytes(9_000_000))],
    ids=["another message", "none", "cut", "too large inflated"],
)
def test_a_damaged_answer_in_a_bolt_is_known_until_the_policy_is_there(body: bytes) -> None:
    """Last-known-good stays, and the fetch that follows mends it."""
    state, said = run(holding_old(), Wanted(E_NEW, base=E_OLD, reply=body))
    assert said == [FetchPolicy(E_OLD)]
    assert code(state) == ("policy_damaged" if body else "")
    assert code(run(state, whole(), Applied(1))[0]) == ""


def test_what_a_bolt_brings_while_something_is_under_way_is_looked_at_afterwards() -> None:
    """One at a time: it names what is wanted, and what is in it may not fit any more."""
    for under_way in ((Wanted(E_NEWER),), (Wanted(E_NEWER), whole(NEWER))):
        state, said = run(holding_old(), *under_way, brought())
        assert ApplyPolicy(E_NEW, NEW) not in said
        assert (state.wanted, state.held) == (E_NEW, E_OLD)
    assert run(state, Applied(1))[1][-1] == FetchPolicy(E_NEWER)


def test_who_is_to_start_from_nothing_takes_no_delta() -> None:
    """A refresh that waits for its retry asks for the whole, whatever bolts bring."""
    state, said = run(holding_old(), Refresh(), FetchFailed(), brought())
    assert said == [FetchPolicy("")]
    assert (state.phase, state.whole) == ("waiting", True)
