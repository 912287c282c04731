"""A container host with a real runtime: pods reported, enforced, observed, each in its own network.

The PCE is a local host, the VEN is started from its command line, the pods are run by runc.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.operator import Credentials, Operator
from tests.fakes.local_host import LocalHost, wait_until
from tests.kernel.container_host import PREFIX, ContainerHost
from tests.kernel.namespaces import Network
from tests.kernel.new_pod import NewPod
from ven.edge.files import DataDirectory

WEB, DB, STRANGER, EARLY, LATE, ELSEWHERE = 2, 3, 4, 11, 12, 13
VEN = Path(sys.executable).with_name("ven")


class Story:
    """Two pods of a managed namespace, of which the one may call the other on port 80."""

    def __init__(self, node: ContainerHost, folder: Path, operator: Operator) -> None:
        self.node, self.data, self.operator = node, folder / "ven", operator
        self.cluster = operator.create("/orgs/1/container_clusters", {"name": "kube"})

    def ven(self, *arguments: str) -> None:
        """Run a command of the VEN."""
        with self.node.host.entered():
            command = (VEN, "--data-dir", str(self.data), *arguments)
            done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, f"ven {arguments[0]}: {done.stderr}"

    def ask(self, href: str, **query: Any) -> Any:
        """GET, inside the host's network."""
        with self.node.host.entered():
            return self.operator.get(href, **query)

    def pods(self) -> dict[str, Any]:
        """Container workloads whose policy is applied, by name."""
        found = self.ask("/orgs/1/container_workloads")
        return {p["name"]: p for p in found if p["security_policy_sync_state"] == "applied"}

    def set_managed(self, managed: bool) -> None:
        """Whether the namespace's pods are managed."""
        with self.node.host.entered():
            profiles = f"{self.cluster['href']}/container_workload_profiles"
            [profile] = self.operator.get(profiles, namespace="shop")
            self.operator.update(profile["href"], {"managed": managed})

    def manage(self) -> None:
        """Label the namespace's pods and let web call db."""
        with self.node.host.entered():
            op, profiles = self.operator, f"{self.cluster['href']}/container_workload_profiles"
            [profile] = wait_until(lambda: op.get(profiles, namespace="shop"))
            roles = [op.label("role", value) for value in ("web", "db")]
            choice = {"key": "role", "restriction": [{"href": href} for href in roles]}
            settings = {"managed": True, "enforcement_mode": "full", "labels": [choice]}
            op.update(profile["href"], settings | {"visibility_level": "enhanced_data_collection"})
            rules = op.create("/orgs/1/sec_policy/draft/rule_sets", {"name": "a", "scopes": [[]]})
            rule = {
                "providers": [{"label": {"href": roles[1]}}],
                "consumers": [{"label": {"href": roles[0]}}],
                "ingress_services": [{"proto": 6, "port": 80}],
                "resolve_labels_as": {"providers": ["workloads"], "consumers": ["workloads"]},
                "enabled": True,
            }
            op.create(f"{rules['href']}/sec_rules", rule)
            op.provision("containers")


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("containers")
    with Network("node") as network:
        node = ContainerHost(network["node"], folder / "oci")
        pce = LocalHost(
            folder / "pce", arguments=("--heartbeat-interval", "2", "--flow-interval", "2")
        )
        try:
            with node.host.entered():
                pce.start()
                known = Credentials.read(folder / "pce" / "credentials.json")
                told = Story(node, folder, Operator(known))
            node.run_pod("web", WEB, role="web")
            node.run_pod("db", DB, role="db")
            cluster = ("--container-cluster", told.cluster["href"])
            cluster += ("--cluster-token", told.cluster["container_cluster_token"])
            server = ("--management-server", known.server, "--ca-file", known.ca_file)
            code = ("--activation-code", known.activation_code)
            root = ("--runtime-root", str(node.runtime_root))
            told.ven("activate", *server, *code, *cluster, *root)
            told.ven("start")
            told.manage()
            wait_until(lambda: told.pods().keys() >= {"web", "db"}, 30)
            yield told
            told.ven("stop")
        finally:
            pce.stop()
            node.close()


def test_pods_are_container_workloads(story: Story) -> None:
    """With the name, namespace and address that their runtime and network say."""
    web = story.pods()["web"]
    assert (web["namespace"], web["online"], web["enforcement_mode"]) == ("shop", True, "full")
    assert f"{PREFIX}.{WEB}" in [interface["address"] for interface in web["interfaces"]]
    assert [label["value"] for label in web["labels"]] == ["web"]
    [cluster] = story.ask("/orgs/1/container_clusters")
    assert cluster["online"] and len(cluster["nodes"]) == 1
    [host] = story.ask("/orgs/1/vens")
    assert host["container_cluster"]["name"] == "kube"


def test_each_pod_has_its_own_firewall(story: Story) -> None:
    """The rule's port is open to the rule's consumer alone; the host's own network is untouched."""
    with story.node.listening("db", DB, 80, 81), story.node.listening("web", WEB, 80):
        assert story.node.connects("web", DB, 80)
        assert not story.node.connects("web", DB, 81)
        assert not story.node.connects("db", WEB, 80)
        assert "table inet ven" in story.node.host.run("nft", "list", "tables")


def test_flows_of_pods_are_reported_as_theirs(story: Story) -> None:
    """Allowed and blocked ones, under the pods' own hrefs, with byte counts."""
    with story.node.listening("db", DB, 80, 81):
        assert story.node.connects("web", DB, 80)
        assert not story.node.connects("web", DB, 81)
    pods = story.pods()

    def seen() -> bool:
        with story.node.host.entered():
            records = story.operator.traffic()
        decisions = {
            (record["service"]["port"], record["policy_decision"])
            for record in records
            if record["src"].get("workload", {}).get("href") == pods["web"]["href"]
            and record["dst"].get("workload", {}).get("href") == pods["db"]["href"]
        }
        return {(80, "allowed"), (81, "blocked")} <= decisions

    wait_until(seen, 30, every_s=0.5)


def test_a_pod_that_comes_and_goes(story: Story) -> None:
    """It gets its policy, its peers learn its address, and forget it again."""
    story.node.run_pod("db-2", STRANGER, role="db")
    wait_until(lambda: "db-2" in story.pods(), 30)
    with story.node.listening("db-2", STRANGER, 80, 81):
        wait_until(lambda: story.node.connects("web", STRANGER, 80), 20)
        assert not story.node.connects("web", STRANGER, 81)
    story.node.end_pod("db-2")
    wait_until(lambda: "db-2" not in story.pods(), 30)


def test_a_pods_firewall_that_somebody_changed_is_put_back(story: Story) -> None:
    """Within seconds, with an event that names the container."""
    with story.node.listening("db", DB, 81), story.node.entered("db"):
        subprocess.run(("nft", "delete", "table", "inet", "ven"), check=True)
    began = time.monotonic()
    with story.node.entered("db"):
        wait_until(lambda: "inet ven" in _tables(), 10)
    assert time.monotonic() - began < 5

    def told() -> list[Any]:
        with story.node.host.entered():
            return story.operator.events("agent.tampering")

    [event] = wait_until(told)
    assert "container db" in str(event["notifications"])


def _tables() -> str:
    return subprocess.run(
        ("nft", "list", "tables"), check=True, capture_output=True
    ).stdout.decode()


def test_a_killed_ven_leaves_its_pods_enforced(story: Story) -> None:
    """And goes on with them when it is started again."""
    pid = DataDirectory(story.data).running_pid()
    assert pid
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not DataDirectory(story.data).running_pid())
    with story.node.listening("db", DB, 80, 81):
        assert story.node.connects("web", DB, 80)
        assert not story.node.connects("web", DB, 81)
        story.ven("start")
        story.set_managed(False)
        wait_until(lambda: story.node.connects("web", DB, 81, timeout_s=0.3), 30)
        story.set_managed(True)
        wait_until(lambda: not story.node.connects("web", DB, 81, timeout_s=0.3), 30)


def test_a_suspended_host_leaves_no_rule(story: Story) -> None:
    """Neither its own nor those of its pods, nor the gate before new ones: all open, as before;
    then the VEN enforces again."""
    wait_until(lambda: "bridge ven_pods" in story.node.host.run("nft", "list", "tables"), 30)
    story.ven("suspend")
    assert not story.node.host.run("nft", "list", "tables")
    with story.node.listening("db", DB, 81):
        assert story.node.connects("web", DB, 81)
        story.ven("unsuspend")
        wait_until(lambda: not story.node.connects("web", DB, 81, timeout_s=0.3), 30)
    wait_until(lambda: "bridge ven_pods" in story.node.host.run("nft", "list", "tables"), 30)


@pytest.mark.parametrize("process_first", [True, False])
def test_nothing_forbidden_passes_from_the_first_instant(story: Story, process_first: bool) -> None:
    """Neither to the pod nor from it, whichever comes first, its network or its process; and what
    its policy allows passes once it is there."""
    pod = NewPod(story.node, f"new-{process_first}".lower(), EARLY if process_first else LATE)
    with pod.in_its_own_order(process_first=process_first):
        wait_until(lambda: pod.name in story.pods(), 30)
        wait_until(lambda: pod.counted()["left"] > 0)
        with story.node.listening(pod.name, pod.number, 80):
            wait_until(lambda: story.node.connects("web", pod.number, 80), 20)
        assert pod.counted()["arrived"] == 0
        assert not pod.was_heard()


def test_pods_of_a_namespace_that_is_not_enforced_pass(story: Story) -> None:
    """The same senders reach a pod whose namespace is not managed, and so show that they would
    have been heard."""
    pod = NewPod(story.node, "unmanaged", ELSEWHERE, namespace="elsewhere")
    with pod.in_its_own_order(process_first=False):
        wait_until(lambda: pod.counted()["arrived"] > 0 and pod.was_heard(), 30)


def test_a_gate_that_somebody_removed_is_put_back(story: Story) -> None:
    """Within seconds, and told."""

    def told() -> bool:
        # Once more, if it was made anew for a pod that came or went.
        story.node.host.run("nft", "delete", "table", "bridge", "ven_pods", check=False)
        with story.node.host.entered():
            return "the gate" in str(story.operator.events("agent.tampering"))

    wait_until(told, every_s=1)
    wait_until(lambda: "bridge ven_pods" in story.node.host.run("nft", "list", "tables"))
