"""From silence to isolation: a workload that goes offline leaves its peers' policy, and returns."""

from collections.abc import Iterator

import pytest

from pce.runtime.wiring import Wiring
from pce.store.change import Change, PolicyChange, Put
from pce.store.objects import Stored
from pce.usecases.compile_policy import compile_policy
from tests.fakes.installation import installed
from tests.fakes.policies import wanted_document
from tests.integration.test_ven_life import Pce
from ven_protocol.paths import AgentToken

ANY_TO_ANY = {
    "href": "/orgs/1/sec_policy/active/rule_sets/1",
    "enabled": True,
    "scopes": [[]],
    "rules": [
        {
            "href": "/orgs/1/sec_policy/active/rule_sets/1/sec_rules/1",
            "enabled": True,
            "providers": [{"actors": "ams"}],
            "consumers": [{"actors": "ams"}],
            "ingress_services": [{"proto": 6, "port": 443}],
            "resolve_labels_as": {"providers": ["workloads"], "consumers": ["workloads"]},
        }
    ],
}


@pytest.fixture
def pce(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pce]:
    with installed() as stores:
        pce = Pce(stores)
        documents = {"rule_sets": [ANY_TO_ANY]}
        monkeypatch.setattr(stores.policy_versions, "documents", lambda *asked: documents)
        yield pce


def addresses_in_policy_of(stores: Wiring, pce: Pce, token: AgentToken) -> set[str]:
    """Compile what is due, and read the document that the VEN should hold."""
    compile_policy(pce.org_id, stores, lambda: pce.now)
    document = wanted_document(stores, stores.presence.get(pce.org_id, token.ven_id))
    return {member for members in document.sets.values() for member in members}


def test_an_offline_workload_leaves_its_peers_policy_and_comes_back(pce: Pce) -> None:
    """The sweep marks it, the compile gives its peers another etag without its address; its next
    heartbeat brings the former etag back."""
    silent, peer = pce.pair(1), pce.pair(2)
    assert addresses_in_policy_of(pce.stores, pce, peer) == {"10.0.0.1", "10.0.0.2"}
    before = pce.stores.presence.get(pce.org_id, peer.ven_id)
    pce.pass_time(61 * 60, {2: peer})
    assert addresses_in_policy_of(pce.stores, pce, peer) == {"10.0.0.2"}
    during = pce.stores.presence.get(pce.org_id, peer.ven_id)
    pce.heartbeat(silent, 1)
    assert addresses_in_policy_of(pce.stores, pce, peer) == {"10.0.0.1", "10.0.0.2"}
    after = pce.stores.presence.get(pce.org_id, peer.ven_id)
    assert before is not None and during is not None and after is not None
    assert before.target == after.target != during.target


def test_an_edit_that_is_no_policy_leaves_etags_alone(pce: Pce) -> None:
    """Policy is named by its content: a description changes nobody's."""
    token = pce.pair(1)
    addresses_in_policy_of(pce.stores, pce, token)
    before = pce.stores.presence.get(pce.org_id, token.ven_id)
    stored: Stored | None = pce.stores.objects.get(pce.org_id, "workloads", str(token.ven_id))
    assert stored is not None
    document = {**stored.document, "description": "another"}
    put = Put("workloads", stored.id, document, stored.rev)
    edited = PolicyChange("workload", (stored.document["href"],))
    pce.stores.objects.commit(Change(pce.org_id, puts=(put,), policy_changes=(edited,)))
    addresses_in_policy_of(pce.stores, pce, token)
    assert pce.stores.presence.get(pce.org_id, token.ven_id) == before
