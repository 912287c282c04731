"""Static policy: a new policy waits at the PCE until a person has it applied."""

import time
from typing import Any

import pytest

from pce.identifiers import OrgId
from pce.runtime.wiring import Wiring
from pce.usecases.compile_policy import compile_policy
from pce.usecases.fetch_policy import fetch_policy
from pce.usecases.record_heartbeat import record_heartbeat
from pce.usecases.record_policy_applied import record_policy_applied
from tests.fakes.api import Api, new_org
from tests.fakes.pairing import PairedVen, pair
from ven_protocol.messages import Heartbeat, HeartbeatReply, HostFacts, PolicyApplied

SYNC = "security_policy_sync_state"


class Org:
    """An org, its VEN, and the worker that compiles."""

    def __init__(self, api: Api, stores: Wiring) -> None:
        self.api, self.stores = api, stores
        self.id = OrgId(api.created["org_id"])
        self.ven: PairedVen = pair(api, stores, now=int(time.time()))
        self.applied = ""

    def compile(self) -> int:
        """Bring policy up to date; the number of bolts that were queued."""
        return compile_policy(self.id, self.stores, time.time).bolts

    def heartbeat(self) -> HeartbeatReply:
        facts = HostFacts(hostname="web-1", version="1.2.3-4", os_id="debian-12")
        message = Heartbeat(host=facts, uptime_seconds=77, applied_etag=self.applied)
        return record_heartbeat(self.ven.token, message, self.stores, int(time.time()))

    def connect(self) -> None:
        connection = {"ci": {"S": "bolts-1"}}
        self.stores.presence.sign_of_life(
            self.ven.token, int(time.time()), attributes=connection, remove=("bo",)
        )

    def fetch(self) -> bool:
        """Ask for policy as the VEN does, and apply what comes; whether anything came."""
        row = self.stores.presence.get(self.id, self.ven.id)
        assert row is not None
        fetched = fetch_policy(row, self.applied, self.stores)
        if fetched.gzipped is None:
            return False
        self.applied = fetched.etag
        applied = PolicyApplied(etag=self.applied, success=True, rule_count=1)
        record_policy_applied(self.ven.token, applied, self.stores, int(time.time()))
        return True

    def set_firewall(self, **settings: Any) -> None:
        self.api.put(f"{self.api.draft}/firewall_settings", settings)
        self.api.provision()

    def change_policy(self) -> None:
        """A change that concerns the VEN."""
        mode = self.shown()["enforcement_mode"]
        self.api.put(
            self.ven.workload_href,
            {"enforcement_mode": "full" if mode != "full" else "selective"},
        )

    def shown(self) -> dict[str, Any]:
        found: dict[str, Any] = self.api.get(self.ven.workload_href)
        return found

    def status(self) -> str:
        return str(self.shown()["agent"]["status"][SYNC])

    def apply(self) -> dict[str, Any]:
        body = {"workloads": [{"href": self.ven.workload_href}]}
        found: dict[str, Any] = self.api.put(
            f"{self.api.org}/workloads/apply_policy", body, status=200
        )
        return found


@pytest.fixture
def org(api: Api, stores: Wiring) -> Org:
    org = Org(api, stores)
    org.compile()
    assert org.fetch()
    org.connect()
    return org


def test_a_static_workload_keeps_its_policy_until_a_person_says_so(org: Org) -> None:
    """No bolt, no etag in the heartbeat's reply and no fetch tells the VEN of a change; once asked
    for, the newest comes by heartbeat or fetch, and what is newer than that waits again."""
    org.set_firewall(static_policy_scopes=[[]])
    assert org.compile() == 0
    first = org.applied
    assert org.heartbeat().etag == first and not org.fetch()
    assert org.status() == "staged"
    assert org.shown()["agent"]["config"]["security_policy_update_mode"] == "static"

    assert org.apply() == {"errors": []}
    newest = org.heartbeat().etag
    assert newest != first
    assert org.fetch() and org.applied == newest
    assert org.status() == "applied"
    [event] = org.api.events("workloads.apply_policy")
    assert event["notifications"][0]["info"] == {"workloads": [org.ven.workload_href]}

    org.change_policy()
    assert org.compile() == 0
    assert org.heartbeat().etag == newest and not org.fetch()
    assert org.status() == "staged"
    staged = [w["href"] for w in org.api.get(f"{org.api.org}/workloads", **{SYNC: "staged"})]
    assert staged == [org.ven.workload_href]


def test_a_workload_that_is_static_no_more_hears_of_the_newest_at_once(org: Org) -> None:
    """Leaving the scope is a change that does not wait."""
    org.set_firewall(static_policy_scopes=[[]])
    org.compile()
    org.change_policy()
    org.compile()
    held = org.applied
    org.set_firewall(static_policy_scopes=[])
    assert org.compile() == 1
    assert org.heartbeat().etag != held and org.fetch()
    assert org.status() == "applied"


def test_a_ven_without_a_policy_does_not_wait_for_one(org: Org) -> None:
    """One that lost its state asks with nothing in hand, and is given the newest."""
    org.set_firewall(static_policy_scopes=[[]])
    org.compile()
    org.applied = ""
    assert org.fetch()


def test_only_workloads_for_which_a_policy_waits_can_be_asked_for(org: Org, api: Api) -> None:
    """Adaptive, unmanaged, unknown and another org's workloads are errors by href; nothing is
    written for them, and no event."""
    unmanaged = api.post(f"{api.org}/workloads", {"name": "u"})["href"]
    unknown = f"{api.org}/workloads/00000000-0000-4000-8000-000000000000"
    body = {"workloads": [{"href": h} for h in (org.ven.workload_href, unmanaged, unknown)]}
    answer = api.put(f"{api.org}/workloads/apply_policy", body, status=200)
    found = {error["token"]: error["hrefs"] for error in answer["errors"]}
    assert found["policy_not_staged"] == [org.ven.workload_href, unmanaged]
    assert found["workload_not_found"] == [unknown]
    org.set_firewall(static_policy_scopes=[[]])
    org.compile()
    before = org.stores.presence.get(org.id, org.ven.id)
    stranger = new_org()
    answer = stranger.put(
        f"{stranger.org}/workloads/apply_policy",
        {"workloads": [{"href": org.ven.workload_href}]},
        status=200,
    )
    assert [error["token"] for error in answer["errors"]] == ["workload_not_found"]
    assert org.stores.presence.get(org.id, org.ven.id) == before
    assert not list(api.events("workloads.apply_policy"))
    assert api.call("PUT", f"{api.org}/workloads/apply_policy", {}).status == 406


def test_what_the_settings_mean_is_shown_with_the_workload(org: Org) -> None:
    """By its labels: another environment's settings are not its own."""
    api = org.api
    prod = api.post(f"{api.org}/labels", {"key": "env", "value": "prod"})["href"]
    test = api.post(f"{api.org}/labels", {"key": "env", "value": "test"})["href"]
    in_prod = [[{"label": {"href": prod}}]]
    org.set_firewall(
        static_policy_scopes=in_prod,
        containers_inherit_host_policy_scopes=in_prod,
        blocked_connection_reject_scopes=in_prod,
        firewall_coexistence=[{"illumio_primary": False, "scope": [{"href": prod}]}],
    )
    meant = []
    for label in (test, prod):
        api.put(org.ven.workload_href, {"labels": [{"href": label}]})
        shown = org.shown()
        meant.append(
            (
                shown["agent"]["config"]["security_policy_update_mode"],
                shown["containers_inherit_host_policy"],
                shown["blocked_connection_action"],
                shown["firewall_coexistence"],
            )
        )
    assert meant == [
        ("adaptive", False, "drop", {"illumio_primary": True}),
        ("static", True, "reject", {"illumio_primary": False}),
    ]
