"""Pods and containers: reported by their host, labelled by their namespace, part of policy."""

import time
import uuid
from ipaddress import ip_address
from typing import Any

import pytest

from pce.errors import Invalid, Unauthenticated
from pce.flows.batch import unpack
from pce.flows.summary import summary_json
from pce.identifiers import OrgId, is_container_id, tail
from pce.runtime.wiring import Wiring
from pce.store.change import Change, PolicyChange, Put
from pce.usecases.change_ven_state import deactivate
from pce.usecases.compile_policy import compile_policy
from pce.usecases.ingest_flows import ingest_flows
from pce.usecases.record_policy_applied import record_policy_applied
from pce.usecases.report_containers import container_policies, record_container_workloads
from tests.fakes.api import Api
from tests.fakes.pairing import PairedVen, pair
from tests.fakes.policies import wanted_document
from ven_protocol.flows import FlowSummary, decode_batch, encode_batch
from ven_protocol.messages import (
    ClusterMembership,
    ContainerWorkload,
    ContainerWorkloadsReport,
    Deactivate,
    Heartbeat,
    HostFacts,
    Interface,
    PolicyApplied,
)
from ven_protocol.paths import AgentToken, container_workload_id

NOW = int(time.time())


class Cluster:
    """A container cluster with one host, whose pods are in the namespace ``shop``."""

    def __init__(self, api: Api, stores: Wiring) -> None:
        self.api, self.stores = api, stores
        self.org_id = OrgId(api.created["org_id"])
        made = api.post(f"{api.org}/container_clusters", {"name": "kube"})
        self.href, self.token = made["href"], made["container_cluster_token"]
        self.host = self.pair()
        self.labels = {
            value: api.post(f"{api.org}/labels", {"key": key, "value": value})["href"]
            for key, value in (("app", "shop"), ("role", "web"), ("role", "db"))
        }

    def pair(self, hostname: str = "node-1", **wish: Any) -> PairedVen:
        membership = ClusterMembership(id=tail(self.href), token=self.token)
        wish = {"ven_type": "containerized", "container_cluster": membership, **wish}
        return pair(self.api, self.stores, hostname, NOW, **wish)

    def report(self, *pods: ContainerWorkload, host: PairedVen | None = None) -> None:
        report = ContainerWorkloadsReport(container_workloads=list(pods))
        now = int(time.time())  # events from before the org began are not listed
        record_container_workloads((host or self.host).token, report, self.stores, now)

    def manage(self, **settings: Any) -> None:
        """Let the namespace's profile label its pods."""
        [profile] = self.api.get(f"{self.href}/container_workload_profiles", namespace="shop")
        entries = [
            {"key": "app", "assignment": {"href": self.labels["shop"]}},
            {"key": "role", "restriction": [{"href": self.labels[v]} for v in ("web", "db")]},
        ]
        body = {"managed": True, "enforcement_mode": "full", "labels": entries, **settings}
        self.api.put(profile["href"], body)

    def shown(self) -> dict[str, dict[str, Any]]:
        """Container workloads by name."""
        found = self.api.get(f"{self.api.org}/container_workloads")
        return {each["name"]: each for each in found}

    def addresses(self, name: str) -> set[str]:
        """What the policy of a container lets in or out, after compiling what is due."""
        return addresses_of(self.stores, self.org_id, container_workload_id(self.host.id, name))


def addresses_of(stores: Wiring, org_id: OrgId, id: uuid.UUID) -> set[str]:
    compile_policy(org_id, stores, time.time)
    row = stores.presence.get(org_id, id)
    assert row is not None
    document = wanted_document(stores, row)
    return {member for members in document.sets.values() for member in members}


def pod(name: str, address: str, **more: Any) -> ContainerWorkload:
    interface = Interface(name="eth0", address=address, cidr_block=24)
    return ContainerWorkload(id=name, name=name, namespace="shop", interfaces=[interface], **more)


WEB = pod("web", "10.42.0.2", labels={"role": "web"})
DB = pod("db", "10.42.0.3", labels={"role": "db"})


@pytest.fixture
def cluster(api: Api, stores: Wiring) -> Cluster:
    return Cluster(api, stores)


@pytest.fixture
def shop(cluster: Cluster) -> Cluster:
    """Two managed pods, and a rule that lets the one call the other."""
    cluster.report(WEB, DB)
    cluster.manage()
    draft = f"{cluster.api.org}/sec_policy/draft"
    rules = cluster.api.post(f"{draft}/rule_sets", {"name": "shop", "scopes": [[]]})
    both = {"providers": ["workloads"], "consumers": ["workloads"]}
    rule = {
        "providers": [{"label": {"href": cluster.labels["db"]}}],
        "consumers": [{"label": {"href": cluster.labels["web"]}}],
        "ingress_services": [{"proto": 6, "port": 5432}],
        "resolve_labels_as": both,
        "enabled": True,
    }
    cluster.api.post(f"{rules['href']}/sec_rules", rule)
    cluster.api.provision()
    return cluster


def test_a_container_host_proves_its_cluster(cluster: Cluster) -> None:
    """By id and token; what shows the host shows the cluster, and the other way round."""
    wrong = ClusterMembership(id=tail(cluster.href), token="1_" + "0" * 64)
    with pytest.raises(Unauthenticated, match="no container cluster"):
        cluster.pair("node-2", container_cluster=wrong)
    for halves in ({"ven_type": "server"}, {"container_cluster": None}):
        with pytest.raises(Invalid, match="containerized"):
            cluster.pair("node-2", **halves)
    named = {"href": cluster.href, "name": "kube"}
    api = cluster.api
    assert api.get(cluster.host.href)["container_cluster"] == named
    assert api.get(cluster.host.href)["ven_type"] == "containerized"
    assert api.get(cluster.host.workload_href)["container_cluster"] == named
    [listed] = api.get(f"{api.org}/workloads", container_clusters=f'["{cluster.href}"]')
    assert listed["href"] == cluster.host.workload_href
    for shown in (api.get(cluster.href), api.get(f"{api.org}/container_clusters")[0]):
        assert (shown["online"], shown["nodes"]) == (True, [{"name": "node-1", "pod_subnet": None}])
        assert shown["last_connected"].startswith(time.strftime("%Y-", time.gmtime(NOW)))


def test_only_container_hosts_report_containers(api: Api, stores: Wiring) -> None:
    """Any other VEN is told how to become one; an id that is there twice is no report either."""
    report = ContainerWorkloadsReport(container_workloads=[WEB])
    with pytest.raises(Invalid, match="--container-cluster"):
        record_container_workloads(pair(api, stores).token, report, stores, NOW)
    cluster = Cluster(api, stores)
    with pytest.raises(Invalid, match="same id"):
        cluster.report(WEB, WEB)
    assert api.get(f"{cluster.href}/container_workload_profiles", namespace="shop") == []


def test_a_namespace_decides_what_its_pods_are(cluster: Cluster) -> None:
    """It gets a profile when it is first seen, as the default one is: not managed. Once it is,
    labels, mode and visibility are the profile's, and a pod may choose where it lets it."""
    cluster.report(WEB, DB, pod("odd", "10.42.0.4", labels={"role": "king"}))
    [profile] = cluster.api.get(f"{cluster.href}/container_workload_profiles", namespace="shop")
    assert (profile["managed"], profile["linked"]) == (False, True)
    assert cluster.shown() == {}
    cluster.manage(visibility_level="enhanced_data_collection")
    shown = cluster.shown()
    labels = {
        name: {label["key"]: label["value"] for label in each["labels"]}
        for name, each in shown.items()
    }
    assert labels == {
        "web": {"app": "shop", "role": "web"},
        "db": {"app": "shop", "role": "db"},
        "odd": {"app": "shop"},
    }
    web = shown["web"]
    assert (web["namespace"], web["online"], web["managed"]) == ("shop", True, True)
    assert (web["enforcement_mode"], web["visibility_level"]) == (
        "full",
        "enhanced_data_collection",
    )
    assert web["container_cluster"] == {"href": cluster.href, "name": "kube"}
    assert web["interfaces"][0]["address"] == "10.42.0.2"
    assert web["container_workload_profile"]["href"] == profile["href"]
    assert cluster.api.get(web["href"]) == web
    view = cluster.api.get(f"{cluster.api.org}/sec_policy/active/policy_view", workload=web["href"])
    assert view["enforcement_mode"] == "full"
    cluster.manage(managed=False)
    assert cluster.shown() == {}
    assert cluster.api.call("GET", web["href"]).status == 404


def test_pods_get_policy_by_their_labels(shop: Cluster) -> None:
    """Each its own document, under its host's secret; a change of one reaches the other."""
    assert shop.addresses("web") == {"10.42.0.3"}
    assert shop.addresses("db") == {"10.42.0.2"}
    assert shop.shown()["web"]["security_policy_sync_state"] == "syncing"
    policies = container_policies(shop.host.token, shop.stores, NOW).container_workloads
    etags = {policy.id: policy.etag for policy in policies}
    assert set(etags) == {"web", "db"} and all(etags.values())
    web = shop.host.token.of_container("web")
    applied = PolicyApplied(etag=etags["web"])
    record_policy_applied(web, applied, shop.stores, NOW)
    assert shop.shown()["web"]["security_policy_sync_state"] == "applied"
    refused = PolicyApplied(etag=etags["web"], success=False, error="no room")
    record_policy_applied(web, refused, shop.stores, int(time.time()) + 1)
    event = next(shop.api.events("agent.update"))
    assert event["severity"] == "err" and "no room" in str(event["notifications"])

    shop.report(WEB, DB, pod("db-2", "10.42.0.9", labels={"role": "db"}))
    assert shop.addresses("web") == {"10.42.0.3", "10.42.0.9"}
    now = container_policies(shop.host.token, shop.stores, NOW).container_workloads
    assert {policy.id: policy.etag for policy in now}["web"] != etags["web"]
    shop.report(WEB, DB)
    assert shop.addresses("web") == {"10.42.0.3"}
    assert (
        shop.stores.presence.get(shop.org_id, container_workload_id(shop.host.id, "db-2")) is None
    )


def test_the_same_report_again_writes_nothing(shop: Cluster) -> None:
    """A VEN that starts again says it all again: no event, and no work for the compiler."""
    shop.addresses("web")
    assert len(list(shop.api.events("agent.update_running_containers"))) == 1
    shop.report(WEB, DB)
    assert shop.stores.objects.change_log(shop.org_id) == []
    assert len(list(shop.api.events("agent.update_running_containers"))) == 1
    shop.report(WEB)
    assert len(list(shop.api.events("agent.update_running_containers"))) == 2


def test_a_profile_changes_all_its_pods_at_once(shop: Cluster) -> None:
    """One write; whoever is to be compiled again is found by the compiler."""
    assert shop.addresses("web") == {"10.42.0.3"}
    shop.manage(labels=[{"key": "role", "assignment": {"href": shop.labels["web"]}}])
    assert shop.addresses("web") == set()
    shop.manage()
    assert shop.addresses("web") == {"10.42.0.3"}


def test_a_profile_that_is_deleted_manages_nobody(shop: Cluster) -> None:
    """Its pods leave policy, and their host is told to let go of them."""
    assert shop.addresses("db") == {"10.42.0.2"}
    [profile] = shop.api.get(f"{shop.href}/container_workload_profiles", namespace="shop")
    shop.api.delete(profile["href"])
    compile_policy(shop.org_id, shop.stores, time.time)
    assert shop.shown() == {}
    assert container_policies(shop.host.token, shop.stores, NOW).container_workloads == []


def test_containers_share_their_hosts_fate(shop: Cluster) -> None:
    """Offline with it, and gone with it: then nobody can speak for them any more."""
    shop.addresses("web")
    _set_online(shop, False)
    assert shop.addresses("web") == set()
    assert shop.shown()["web"]["online"] is False
    _set_online(shop, True)
    assert shop.addresses("web") == {"10.42.0.3"}
    deactivate(shop.host.token, Deactivate(), shop.stores, NOW)
    compile_policy(shop.org_id, shop.stores, time.time)
    assert shop.shown() == {}
    with pytest.raises(Unauthenticated):
        shop.stores.presence.sign_of_life(shop.host.token.of_container("web"), NOW)


def _set_online(cluster: Cluster, online: bool) -> None:
    """As the sweep, and a heartbeat that comes back, write it."""
    stored = cluster.stores.objects.get(cluster.org_id, "workloads", str(cluster.host.id))
    assert stored is not None
    put = Put("workloads", stored.id, {**stored.document, "online": online}, stored.rev)
    why = PolicyChange("offline", (cluster.host.workload_href,))
    cluster.stores.objects.commit(Change(cluster.org_id, puts=(put,), policy_changes=(why,)))


def test_no_host_speaks_for_anothers_containers(shop: Cluster) -> None:
    """Ids are made from the host's, and the secret is the host's own."""
    other = shop.pair("node-2")
    forged = AgentToken(shop.org_id, container_workload_id(shop.host.id, "web"), other.token.secret)
    with pytest.raises(Unauthenticated):
        shop.stores.presence.sign_of_life(forged, NOW)
    shop.report(pod("web", "10.42.1.2", labels={"role": "web"}), host=other)
    assert shop.addresses("db") == {"10.42.0.2", "10.42.1.2"}
    assert shop.addresses("web") == {"10.42.0.3"}


def test_the_sweep_leaves_containers_alone(shop: Cluster) -> None:
    """They are heard through their host: a row without heartbeats is not silent."""
    swept = {row.ven_id for row in shop.stores.presence.all_for_sweep()}
    assert shop.host.id in swept
    assert container_workload_id(shop.host.id, "web") not in swept


def test_a_bolt_for_a_container_goes_to_its_host(
    shop: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once for all of its containers."""
    shop.addresses("web")
    shop.stores.presence.sign_of_life(
        shop.host.token, NOW, attributes={"ci": {"S": "connection-1"}}
    )
    sent: list[Any] = []
    monkeypatch.setattr(type(shop.stores.queues), "send_bolts", lambda _, due: sent.extend(due))
    shop.report(pod("web", "10.42.0.8", labels={"role": "web"}), pod("db", "10.42.0.7"))
    compile_policy(shop.org_id, shop.stores, time.time)
    orders = [order for batch, _ in sent for order in batch.orders]
    assert {order.connection_id for order in orders} == {"connection-1"}
    assert {order.ven_id for order in orders} == {str(shop.host.id)}


def test_flows_of_a_container_are_its_own(shop: Cluster) -> None:
    """Posted by the host, with the container named; shown under the container's href."""
    shop.addresses("web")
    beat = Heartbeat(host=HostFacts(hostname="node-1", version="1"), uptime_seconds=1)
    seen = FlowSummary(
        src_ip=ip_address("10.42.0.2").packed,
        dst_ip=ip_address("10.42.0.3").packed,
        proto=6,
        dst_port=5432,
        dir="I",
        pd=0,
        state="C",
        first=NOW - 60,
        last=NOW - 30,
    )
    body = encode_batch(1, NOW - 600, NOW, beat, [seen], container="db")
    ingest_flows(shop.host.token, decode_batch(body), shop.stores, NOW)
    [batch] = _stored_batches(shop)
    db, web = (container_workload_id(shop.host.id, name) for name in ("db", "web"))
    assert batch.reporter == db
    assert {workload.id for workload in batch.workloads if workload} == {db, web}
    [said] = summary_json(batch, shop.org_id, "pce.example.com", "Corporate")
    assert said["dst_href"] == shop.shown()["db"]["href"]
    assert said["dst_labels"] == {"app": "shop", "role": "db"}
    assert (said["src_hostname"], said["dst_hostname"]) == ("web", "db")


def _stored_batches(cluster: Cluster) -> list[Any]:
    parts = cluster.stores.flows.batches(cluster.org_id, NOW - 7200, NOW + 60)
    return [unpack(part) for part in parts]


def test_ids_tell_containers_from_hosts(shop: Cluster) -> None:
    """Whatever else makes an id: no host has one of a container's form."""
    one = container_workload_id(shop.host.id, "web")
    assert (one.version, one.variant) == (8, uuid.RFC_4122)
    assert is_container_id(one) and not is_container_id(shop.host.id)
    assert not is_container_id(uuid.uuid5(shop.host.id, "a clone's machine id"))
    assert one != container_workload_id(shop.host.id, "db")
    assert one != container_workload_id(uuid.uuid4(), "web")


def test_lists_of_workloads_hold_hosts_alone(shop: Cluster) -> None:
    """Whether they are read from the index or not; a provisioning concerns the pods too."""
    shop.addresses("web")
    path = f"{shop.api.org}/workloads"
    assert [w["href"] for w in shop.api.get(path)] == [shop.host.workload_href]
    assert shop.api.get(path, labels=f'[["{shop.labels["db"]}"]]', max_results="1") == []
    rule_set = shop.api.get(f"{shop.api.org}/sec_policy/draft/rule_sets")[0]["href"]
    shop.api.put(rule_set, {"enabled": False})
    subset = {"change_subset": {"rule_sets": [{"href": rule_set}]}}
    impact = shop.api.post(f"{shop.api.org}/sec_policy/impact", subset, status=200)
    pods = shop.shown()
    assert [w["href"] for w in impact["workloads"]] == sorted(p["href"] for p in pods.values())


def test_pods_of_one_name_in_two_hosts(cluster: Cluster) -> None:
    """Both are there; lists are filtered."""
    cluster.report(WEB, DB)
    cluster.report(pod("web", "10.42.1.2"), host=cluster.pair("node-2"))
    cluster.manage()
    path = f"{cluster.api.org}/container_workloads"
    assert len(cluster.api.get(path, name="web", namespace="shop")) == 2
    assert cluster.api.get(path, namespace="other") == []


def test_a_rule_names_one_pod(shop: Cluster) -> None:
    """By its href, as a workload is named: the rule is that pod's alone, and nobody's when the pod
    is gone. A pod that never was is refused."""
    other = pod("db-2", "10.42.0.4", labels={"role": "db"})
    shop.report(WEB, DB, other)
    named = shop.shown()["db-2"]["href"]
    [rules] = shop.api.get(f"{shop.api.org}/sec_policy/draft/rule_sets", name="shop")
    rule = {
        "providers": [{"workload": {"href": named}}],
        "consumers": [{"workload": {"href": shop.host.workload_href}}],
        "ingress_services": [{"proto": 6, "port": 22}],
        "resolve_labels_as": {"providers": ["workloads"], "consumers": ["workloads"]},
        "enabled": True,
    }
    made = shop.api.post(f"{rules['href']}/sec_rules", rule)
    shop.api.provision()
    assert shop.api.get(made["href"])["providers"][0]["workload"]["href"] == named
    [interface] = shop.api.get(shop.host.workload_href)["interfaces"][:1]
    assert interface["address"] in shop.addresses("db-2")
    assert interface["address"] not in shop.addresses("db")
    shop.report(WEB, DB)
    shop.addresses("db")
    assert shop.api.get(made["href"])["providers"][0]["workload"]["href"] == named
    nobody = rule | {"providers": [{"workload": {"href": named[:-4] + "0000"}}]}
    refused = shop.api.call("POST", f"{rules['href']}/sec_rules", nobody)
    assert refused.status == 406, refused.body


def test_a_pod_is_bound_to_a_virtual_service(shop: Cluster) -> None:
    """By its href; then consumers of the virtual service may reach it, on its own port."""
    draft = f"{shop.api.org}/sec_policy/draft"
    service = {"name": "vip", "service_ports": [{"proto": 6, "port": 8443}]}
    made = shop.api.post(f"{draft}/virtual_services", service)
    shop.api.provision()
    active = made["href"].replace("/draft/", "/active/")
    outside = shop.pair("elsewhere")
    [interface] = shop.api.get(outside.workload_href)["interfaces"][:1]
    bound = {
        "virtual_service": {"href": active},
        "container_workload": {"href": shop.shown()["web"]["href"]},
        "port_overrides": [{"proto": 6, "port": 8443, "new_port": 9443}],
    }
    [binding] = shop.api.post(f"{shop.api.org}/service_bindings", [bound], 201)
    assert binding["status"] == "created"
    [rules] = shop.api.get(f"{draft}/rule_sets", name="shop")
    rule = {
        "providers": [{"virtual_service": {"href": made["href"]}}],
        "consumers": [{"workload": {"href": outside.workload_href}}],
        "ingress_services": [],
        "resolve_labels_as": {"providers": ["virtual_services"], "consumers": ["workloads"]},
        "enabled": True,
    }
    shop.api.post(f"{rules['href']}/sec_rules", rule)
    shop.api.provision()
    assert interface["address"] in shop.addresses("web")
    assert interface["address"] not in shop.addresses("db")
    row = shop.stores.presence.get(shop.org_id, container_workload_id(shop.host.id, "web"))
    assert row is not None
    ports = {s.port for r in wanted_document(shop.stores, row).rules for s in r.services}
    assert 9443 in ports
    [backend] = shop.api.get(f"{shop.href}/service_backends")
    assert backend["virtual_service"] == {"href": active, "name": "vip"}
    assert (backend["name"], backend["kind"], backend["namespace"]) == ("web", "Pod", "shop")
