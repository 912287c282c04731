"""A VEN's life on the PCE, told with a clock of the test's own: each thing happens exactly once."""

import dataclasses
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from pce.errors import Unauthenticated
from pce.identifiers import INSTALLATION, OrgId
from pce.objects.settings import WORKLOAD_SETTINGS
from pce.pairing.activation import code_hash
from pce.runtime.wiring import Wiring
from pce.store.change import Change, Put
from pce.store.policies import UNFINISHED_AFTER_S
from pce.usecases import sweep_presence as sweeping
from pce.usecases.activate_ven import activate_ven
from pce.usecases.change_ven_state import deactivate, say_goodbye, suspend, unsuspend
from pce.usecases.compile_policy import compile_policy
from pce.usecases.create_org import create_org
from pce.usecases.record_heartbeat import record_heartbeat
from pce.usecases.sweep_presence import sweep_presence
from tests.fakes.installation import installed
from tests.fakes.policies import wanted_document
from ven_protocol.messages import Activate, Deactivate, Goodbye, Heartbeat, HostFacts, Interface
from ven_protocol.paths import AgentToken

START = 1_790_000_000
HOUR = 3600
MISSED = "system_task.agent_missed_heartbeats_check"
OFFLINE = "system_task.agent_offline_check"


class Pce:
    """An installation with one org, and its clock."""

    def __init__(self, stores: Wiring) -> None:
        self.stores = stores
        self.now = START
        created = create_org("test", "", stores, START)
        self.org_id, self.code = OrgId(created.org_id), created.activation_code
        self.sweep()

    def pair(self, number: int) -> AgentToken:
        wish = Activate(
            activation_code=self.code,
            host=HostFacts(hostname=f"host-{number}", version="1.0.0"),
            interfaces=[Interface(name="eth0", address=f"10.0.0.{number}")],
        )
        token = AgentToken.parse(activate_ven(wish, self.stores, self.now).agent_token)
        assert token is not None
        self.heartbeat(token, number)
        return token

    def heartbeat(self, token: AgentToken, number: int) -> None:
        host = HostFacts(hostname=f"host-{number}", version="1.0.0")
        record_heartbeat(token, Heartbeat(host=host, uptime_seconds=1), self.stores, self.now)

    def sweep(self) -> None:
        sweep_presence(self.stores, self.now, 60)

    def pass_time(self, seconds: int, alive: dict[int, AgentToken] | None = None) -> None:
        """Minutes go by: the living send heartbeats, the sweep runs."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(self.now + 60, end)
            for number, token in (alive or {}).items():
                self.heartbeat(token, number)
            self.sweep()

    def compile(self) -> None:
        compile_policy(self.org_id, self.stores, lambda: self.now)

    def online(self, token: AgentToken) -> bool:
        stored = self.stores.objects.get(self.org_id, "workloads", str(token.ven_id))
        assert stored is not None
        return bool(stored.document["online"])

    def events(self) -> Counter[str]:
        """Event types in the org's table, whenever they happened."""
        import boto3

        from pce.store.compression import unpack_json

        items = boto3.client("dynamodb").scan(TableName="events")["Items"]
        return Counter(unpack_json(item["body"]["B"])["event_type"] for item in items)

    def reasons(self) -> list[str]:
        return [entry.reason for entry in self.stores.objects.change_log(self.org_id)]


@pytest.fixture
def pce() -> Iterator[Pce]:
    with installed() as stores:
        yield Pce(stores)


def test_silence_warns_then_isolates_then_forgives(pce: Pce) -> None:
    """An hour of silence: one alert at 15 minutes, offline at 60, back at the next heartbeat."""
    silent, alive = pce.pair(1), pce.pair(2)
    pce.compile()
    pce.pass_time(14 * 60, {2: alive})
    assert pce.events()[MISSED] == 0
    pce.pass_time(2 * 60, {2: alive})
    assert pce.events()[MISSED] == 1
    pce.pass_time(43 * 60, {2: alive})
    assert pce.online(silent)
    pce.pass_time(2 * 60, {2: alive})
    assert not pce.online(silent)
    assert pce.reasons() == ["offline"]
    pce.pass_time(HOUR, {2: alive})
    counts = pce.events()
    assert (counts[MISSED], counts[OFFLINE]) == (1, 1)
    pce.compile()
    pce.heartbeat(silent, 1)
    pce.heartbeat(silent, 1)
    assert pce.online(silent)
    assert pce.reasons() == ["online"]
    assert pce.events()["workload.online"] == 1
    assert pce.online(alive)


def test_a_goodbye_isolates_after_its_own_timer(pce: Pce) -> None:
    """15 minutes after an orderly stop, not 60."""
    leaving, alive = pce.pair(1), pce.pair(2)
    say_goodbye(leaving, Goodbye(), pce.stores, pce.now)
    pce.pass_time(14 * 60, {2: alive})
    assert pce.online(leaving)
    pce.pass_time(2 * 60, {2: alive})
    assert not pce.online(leaving)
    row = pce.stores.presence.get(pce.org_id, leaving.ven_id)
    assert row is not None and row.status == "stopped"
    pce.heartbeat(leaving, 1)
    row = pce.stores.presence.get(pce.org_id, leaving.ven_id)
    assert row is not None and row.status == "active" and pce.online(leaving)


def test_a_restart_within_the_goodbye_timer_is_nothing(pce: Pce) -> None:
    """A VEN that says goodbye and comes back is never isolated."""
    token, alive = pce.pair(1), pce.pair(2)
    say_goodbye(token, Goodbye(reason="restart"), pce.stores, pce.now)
    pce.pass_time(5 * 60, {2: alive})
    pce.pass_time(HOUR, {1: token, 2: alive})
    assert pce.online(token) and pce.events()[OFFLINE] == 0


def test_a_suspended_ven_stays_in_policy(pce: Pce) -> None:
    """No heartbeat comes from a suspended VEN, and none is missed."""
    token, alive = pce.pair(1), pce.pair(2)
    suspend(token, pce.stores, pce.now)
    pce.pass_time(3 * HOUR, {2: alive})
    assert pce.online(token) and pce.events()[MISSED] == 0
    unsuspend(token, pce.stores, pce.now)
    pce.pass_time(20 * 60, {2: alive})
    assert pce.events()[MISSED] == 1


def test_an_outage_of_the_pce_isolates_nobody(pce: Pce) -> None:
    """Two hours without sweeps: everybody has the whole timer again to be heard."""
    tokens = {number: pce.pair(number) for number in (1, 2, 3)}
    pce.pass_time(10 * 60, tokens)
    pce.now += 2 * HOUR
    pce.sweep()
    pce.pass_time(30 * 60, {1: tokens[1]})
    assert all(map(pce.online, tokens.values()))


def test_a_whole_fleet_that_falls_silent_is_not_isolated(pce: Pce) -> None:
    """The brake: an event of severity err, once, and marking resumes when somebody is heard."""
    tokens = {number: pce.pair(number) for number in (1, 2, 3)}
    pce.pass_time(90 * 60)
    assert all(map(pce.online, tokens.values()))
    brakes = pce.events()[OFFLINE]
    assert brakes == 1
    pce.pass_time(5 * 60, {1: tokens[1]})
    assert [pce.online(token) for token in tokens.values()] == [True, False, False]


def test_a_person_confirms_that_a_fleet_is_down(pce: Pce) -> None:
    """Through the settings API, until a time of the person's choice."""
    tokens = [pce.pair(number) for number in (1, 2, 3)]
    pce.pass_time(90 * 60)
    assert all(map(pce.online, tokens))
    confirmed = {"mass_offline_confirmed_until": pce.now + 600}
    checked = WORKLOAD_SETTINGS.shape.check(confirmed, "", [])
    stored = pce.stores.objects.get(pce.org_id, "settings", "workloads")
    put = Put("settings", "workloads", checked, stored.rev if stored else None)
    pce.stores.objects.commit(Change(pce.org_id, puts=(put,)))
    pce.pass_time(60)
    assert not any(map(pce.online, tokens))


def test_overlapping_sweeps_do_everything_once(pce: Pce, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two sweeps that read the same rows write each transition once between them."""
    tokens = {number: pce.pair(number) for number in range(1, 6)}
    alive = pce.pair(9)
    pce.pass_time(14 * 60, {9: alive})
    pce.now += 90
    pce.heartbeat(alive, 9)
    rows = list(pce.stores.presence.all_for_sweep())
    monkeypatch.setattr(pce.stores.presence, "all_for_sweep", lambda: iter(rows))
    pce.sweep()
    pce.sweep()
    assert pce.events()[MISSED] == len(tokens)


def test_a_sweep_that_is_cut_short_is_no_outage(pce: Pce, monkeypatch: pytest.MonkeyPatch) -> None:
    """More may be due than one sweep has time to write. The next one goes on from there: it must
    not take the time of the first for an outage, and begin to wait anew."""
    pce.pair(1)
    alive = pce.pair(9)
    pce.pass_time(14 * 60, {9: alive})
    pce.now += 90
    pce.heartbeat(alive, 9)

    def killed(*_: object) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(sweeping, "write_transition", killed)
        with pytest.raises(KeyboardInterrupt):
            pce.sweep()
    assert pce.stores.policies.sweep_state()["last_sweep_at"] == pce.now
    pce.sweep()
    assert pce.events()[MISSED] == 1


def test_a_code_for_one_use_pairs_one_of_many(pce: Pce) -> None:
    """Machines that use a code at the same time cannot use it more often than it allows."""
    hashed = code_hash(pce.code)
    key = pce.stores.objects.get(INSTALLATION, "pairing_keys", hashed)
    assert key is not None
    limited = {**key.document, "max_uses": 2}
    put = Put("pairing_keys", hashed, limited, key.rev, org_id=INSTALLATION)
    pce.stores.objects.commit(Change(pce.org_id, puts=(put,)))

    def try_to_pair(number: int) -> bool:
        try:
            pce.pair(number)
        except Unauthenticated as error:
            assert error.problems[0].token == "activation_code_used_up"
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        paired = list(pool.map(try_to_pair, range(1, 7)))
    assert sum(paired) == 2
    assert len(pce.stores.presence.all_of(pce.org_id)) == 2


def test_deactivation_takes_the_workload_out(pce: Pce) -> None:
    """The token is void, the workload deleted, and peers' policy is computed again."""
    token = pce.pair(1)
    pce.compile()
    deactivate(token, Deactivate(), pce.stores, pce.now)
    with pytest.raises(Unauthenticated):
        pce.heartbeat(token, 1)
    stored = pce.stores.objects.get(pce.org_id, "workloads", str(token.ven_id))
    assert stored is not None and stored.document["deleted"]
    assert pce.reasons() == ["unpair"]
    assert pce.stores.presence.get(pce.org_id, token.ven_id) is None


def test_a_killed_compile_is_done_again(pce: Pce) -> None:
    """The change log is emptied last: whatever write a compile dies at, the next one repairs."""
    token = pce.pair(1)
    policies, presence = pce.stores.policies, pce.stores.presence
    for owner, name in (
        (policies, "put_parts"),
        (presence, "set_target"),
        (policies, "is_latest_compile"),
        (pce.stores.directory, "save"),
        (policies, "record_compiled"),
        (pce.stores.objects, "drain_change_log"),
    ):

        def die(*arguments: object, **named: object) -> None:
            raise KeyboardInterrupt

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(owner, name, die)
            with pytest.raises(KeyboardInterrupt):
                compile_policy(pce.org_id, pce.stores, lambda: pce.now)
        assert pce.reasons(), f"the log was emptied before {name}"
    pce.compile()
    assert not pce.reasons()
    assert (
        wanted_document(pce.stores, presence.get(pce.org_id, token.ven_id)).mode
        == "visibility_only"
    )


def test_a_lost_wake_up_is_repaired_by_the_sweep(pce: Pce) -> None:
    """The process died between the transaction and the queue: the next sweep wakes the compiler."""
    import boto3

    pce.pair(1)
    sqs, url = boto3.client("sqs"), pce.stores.environment.queues.compile
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        for message in messages:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    pce.sweep()
    assert sqs.receive_message(QueueUrl=url)["Messages"]


def test_another_ven_of_the_org_is_not_touched(pce: Pce) -> None:
    """What one VEN says of itself changes no other's row."""
    one, two = pce.pair(1), pce.pair(2)
    before = pce.stores.presence.get(pce.org_id, two.ven_id)
    suspend(one, pce.stores, pce.now + 5)
    after = pce.stores.presence.get(pce.org_id, two.ven_id)
    assert before is not None and after is not None
    assert dataclasses.asdict(before) == dataclasses.asdict(after)


def test_an_unfinished_compile_is_found_by_the_sweep(pce: Pce) -> None:
    """A compile that was overtaken, or died, and whose message is lost among the dead letters, left
    an empty change log. A quarter of an hour later the sweep has the whole org compiled once more;
    a compile that ended is left alone, and so is one that may still be at work."""
    pce.pair(1)
    pce.compile()
    pce.now += UNFINISHED_AFTER_S + 1
    pce.sweep()
    assert pce.reasons() == []
    pce.stores.policies.begin_compile(pce.org_id, pce.now)  # and no more is heard of it
    pce.sweep()
    assert pce.reasons() == []
    pce.now += UNFINISHED_AFTER_S + 1
    pce.sweep()
    pce.sweep()
    assert pce.reasons() == ["unfinished_compile"]
    assert compile_policy(pce.org_id, pce.stores, lambda: pce.now).fresh
    pce.now += UNFINISHED_AFTER_S + 1
    pce.sweep()
    assert pce.reasons() == []
