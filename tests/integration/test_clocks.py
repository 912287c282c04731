"""The clocks that an org sets: who is told what, and when, to the second."""

import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from pce.errors import Unauthenticated
from pce.identifiers import OrgId, tail
from pce.runtime.wiring import Wiring
from pce.store.compression import unpack_json
from pce.store.queues import BoltBatch, BoltOrder
from pce.usecases.change_ven_state import note_lost_agent, say_goodbye
from pce.usecases.record_heartbeat import record_heartbeat
from pce.usecases.send_bolts import send_bolts
from pce.usecases.sweep_presence import Swept, sweep_presence
from tests.fakes.api import Api, new_org
from tests.fakes.installation import fake_aws, installed
from tests.fakes.pairing import PairedVen, pair
from ven_protocol.messages import (
    ClusterMembership,
    Goodbye,
    Heartbeat,
    HeartbeatReply,
    HostFacts,
    LostAgent,
    settings_digest,
)
from ven_protocol.paths import AgentToken

START = int(time.time())
"""The API knows no other clock than the real one."""
OFFLINE = "workload_disconnected_timeout_seconds"
GOODBYE = "workload_goodbye_timeout_seconds"
WARNING = "workload_disconnected_notification_seconds"
UNINSTALL = "ven_uninstall_timeout_hours"
HEARTBEAT = "ven_heartbeat_interval_seconds"
FLOWS = "ven_flow_log_interval_seconds"
HOUR = 3600
NO_OUTAGE_S = 10**6
"""A sweep interval that makes no gap between two sweeps an outage."""


@dataclass
class Pce:
    """An installation with one org, and its clock in seconds since ``START``."""

    stores: Wiring
    api: Api
    now: int = 0

    @property
    def org_id(self) -> OrgId:
        return OrgId(self.api.created["org_id"])

    def label(self, key: str, value: str) -> dict[str, str]:
        return {
            "href": self.api.post(f"{self.api.org}/labels", {"key": key, "value": value})["href"]
        }

    def set(self, **lists: list[dict[str, Any]]) -> None:
        self.api.put(f"{self.api.org}/settings/workloads", lists)

    def pair(self, name: str, ven_type: str = "server", labels: tuple[Any, ...] = ()) -> PairedVen:
        wish: dict[str, Any] = {"ven_type": ven_type}
        if ven_type == "containerized":
            made = self.api.post(f"{self.api.org}/container_clusters", {"name": name})
            wish["container_cluster"] = ClusterMembership(
                id=tail(made["href"]), token=made["container_cluster_token"]
            )
        ven = pair(self.api, self.stores, name, START + self.now, **wish)
        if labels:
            self.api.put(ven.workload_href, {"labels": list(labels)})
        self.heartbeat(ven, name)
        return ven

    def heartbeat(self, ven: PairedVen, name: str, **more: Any) -> HeartbeatReply:
        facts = HostFacts(hostname=name, version="1.2.3-4", os_id="debian-12")
        message = Heartbeat(host=facts, uptime_seconds=1, **more)
        return record_heartbeat(ven.token, message, self.stores, START + self.now)

    def sweep(self) -> Swept:
        return sweep_presence(self.stores, START + self.now, NO_OUTAGE_S)

    def events(self) -> list[dict[str, Any]]:
        items = fake_aws().client("dynamodb").scan(TableName="events")["Items"]
        found = [unpack_json(item["body"]["B"]) for item in items]
        return sorted(found, key=lambda event: event["href"])

    def told(self) -> Counter[tuple[str, str]]:
        """How often each host was told of, by event type."""
        counts: Counter[tuple[str, str]] = Counter()
        for event in self.events():
            for notification in event["notifications"]:
                if agent := (notification["info"] or {}).get("agent"):
                    counts[agent["hostname"], event["event_type"]] += 1
            for change in event["resource_changes"]:
                host = (change["resource"].get("workload") or {}).get("hostname")
                if host and event["event_type"].endswith("offline_check"):
                    counts[host, event["event_type"]] += not event["notifications"]
        return counts

    def online(self, ven: PairedVen) -> bool:
        return bool(self.api.get(ven.workload_href)["online"])


@pytest.fixture
def pce() -> Iterator[Pce]:
    with installed() as stores:
        yield Pce(stores, new_org())


MISSED = "system_task.agent_missed_heartbeats_check"
AGENT_CHECK = "system_task.agent_offline_check"
ENDPOINT_CHECK = "system_task.endpoint_offline_check"
NEVER = -1


def test_every_timer_to_the_second(pce: Pce) -> None:
    """Default, scoped, of servers, endpoints and container hosts, never, and goodbyes: one second
    before each timer nothing, at it the event, the flag and ``online``, after it nothing more,
    although every sweep runs twice."""
    prod, web, kept = (
        pce.label(*pair) for pair in (("env", "prod"), ("role", "web"), ("app", "kept"))
    )
    pce.set(
        **{
            OFFLINE: [
                {"scope": [], "value": HOUR},
                {"scope": [prod], "value": 4 * HOUR},
                {"scope": [prod, web], "value": NEVER},
                {"scope": [kept], "value": NEVER},
                {"scope": [prod], "value": 2000, "ven_type": "endpoint"},
                {"scope": [], "value": 5000, "ven_type": "containerized"},
            ],
            GOODBYE: [{"scope": [], "value": 900}, {"scope": [prod], "value": NEVER}],
            WARNING: [{"scope": [web], "warning": 1200, "error": 1800}],
        }
    )
    # Name: type, labels, seconds until warned, until offline.
    silent = {
        "server": ("server", (), [900], HOUR),
        "prod": ("server", (prod,), [HOUR], 4 * HOUR),
        "web": ("server", (web,), [1200, 1800], HOUR),
        "web-prod": ("server", (prod, web), [1200, 1800], None),
        "kept": ("server", (kept,), [900], None),
        "endpoint": ("endpoint", (), [21_600], 86_400),
        "endpoint-prod": ("endpoint", (prod,), [500], 2000),
        "container": ("containerized", (), [1250], 5000),
    }
    leaving = {"bye": ((), 900), "bye-prod": ((prod,), None)}
    vens = {name: pce.pair(name, kind, labels) for name, (kind, labels, *_) in silent.items()}
    for name, (labels, _) in leaving.items():
        vens[name] = pce.pair(name, "server", labels)
        say_goodbye(vens[name].token, Goodbye(), pce.stores, START)
    alive = pce.pair("alive")
    pce.sweep()

    def expected(at: int) -> Counter[tuple[str, str]]:
        counts: Counter[tuple[str, str]] = Counter()
        for name, (kind, _, warned, offline) in silent.items():
            counts[name, MISSED] = sum(timer <= at for timer in warned)
            check = ENDPOINT_CHECK if kind == "endpoint" else AGENT_CHECK
            counts[name, check] = offline is not None and offline <= at
        for name, (_, offline) in leaving.items():
            due = 4 * HOUR if offline is None else offline  # never goodbye: the offline timer
            counts[name, AGENT_CHECK] = due <= at
        return counts

    timers = {t for _, _, warned, offline in silent.values() for t in (*warned, offline) if t}
    timers |= {offline for _, offline in leaving.values() if offline}
    for at in sorted({timer + step for timer in timers for step in (-1, 0, 1)}):
        pce.now = at
        pce.heartbeat(alive, "alive")
        for _ in range(2):
            pce.sweep()
        assert +pce.told() == +expected(at), f"after {at} s"
    online = {name for name, ven in vens.items() if pce.online(ven)}
    assert online == {"web-prod", "kept"}
    assert pce.api.get(vens["bye"].href)["status"] == "stopped"
    [condition] = pce.api.get(vens["web"].href)["conditions"]
    latest = condition["latest_event"]
    assert (latest["severity"], latest["notification_type"]) == ("err", "agent.missed_heartbeats")
    assert condition["first_reported_timestamp"] < latest["timestamp"]
    assert pce.api.get(latest["href"])["event_type"] == MISSED
    pce.heartbeat(vens["web"], "web")
    assert pce.api.get(vens["web"].href)["conditions"] == []
    assert pce.online(vens["web"])


def test_two_sweeps_at_once_tell_everything_once(pce: Pce) -> None:
    """Four threads, as when Scheduler delivers twice and one run is slow."""
    vens = [pce.pair(f"host-{number}") for number in range(6)]
    alive = pce.pair("alive")
    pce.sweep()
    for at, told in ((900, MISSED), (HOUR, AGENT_CHECK)):
        pce.now = at
        pce.heartbeat(alive, "alive")
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda _: pce.sweep(), range(4)))
        assert [pce.told()[f"host-{number}", told] for number in range(6)] == [1] * 6
    assert not any(map(pce.online, vens))


def test_a_heartbeat_that_a_sweep_did_not_see_wins(
    pce: Pce, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweep read its rows, then the VEN was heard, then the sweep wrote: no warning, and nobody
    is isolated who is there."""
    late, alive = pce.pair("late"), pce.pair("alive")
    pce.sweep()
    for at in (900, HOUR):
        pce.now = at
        pce.heartbeat(alive, "alive")
        rows = list(pce.stores.presence.all_for_sweep())
        with monkeypatch.context() as patched:
            patched.setattr(pce.stores.presence, "all_for_sweep", lambda seen=rows: iter(seen))
            pce.now = at + 1
            pce.heartbeat(late, "late")
            swept = pce.sweep()
        assert (swept.transitions, swept.lost_races) == (1, 1)
        pce.stores.presence.sign_of_life(late.token, START)  # silent from the beginning again
    assert pce.online(late)
    assert not +pce.told()


def test_a_change_of_labels_or_settings_counts_from_the_next_sweep(pce: Pce) -> None:
    """A VEN that gets the label of a short scope is measured by it; an entry that is taken away
    gives the default back."""
    quick = pce.label("app", "quick")
    pce.set(**{OFFLINE: [{"scope": [quick], "value": 600}]})
    ven, alive = pce.pair("one"), pce.pair("alive")
    pce.sweep()
    pce.now = 700
    pce.heartbeat(alive, "alive")
    pce.sweep()
    assert pce.online(ven)
    pce.api.put(ven.workload_href, {"labels": [quick]})
    pce.sweep()
    assert not pce.online(ven)
    pce.heartbeat(ven, "one")
    pce.set(**{OFFLINE: []})
    pce.now = 1400
    pce.heartbeat(alive, "alive")
    pce.sweep()
    assert pce.online(ven)


def test_an_installation_tells_vens_the_documents_intervals(pce: Pce) -> None:
    """Where nobody set others: heartbeats every 5 minutes, the traffic log every 10."""
    settings = pce.heartbeat(pce.pair("one"), "one", settings_digest="0" * 16).settings
    assert settings is not None
    assert (settings.intervals.heartbeat_s, settings.intervals.flows_s) == (300, 600)


def test_intervals_reach_the_ven_by_bolt_and_heartbeat(pce: Pce) -> None:
    """A scope's heartbeat and flow interval come with the next reply, a bolt asks for it, others
    keep theirs, and a VEN that pairs later has them from the start. At rest nothing is written."""
    slow = pce.label("app", "slow")
    ven, other = pce.pair("slow", labels=(slow,)), pce.pair("other")
    pce.stores.presence.sign_of_life(ven.token, START, attributes={"ci": {"S": "connection"}})
    pce.set(
        **{
            HEARTBEAT: [
                {"scope": [slow], "value": 60},
                {"scope": [], "value": 900, "ven_type": "endpoint"},
            ],
            FLOWS: [{"scope": [slow], "value": 120}],
        }
    )
    assert pce.sweep().new_clocks == 1
    assert pce.sweep().new_clocks == 0
    url = pce.stores.environment.queues.bolts
    [message] = fake_aws().client("sqs").receive_message(QueueUrl=url)["Messages"]
    batch = msgspec.json.decode(message["Body"])
    assert (batch["kind"], batch["orders"][0]["connection_id"]) == ("heartbeat", "connection")

    reply = pce.heartbeat(ven, "slow", settings_digest="0" * 16)
    assert reply.settings is not None
    assert (reply.settings.intervals.heartbeat_s, reply.settings.intervals.flows_s) == (60, 120)
    assert reply.next_heartbeat_s == 60
    known = settings_digest(reply.settings)
    assert pce.heartbeat(ven, "slow", settings_digest=known).settings is None
    assert pce.heartbeat(other, "other").next_heartbeat_s == 300
    endpoint = pair(pce.api, pce.stores, "laptop", START, ven_type="endpoint")
    assert pce.heartbeat(endpoint, "laptop").next_heartbeat_s == 900
    assert pce.sweep().new_clocks == 0

    pce.set(**{HEARTBEAT: [], FLOWS: []})
    assert pce.sweep().new_clocks == 2
    reply = pce.heartbeat(ven, "slow", settings_digest=known)
    assert reply.settings == pce.stores.ven_settings


def test_a_bolt_that_asks_for_a_heartbeat(pce: Pce, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is queued by the sweep is sent as such."""
    sent: list[bytes] = []

    def send(bolts: list[tuple[str, bytes]]) -> list[str]:
        sent.extend(body for _, body in bolts)
        return ["sent"] * len(bolts)

    monkeypatch.setattr(pce.stores.bolts, "send", send)
    order = BoltOrder(str(uuid.uuid4()), "connection", "")
    send_bolts(BoltBatch(1, [order], "settings", kind="heartbeat"), pce.stores, START)
    assert [msgspec.json.decode(body)["type"] for body in sent] == ["heartbeat"]


def test_an_unpaired_ven_that_never_answers(pce: Pce) -> None:
    """It is not warned about, and told to go whenever it calls. When the uninstall timer has run
    out its token is void and one event says so; if it calls after that, one more."""
    pce.set(**{UNINSTALL: [{"scope": [], "value": 10}]})
    silent, late, alive = pce.pair("silent"), pce.pair("late"), pce.pair("alive")
    hrefs = [{"href": ven.href} for ven in (silent, late)]
    pce.api.put(f"{pce.api.org}/vens/unpair", {"vens": hrefs}, 200)
    pce.sweep()
    for at in (5 * HOUR, 10 * HOUR - 60):
        pce.now = at
        pce.heartbeat(alive, "alive")
        pce.sweep()
    assert [a.type for a in pce.heartbeat(late, "late").actions] == ["unpair"]
    assert not +pce.told()
    pce.now = int(time.time()) - START + 10 * HOUR + 60  # it was unpaired by the API's clock
    pce.heartbeat(alive, "alive")
    for _ in range(2):
        pce.sweep()
    assert +pce.told() == {("silent", "system_task.agent_uninstall_timeout"): 1}
    assert pce.stores.presence.get(pce.org_id, late.id) is not None
    with pytest.raises(Unauthenticated) as refused:
        pce.heartbeat(silent, "silent")
    assert refused.value.problems[0].token == "invalid_agent_token"
    for _ in range(2):
        note_lost_agent(silent.token, LostAgent(hostname="silent"), pce.stores, START + pce.now)
    [lost] = [e for e in pce.events() if e["event_type"] == "lost_agent.found"]
    assert "by hand" in lost["notifications"][0]["info"]["message"]


def test_nobody_can_fill_the_log_with_lost_agents(pce: Pce) -> None:
    """A VEN that never was is not noted; nor one of another org."""
    ven = pce.pair("one")
    for token in (AgentToken.new(pce.org_id, uuid.uuid4()), AgentToken.new(99, ven.id)):
        note_lost_agent(token, LostAgent(hostname="x"), pce.stores, START)
    assert not [e for e in pce.events() if e["event_type"] == "lost_agent.found"]
