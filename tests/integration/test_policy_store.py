"""Stored policies: how many requests they cost, and what becomes of what is old or large."""

import functools
import ipaddress
import time
import uuid
from collections.abc import Iterator

import msgspec
import pytest

from pce.errors import TooLarge, Unavailable
from pce.identifiers import OrgId
from pce.policy.incremental.effect import SetChange
from pce.policy.incremental.engine import Engine
from pce.policy.parts import ClassPart, Target, WideHead, WidePart, set_digest, version_name
from pce.presence.heartbeat import facts_hash
from pce.presence.record import Presence
from pce.runtime.wiring import Wiring
from pce.store import policies
from pce.store.address_sets import AddressSets, SetVersion
from pce.store.change import Change, PolicyChange, PresenceChange
from pce.store.policies import PolicyStore
from pce.store.presence import token_hash
from pce.usecases import compile_policy as compiling
from pce.usecases import fetch_policy as fetching
from pce.usecases.fetch_policy import fetch_policy
from pce.usecases.record_heartbeat import record_heartbeat
from tests.fakes.installation import Requests, fake_aws, installed
from tests.fakes.policies import fetched
from tests.fakes.policy_org import ORG, PolicyOrg, another_worker
from ven_protocol.messages import Heartbeat, HostFacts
from ven_protocol.paths import AgentToken

NOW = 1_790_000_000
HEARTBEAT = Heartbeat(host=HostFacts(hostname="web-1", version="1.0.0"), uptime_seconds=5)


@pytest.fixture
def stores() -> Iterator[Wiring]:
    with installed() as stores:
        yield stores


def addresses(count: int, first: str = "10.0.0.1") -> list[str]:
    start = ipaddress.ip_address(first)
    return sorted(str(start + number) for number in range(count))


# -- a compile -----------------------------------------------------------------------------------


def org_of_roles(stores: Wiring, roles: int) -> PolicyOrg:
    """Roles of ten workloads; each talks within itself, and role 2 to role 1."""
    org = PolicyOrg(stores)
    org.label(*range(1, roles + 1))
    for label in range(1, roles + 1):
        org.add(*range(label * 10, label * 10 + 10), label=label)
    org.provision((1, 2, 80), *((label, label, 22) for label in range(1, roles + 1)))
    org.compile()
    return org


@pytest.fixture
def org(stores: Wiring) -> PolicyOrg:
    """Two roles."""
    return org_of_roles(stores, 2)


def test_an_address_costs_what_it_concerns(stores: Wiring) -> None:
    """One of 200 workloads gets another address. Twenty VENs have it in their sets, so their rows
    are written; all else is a few requests, whatever the size of the org. Nothing is queried but
    the change log."""
    big_org = org_of_roles(stores, 20)
    big_org.move(10, "10.9.9.9")
    with Requests(stores) as requests:
        done = big_org.compile()
    work = done.statistics
    assert (done.retargeted, work.classes_changed) == (20, 2)
    assert (work.members_added, work.members_removed) == (1, 1)
    assert requests.counts == {
        "Query": 1,
        "UpdateItem": 1 + 20 + 2,  # a number, the rows, two class parts that nobody needs now
        "BatchGetItem": 2,  # the workload, the version of the set before
        "BatchWriteItem": 2,  # the set and the class parts; the drained change log
        "GetItem": 1,  # the latest number
        "GetObject": 1,
        "PutObject": 1,  # the directory
        "PutItem": 1,  # word of what was looked at
    }
    big_org.assert_converged()


def test_a_wide_change_writes_no_rows(stores: Wiring, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address in a set that all have: a set, a former head, a head."""
    monkeypatch.setattr(compiling, "Engine", functools.partial(Engine, wide_from=10))
    org = PolicyOrg(stores)
    org.label(1)
    org.add(*range(1, 31))
    org.provision(("ams", "ams", 80))
    org.compile()
    org.move(1, "10.9.9.9")
    with Requests(stores) as requests:
        done = org.compile()
    assert done.retargeted == 0
    assert requests.counts["UpdateItem"] < 10, "a number and what plans the wave"
    assert requests.counts["PutItem"] < 10
    org.assert_converged()


def test_what_concerns_no_ven_writes_no_policy(org: PolicyOrg) -> None:
    """A host name: the change log, the workload, the directory."""
    org.edit(10, hostname="another")
    with Requests(org.stores) as requests:
        done = org.compile()
    assert done.retargeted == done.statistics.classes_changed == 0
    assert requests.counts["UpdateItem"] == 1
    assert sum(requests.counts.values()) <= 9


def test_what_is_needed_again_stays(org: PolicyOrg) -> None:
    """Rules that are taken back and come again: their sets were about to expire, and do not."""
    org.provision()
    org.compile()
    org.provision((1, 2, 80))
    org.compile()
    org.assert_converged()


def test_changes_are_read_and_nothing_else(org: PolicyOrg) -> None:
    """Warm, whatever changed; read whole only when an entry of the log does not say what."""
    org.label(99)
    org.relabel(10, 99)
    org.provision((1, 99, 80))
    assert not org.compile().fresh
    org.assert_converged()
    org.stores.objects.commit(Change(ORG, policy_changes=(PolicyChange("workload"),)))
    assert org.compile().fresh
    unknown = PolicyChange("workload", ("/orgs/1/moon_phases/3",))
    org.stores.objects.commit(Change(ORG, policy_changes=(unknown,)))
    assert org.compile().fresh
    org.assert_converged()


# -- heartbeats and fetches ----------------------------------------------------------------------


@pytest.fixture
def wide_ven(stores: Wiring) -> AgentToken:
    """A VEN whose policy has the wide part in slot 2; generation 5 of 7."""
    token = AgentToken.new(ORG, uuid.uuid4())
    created = PresenceChange(token.ven_id, create_at=100, token_hash=token_hash(token.secret))
    stores.objects.commit(Change(ORG, presence=(created,)))
    stores.presence.set_facts_hash(ORG, token.ven_id, facts_hash(HEARTBEAT))
    stores.presence.set_target(ORG, token.ven_id, Target("a" * 32, 0b100), 1, now=100)
    assert stores.policies.replace_wide_head(ORG, WideHead(), head(7, 5), NOW)
    return token


def head(generation: int, changed: int) -> WideHead:
    return WideHead(generation=generation, parts={"wx": WidePart(2, changed, "d")})


def beat(stores: Wiring, token: AgentToken, held: str = "") -> str:
    heartbeat = msgspec.structs.replace(HEARTBEAT, applied_etag=held)
    return record_heartbeat(token, heartbeat, stores, now=200).etag


def test_a_heartbeat_with_wide_parts_is_one_write_and_a_cached_read(
    stores: Wiring, wide_ven: AgentToken
) -> None:
    """The head of the org is read once in two seconds, by however many heartbeats."""
    other = another_worker()
    with Requests(stores) as requests:
        assert beat(other, wide_ven) == "a" * 32 + ".5"
    assert requests.counts == {"UpdateItem": 1, "GetItem": 1}
    with Requests(stores) as requests:
        assert beat(other, wide_ven) == "a" * 32 + ".5"
    assert requests.counts == {"UpdateItem": 1}


def test_no_heartbeat_names_an_older_policy_than_the_ven_holds(
    stores: Wiring, wide_ven: AgentToken
) -> None:
    """A VEN that knows of a later generation than this environment's memory has it read again."""
    other = another_worker()
    assert beat(other, wide_ven) == "a" * 32 + ".5"
    assert stores.policies.replace_wide_head(ORG, head(7, 5), head(8, 8), NOW)
    assert beat(other, wide_ven, "a" * 32 + ".8") == "a" * 32 + ".8"


def test_a_fetch_sees_the_head_that_was_announced(stores: Wiring, wide_ven: AgentToken) -> None:
    """A bolt must not find an environment that remembers the head of a second ago."""
    other = another_worker()
    assert beat(other, wide_ven) == "a" * 32 + ".5"
    assert stores.policies.replace_wide_head(ORG, head(7, 5), head(8, 8), NOW)
    row = stores.presence.get(ORG, wide_ven.ven_id)
    assert row is not None
    assert fetch_policy(row, "a" * 32 + ".8", other).etag == "a" * 32 + ".8"


def test_a_head_is_replaced_once(stores: Wiring, wide_ven: AgentToken) -> None:
    """By whoever saw the present one; the former one is kept; a repeat is no failure."""
    policies = stores.policies
    assert policies.replace_wide_head(ORG, head(7, 5), head(8, 8), NOW)
    assert policies.replace_wide_head(ORG, head(7, 5), head(8, 8), NOW)
    assert not policies.replace_wide_head(ORG, head(7, 5), head(8, 5), NOW)
    assert policies.former_head(ORG, 7) == head(7, 5)
    assert policies.former_head(ORG, 6) is None


@pytest.fixture
def served(stores: Wiring) -> Presence:
    """The row of a VEN whose class part is stored."""
    part = ClassPart(mode="full", visibility="flow_off")
    stores.policies.put_parts(ORG, {"c" * 32: part}, 1)
    return Presence(ORG, uuid.uuid4(), NOW, target="c" * 32)


@pytest.mark.parametrize(
    "held", ["", "x", "*", "b" * 32, "b" * 32 + ".7", "c" * 32 + ".1", "b" * 32 + ".", "é" * 32]
)
def test_what_a_ven_claims_to_hold_and_nobody_knows_gets_the_document(
    stores: Wiring, served: Presence, held: str
) -> None:
    """Etags that have expired, of other orgs, or that never were."""
    reply = fetched(stores, served, held)
    assert reply is not None and reply.document is not None and reply.delta is None


def test_a_reply_is_made_once(stores: Wiring, served: Presence) -> None:
    """VENs that go the same way get the same bytes, and nothing is read for the second."""
    first = fetch_policy(served, "b" * 32, stores)
    with Requests(stores) as requests:
        assert fetch_policy(served, "b" * 32, stores).gzipped is first.gzipped
    assert not requests.counts


def test_a_fleet_that_fetches_together_costs_one_read_each(
    stores: Wiring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of VENs with wide parts a process reads the first one's row once more, since the head may be
    newer than it. After that it knows the head, and reads nothing else."""
    monkeypatch.setattr(compiling, "Engine", functools.partial(Engine, wide_from=3))
    org = org_of_roles(stores, 1)
    org.provision((1, 1, 80))
    org.compile()
    rows = stores.presence.all_of(ORG)
    assert all(row.wide_slots for row in rows)
    process = another_worker()
    with Requests(process) as requests:
        fetch_policy(rows[0], "a" * 32, process, time.monotonic())
    assert requests.counts["GetItem"] == 2  # the head and the row
    with Requests(process) as requests:
        for row in rows[1:]:
            fetch_policy(row, "a" * 32, process, time.monotonic())
    assert requests.counts == {"GetItem": len(rows) - 1}


def test_a_part_that_is_not_stored_is_our_trouble(stores: Wiring) -> None:
    """503, and the VEN keeps what it enforces: never an empty policy."""
    row = Presence(ORG, uuid.uuid4(), NOW, target="d" * 32)
    with pytest.raises(Unavailable, match="keep what you enforce"):
        fetch_policy(row, "", stores)


def test_a_policy_that_no_reply_can_hold_is_refused(
    stores: Wiring, served: Presence, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its size and the limit; the VEN keeps what it enforces."""
    monkeypatch.setattr(fetching, "MAX_REPLY_BYTES", 10)
    with pytest.raises(TooLarge, match="at most 10 fit"):
        fetch_policy(served, "", stores)


# -- sets ----------------------------------------------------------------------------------------


class Sets:
    """One address set, changed from compile to compile."""

    def __init__(self, stores: Wiring, members: list[str]) -> None:
        self.policies = stores.policies
        self.sets = stores.address_sets
        self.number = 0
        self.members: list[str] = []
        self.digest: str | None = None
        self.replace(members)

    def replace(self, members: list[str]) -> str:
        before, now = set(self.members), set(members)
        change = SetChange(
            set_digest(members),
            self.digest,
            tuple(sorted(now - before)),
            tuple(sorted(before - now)),
        )
        if self.digest is None:
            change = SetChange(change.digest, None)
        self.number += 1
        done = self.sets.to_put(ORG, {"w1": change}, lambda id: members, self.number)
        self.policies.put_parts(ORG, done.versions, self.number)
        former = self.digest and version_name("w1", self.digest)
        retired = ({former} - {None} | done.retired) - done.needed
        self.sets.note(ORG, done.needed, retired, self.number)
        for name in retired:
            self.policies.retire(ORG, name, self.number, NOW)
        self.members, self.digest = members, change.digest
        return change.digest

    def stored(self, digest: str) -> SetVersion:
        name = version_name("w1", digest)
        return another_worker().policies.parts(ORG, [name], SetVersion)[name]

    def read(self, digest: str) -> list[str]:
        found = another_worker().address_sets.members(ORG, {"w1": digest})
        return msgspec.json.decode(found["w1"])


def expiring() -> set[str]:
    items = fake_aws().client("dynamodb").scan(TableName="policy")["Items"]
    return {item["pk"]["S"].rpartition("@")[2] for item in items if "ttl" in item}


def test_an_address_in_a_large_set_is_a_small_item(stores: Wiring) -> None:
    """5,000 addresses are stored once; what comes and goes lies over them, until it outgrows its
    limit. Old versions can be read all the same."""
    every = addresses(5000)
    sets = Sets(stores, every)
    first = sets.digest
    one = sets.replace([*every, "192.0.2.1"])
    two = sets.replace([*every[1:], "192.0.2.1"])
    assert sets.stored(one).base == sets.stored(two).base == first
    assert (sets.stored(two).added, sets.stored(two).removed) == (["192.0.2.1"], [every[0]])
    assert expiring() == {one}, "what the present version rests on stays"
    whole = sets.replace(sorted([*every[2000:], "192.0.2.1"]))
    assert not sets.stored(whole).base
    assert expiring() == {first, one, two}
    assert sets.read(two) == [*every[1:], "192.0.2.1"]
    assert sets.read(whole) == sets.members


def test_the_way_between_two_versions_takes_no_members(stores: Wiring) -> None:
    """Over one base it is told from what differs: two small items, and the base is not read."""
    every = addresses(5000)
    sets = Sets(stores, every)
    old = sets.replace([*every, "192.0.2.1"])
    new = sets.replace([*every[1:], "192.0.2.2"])
    other = another_worker()
    with Requests(stores) as requests:
        delta = other.address_sets.delta(ORG, "w1", old, new)
    assert requests.counts == {"BatchGetItem": 1}
    assert delta is not None
    assert (delta.added, delta.removed) == (["192.0.2.2"], sorted([every[0], "192.0.2.1"]))


def test_an_address_that_comes_back_writes_nothing_large(stores: Wiring) -> None:
    """To and fro between two versions: the whole one is written once."""
    every = addresses(5000)
    sets = Sets(stores, every)
    sets.replace([*every, "192.0.2.1"])
    with Requests(stores) as requests:
        assert sets.replace(every) == set_digest(every)
    assert "BatchWriteItem" not in requests.counts
    assert set_digest(every) not in expiring()


def test_another_worker_rests_on_what_the_first_one_stored(stores: Wiring) -> None:
    """It reads the version before, and sees to it that the base stays."""
    every = addresses(5000)
    sets = Sets(stores, every)
    first = sets.digest
    sets.replace([*every, "192.0.2.1"])
    sets.sets = another_worker().address_sets
    assert sets.stored(sets.replace([*every, "192.0.2.2"])).base == first


def test_what_was_overtaken_lets_nothing_expire(stores: Wiring) -> None:
    """A late compile retires only what no later one has put or kept."""
    every = addresses(5000)
    sets = Sets(stores, every)
    base = version_name("w1", sets.digest or "")
    sets.number += 5
    sets.sets = another_worker().address_sets
    sets.replace([*every, "192.0.2.1"])
    assert not stores.policies.retire(ORG, base, sets.number - 1, NOW)
    assert stores.policies.retire(ORG, base, sets.number, NOW)


def test_a_base_that_expired_is_not_rested_on(stores: Wiring) -> None:
    """The set is stored whole again."""
    every = addresses(5000)
    sets = Sets(stores, every)
    first = sets.digest or ""
    sets.replace([*every, "192.0.2.1"])
    key = {"pk": {"S": f"1#part#{version_name('w1', first)}"}, "sk": {"S": "0"}}
    fake_aws().client("dynamodb").delete_item(TableName="policy", Key=key)
    sets.sets = another_worker().address_sets
    assert not sets.stored(sets.replace([*every, "192.0.2.2"])).base


def test_a_part_that_fits_no_item_takes_several(
    stores: Wiring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read, kept and retired whole; with a piece missing it is not there."""
    monkeypatch.setattr(policies, "CHUNK_BYTES", 500)
    members = addresses(3000)
    digest = Sets(stores, members).digest or ""
    name = version_name("w1", digest)
    fresh = PolicyStore("policy", stores.dynamodb)
    found = AddressSets(fresh).members(ORG, {"w1": digest})
    assert msgspec.json.decode(found["w1"]) == members
    dynamodb = fake_aws().client("dynamodb")
    items = dynamodb.scan(TableName="policy")["Items"]
    assert len(items) > 2
    assert stores.policies.retire(ORG, name, 1, NOW)
    items = dynamodb.scan(TableName="policy")["Items"]
    assert all("ttl" in item for item in items)
    assert stores.policies.keep(ORG, name, 2)
    items = dynamodb.scan(TableName="policy")["Items"]
    assert not any("ttl" in item for item in items)
    dynamodb.delete_item(TableName="policy", Key={"pk": items[0]["pk"], "sk": {"S": "1"}})
    fresh = PolicyStore("policy", stores.dynamodb)
    assert not AddressSets(fresh).members(OrgId(1), {"w1": digest})
