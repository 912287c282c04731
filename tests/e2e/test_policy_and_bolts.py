"""From a provisioned rule set to the VEN: bolts, deltas, offline and back."""

import asyncio
import json
import uuid

import pytest
import websockets

from demo.operator import Operator, wait_for
from tests.e2e.ven_client import VenClient, next_bolt

pytestmark = pytest.mark.e2e


class App:
    """Two hosts of one application, role web and role db, and the rule set that joins them."""

    def __init__(self, operator: Operator, network: str) -> None:
        name = uuid.uuid4().hex[:8]
        self.operator = operator
        self.labels = {role: operator.label("role", f"{role}-{name}") for role in ("web", "db")}
        self.app = operator.label("app", f"app-{name}")
        self.web = self.host("web", f"{network}.1")
        self.db = self.host("db", f"{network}.2")
        scope = [[{"label": {"href": self.app}}]]
        self.rule_set = operator.create(
            f"{operator.org}/sec_policy/draft/rule_sets",
            {"name": f"rules {name}", "enabled": True, "scopes": scope},
        )["href"]

    def host(self, role: str, address: str) -> VenClient:
        ven = VenClient.pair(self.operator, address)
        labels = [{"href": self.labels[role]}, {"href": self.app}]
        self.operator.update(ven.workload_href, {"labels": labels, "enforcement_mode": "full"})
        return ven

    def allow(self, port: int) -> None:
        rule = {
            "enabled": True,
            "providers": [{"label": {"href": self.labels["db"]}}],
            "consumers": [{"label": {"href": self.labels["web"]}}],
            "ingress_services": [{"proto": 6, "port": port}],
            "resolve_labels_as": {"providers": ["workloads"], "consumers": ["workloads"]},
        }
        self.operator.create(f"{self.rule_set}/sec_rules", rule)
        self.operator.provision(f"allow {port}")


@pytest.fixture
def app(operator: Operator, network: str) -> App:
    return App(operator, network)


_networks = iter(range(1, 250))


@pytest.fixture
def network() -> str:
    """First three bytes of a network that no other test here uses."""
    return f"10.78.{next(_networks)}"


def members(document: dict[str, object]) -> set[str]:
    sets: dict[str, list[str]] = document["sets"]  # type: ignore[assignment]
    return {member for found in sets.values() for member in found}


def document_of(ven: VenClient) -> dict[str, object]:
    reply = ven.policy()
    if reply.status == 404:
        return {"sets": {}, "rules": [], "mode": ""}
    return dict(reply.json["document"])


def test_a_provisioned_rule_reaches_both_ends(app: App) -> None:
    """The provider lets the consumer in, the consumer lets itself out, and nobody else is named."""
    app.allow(5432)
    db = wait_for("db's rule", lambda: document_of(app.db), lambda d: d["rules"])
    web = wait_for("web's rule", lambda: document_of(app.web), lambda d: d["rules"])
    assert (db["mode"], web["mode"]) == ("full", "full")
    assert [r["direction"] for r in db["rules"]] == ["in"]
    assert [r["direction"] for r in web["rules"]] == ["out"]
    assert app.web.address in members(db) and app.db.address in members(web)
    assert db["rules"][0]["services"] == [{"proto": 6, "port": 5432}]


def test_a_draft_changes_nothing(app: App) -> None:
    """A rule that is not provisioned is nobody's policy."""
    app.allow(80)
    before = wait_for("the rule", lambda: document_of(app.db), lambda d: d["rules"])
    draft = {
        "enabled": True,
        "providers": [{"actors": "ams"}],
        "consumers": [{"actors": "ams"}],
        "ingress_services": [{"proto": 6, "port": 1}],
        "resolve_labels_as": {"providers": ["workloads"], "consumers": ["workloads"]},
    }
    app.operator.create(f"{app.rule_set}/sec_rules", draft)
    app.operator.label("loc", f"elsewhere-{uuid.uuid4().hex[:6]}")
    assert document_of(app.db) == before


def test_a_bolt_announces_a_new_policy(app: App) -> None:
    """A connected VEN hears of a change at once; the bolt's etag is the one it then fetches."""

    async def story() -> None:
        await asyncio.to_thread(wait_for, "a first policy", lambda: document_of(app.db)["mode"])
        async with app.db.bolts() as connection:
            await asyncio.to_thread(app.allow, 5432)
            while True:
                bolt = await next_bolt(connection, "policy")
                reply = await asyncio.to_thread(app.db.policy)
                if reply.json["document"]["rules"]:
                    break
            assert bolt["etag"] and reply.json["etag"]
            # A VEN's keep-alive is taken, and nothing is answered to it.
            await connection.send(json.dumps({"type": "keepalive"}))

    asyncio.run(story())


def test_bolts_need_the_agent_token(app: App) -> None:
    """A wrong token opens no connection."""

    async def story() -> None:
        wrong = app.db.activated.agent_token[:-4] + "AAAA"
        with pytest.raises(websockets.InvalidStatus) as refused:
            async with app.db.bolts(token=wrong):
                pass
        assert refused.value.response.status_code in (401, 403)

    asyncio.run(story())


def test_a_change_travels_as_a_delta(app: App, network: str) -> None:
    """A VEN that names what it holds gets what changed: one more member, no rules."""
    app.allow(5432)
    wait_for("the rule", lambda: document_of(app.db), lambda d: app.web.address in members(d))
    held = app.db.policy().json
    second = app.host("web", f"{network}.3")
    reply = wait_for(
        "the second web host",
        lambda: app.db.policy(held=held["etag"]),
        lambda r: r.status == 200 and second.address in r.body.decode(),
    )
    delta = reply.json["delta"]
    assert delta["base"] == held["digest"] and "rules" not in delta
    assert [change["added"] for change in delta["sets"].values()] == [[second.address]]


def test_an_unpaired_peer_leaves_the_sets(app: App) -> None:
    """When a host unpairs, its peers' sets lose its address."""
    app.allow(5432)
    wait_for("web in db's set", lambda: app.web.address in members(document_of(app.db)))
    app.web.call("POST", "deactivate", {"firewall_restore": "saved"}, expect=204)
    wait_for("web to leave", lambda: app.web.address not in members(document_of(app.db)))
