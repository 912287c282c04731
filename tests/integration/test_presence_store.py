"""The presence table's promises: one request per sign of life, instant revocation, races."""

import uuid
from collections.abc import Iterator

import msgspec
import pytest

from pce.errors import Conflict, Unauthenticated
from pce.identifiers import OrgId
from pce.policy.parts import Target
from pce.presence.heartbeat import facts_hash, sign_of_life
from pce.presence.record import Clocks
from pce.runtime.wiring import Wiring
from pce.store.change import Change, PresenceChange
from pce.store.presence import token_hash
from pce.usecases.record_heartbeat import record_heartbeat
from tests.fakes.installation import Requests, fake_aws, installed
from ven_protocol.messages import Heartbeat, HostFacts, settings_digest
from ven_protocol.paths import AgentToken

ORG = OrgId(1)
HEARTBEAT = Heartbeat(host=HostFacts(hostname="web-1", version="1.0.0"), uptime_seconds=5)


@pytest.fixture
def stores() -> Iterator[Wiring]:
    with installed() as stores:
        yield stores


@pytest.fixture
def token(stores: Wiring) -> AgentToken:
    token = AgentToken.new(ORG, uuid.uuid4())
    created = PresenceChange(token.ven_id, create_at=100, token_hash=token_hash(token.secret))
    stores.objects.commit(Change(ORG, presence=(created,)))
    stores.presence.set_facts_hash(ORG, token.ven_id, facts_hash(HEARTBEAT))
    return token


def test_a_heartbeat_is_one_write_request_and_no_read(stores: Wiring, token: AgentToken) -> None:
    """The budget that the bill rests on: exactly one DynamoDB request for an ordinary heartbeat."""
    with Requests(stores) as requests:
        reply = record_heartbeat(token, HEARTBEAT, stores, now=200)
    assert requests.counts == {"UpdateItem": 1}
    assert reply.next_heartbeat_s == 300
    row = stores.presence.get(ORG, token.ven_id)
    assert row is not None and row.last_heartbeat == 200


def test_settings_that_a_ven_lacks_come_with_the_reply(stores: Wiring, token: AgentToken) -> None:
    """A VEN says which settings it has; others are sent, the same ones are not."""
    current = msgspec.structs.replace(
        HEARTBEAT, settings_digest=settings_digest(stores.ven_settings)
    )
    assert record_heartbeat(token, current, stores, now=200).settings is None
    other = msgspec.structs.replace(HEARTBEAT, settings_digest="0" * 16)
    assert record_heartbeat(token, other, stores, now=201).settings == stores.ven_settings


def test_a_wrong_token_is_one_request_and_changes_nothing(
    stores: Wiring, token: AgentToken
) -> None:
    """Guessing costs the PCE one request, and the row keeps every attribute."""
    before = stores.presence.get(ORG, token.ven_id)
    wrong = AgentToken.new(ORG, token.ven_id)
    with Requests(stores) as requests, pytest.raises(Unauthenticated) as error:
        record_heartbeat(wrong, HEARTBEAT, stores, now=200)
    assert error.value.problems[0].token == "invalid_agent_token"
    assert requests.counts == {"UpdateItem": 1}
    assert stores.presence.get(ORG, token.ven_id) == before


def test_the_same_ven_in_another_org_does_not_exist(stores: Wiring, token: AgentToken) -> None:
    """A token's org is part of the key: no tenant can touch another's row."""
    stranger = AgentToken(2, token.ven_id, token.secret)
    with pytest.raises(Unauthenticated):
        stores.presence.sign_of_life(stranger, 200)
    assert stores.presence.get(OrgId(2), token.ven_id) is None


def test_revocation_is_instant(stores: Wiring, token: AgentToken) -> None:
    """After a revocation the very next request is refused."""
    stores.objects.commit(Change(ORG, presence=(PresenceChange(token.ven_id, token_hash=b""),)))
    with pytest.raises(Unauthenticated):
        stores.presence.sign_of_life(token, 200)


def test_a_refreshed_token_replaces_the_old_one_at_its_first_use(
    stores: Wiring, token: AgentToken
) -> None:
    """Both work until the new one was used; then only the new one does."""
    new = AgentToken.new(ORG, token.ven_id)
    pending = {"tn": {"B": token_hash(new.secret)}}
    stores.presence.sign_of_life(token, 200, attributes=pending)
    stores.presence.sign_of_life(token, 201)
    stores.presence.sign_of_life(new, 202)
    with pytest.raises(Unauthenticated):
        stores.presence.sign_of_life(token, 203)
    stores.presence.sign_of_life(new, 204)


def test_a_sign_of_life_may_arrive_twice(stores: Wiring, token: AgentToken) -> None:
    """A request whose reply was lost is sent again: the row is as after one, a refreshed token is
    promoted once, and what the answer is made of stays the same."""
    new = AgentToken.new(ORG, token.ven_id)
    stores.presence.sign_of_life(token, 200, attributes={"tn": {"B": token_hash(new.secret)}})
    seen = []
    for _ in range(2):
        before = stores.presence.sign_of_life(new, 201, applied_etag="a", uptime_s=5)
        table = fake_aws().client("dynamodb").scan(TableName="presence")
        seen.append((sign_of_life(before, None), table["Items"]))
    assert seen[0] == seen[1]


def test_a_heartbeat_that_races_a_transition_wins(stores: Wiring, token: AgentToken) -> None:
    """A transition names the heartbeat it saw; a newer one voids it."""
    seen = stores.presence.get(ORG, token.ven_id)
    assert seen is not None
    stores.presence.sign_of_life(token, 5000)
    offline = PresenceChange(
        token.ven_id, expected_flags="", expected_heartbeat=seen.last_heartbeat, flags="o"
    )
    with pytest.raises(Conflict):
        stores.objects.commit(Change(ORG, presence=(offline,)))
    row = stores.presence.get(ORG, token.ven_id)
    assert row is not None and not row.flags


def test_an_older_compile_never_replaces_a_newer_target(stores: Wiring, token: AgentToken) -> None:
    """Two compiles at once leave the newer one's target, whatever the order of their writes."""
    before = stores.presence.set_target(ORG, token.ven_id, Target("new", 0b101), 7, now=200)
    assert before is not None and before.target == ""
    assert stores.presence.set_target(ORG, token.ven_id, Target("old", 0), 6, now=201) is None
    row = stores.presence.get(ORG, token.ven_id)
    assert row is not None and (row.target, row.wide_slots) == ("new", 0b101)
    stores.presence.set_target(ORG, token.ven_id, Target("newer", 0), 8, now=202)
    row = stores.presence.get(ORG, token.ven_id)
    assert row is not None and (row.target, row.wide_slots) == ("newer", 0)


@pytest.mark.parametrize(
    "etag", ["", "a" * 32, "0" * 32 + ".0", "f" * 32 + ".1000000", "a" * 32 + ".007", "F" * 32, "ü"]
)
def test_an_applied_etag_is_kept_as_it_was_said(
    stores: Wiring, token: AgentToken, etag: str
) -> None:
    """Ours take half their length; a VEN may say anything."""
    stores.presence.sign_of_life(token, 200, applied_etag=etag)
    row = stores.presence.get(ORG, token.ven_id)
    assert row is not None and row.applied_etag == etag


def test_a_row_stays_within_200_bytes(stores: Wiring, token: AgentToken) -> None:
    """What a sweep of 100,000 VENs costs rests on the size of one item."""
    for boot in ("1", "2"):
        host = msgspec.structs.replace(HEARTBEAT.host, machine_id="machine", boot_id=boot)
        held = "a" * 32 + ".1000000"
        heartbeat = Heartbeat(host=host, uptime_seconds=2**31, applied_etag=held)
        record_heartbeat(token, heartbeat, stores, now=1_800_000_000)
    stores.presence.set_clocks(ORG, token.ven_id, None, Clocks(86_400, 86_400, token_required=True))
    stores.presence.set_target(
        ORG,
        token.ven_id,
        Target("b" * 32, 2**31, static=True),
        10**6,
        now=1_800_000_000,
        wide_since=10**6,
    )
    stores.presence.sign_of_life(token, 1_800_000_000, attributes={"ci": {"S": "Lk2jdc5eIAMCJ0w="}})
    (item,) = fake_aws().client("dynamodb").scan(TableName="presence")["Items"]
    size = 0
    for name, value in item.items():
        ((kind, content),) = value.items()
        # DynamoDB: numbers take a byte per two digits and one more.
        size += len(name) + (len(content) // 2 + 2 if kind == "N" else len(content))
    assert size <= 200, size


def test_a_connection_that_is_still_opening_is_not_forgotten(
    stores: Wiring, token: AgentToken
) -> None:
    """A bolt that was faster than the connection it is for finds it "gone", and does no harm."""
    stores.presence.sign_of_life(token, 1000, attributes={"ci": {"S": "c1"}})
    stores.presence.drop_connection(ORG, token.ven_id, "c1", heard_before=990)
    row = stores.presence.get(ORG, token.ven_id)
    assert row is not None and row.connection_id == "c1"
    stores.presence.drop_connection(ORG, token.ven_id, "another", heard_before=1001)
    stores.presence.drop_connection(ORG, token.ven_id, "c1", heard_before=1001)
    row = stores.presence.get(ORG, token.ven_id)
    assert row is not None and row.connection_id == ""
