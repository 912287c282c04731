"""Container clusters and their container workload profiles."""

import hashlib
from typing import Any

import pytest

from pce.identifiers import OrgId, tail
from pce.runtime.wiring import Wiring
from tests.fakes.api import Api


@pytest.fixture
def cluster(api: Api) -> dict[str, Any]:
    made: dict[str, Any] = api.post(f"{api.org}/container_clusters", {"name": "kube"})
    return made


def test_the_token_is_shown_once(api: Api, stores: Wiring, cluster: dict[str, Any]) -> None:
    """In the answer to the creation; only its hash is kept, and no client sees that."""
    token = cluster["container_cluster_token"]
    shown = api.get(cluster["href"])
    assert shown == {k: v for k, v in cluster.items() if k != "container_cluster_token"}
    assert "token_hash" not in shown and api.get(f"{api.org}/container_clusters") == [shown]
    stored = stores.objects.get(
        OrgId(api.created["org_id"]), "container_clusters", tail(cluster["href"])
    )
    assert stored is not None and token not in str(stored.document)
    assert stored.document["token_hash"] == hashlib.sha256(token.encode()).hexdigest()
    assert (shown["online"], shown["nodes"], shown["errors"]) == (False, [], [])


def test_clusters_change_and_keep_their_names_apart(api: Api, cluster: dict[str, Any]) -> None:
    """As objects of any collection; the token's hash survives."""
    api.put(cluster["href"], {"description": "x", "online": True})
    shown = api.get(cluster["href"])
    assert (shown["description"], shown["online"]) == ("x", False)
    path = f"{api.org}/container_clusters"
    assert api.call("POST", path, {"name": "kube"}).tokens == ["container_cluster_not_unique"]
    assert api.call("POST", path, {}).tokens == ["required_attribute_missing"]
    assert api.get(path, name="UB") == [shown]
    assert api.get(f"{cluster['href']}/service_backends") == []
    assert api.call("GET", f"{path}/x/service_backends").status == 404
    assert api.get(f"{api.org}/container_workloads") == []


def test_a_cluster_begins_with_a_default_profile(api: Api, cluster: dict[str, Any]) -> None:
    """Which stays as long as the cluster does."""
    [default] = api.get(f"{cluster['href']}/container_workload_profiles")
    assert (default["name"], default["managed"], default["enforcement_mode"]) == (
        "Default",
        False,
        "idle",
    )
    answer = api.call("DELETE", default["href"])
    assert answer.tokens == ["container_workload_profile_is_default"]
    api.put(default["href"], {"name": None, "enforcement_mode": "full"})
    assert api.get(default["href"])["name"] is None


def test_profiles_assign_or_restrict_labels(api: Api, cluster: dict[str, Any]) -> None:
    """Labels come back with their values; what ``assign_labels`` says ``labels`` says, too."""
    path = f"{cluster['href']}/container_workload_profiles"
    env, app = (
        api.post(f"{api.org}/labels", {"key": key, "value": key})["href"] for key in ("env", "app")
    )
    made = api.post(path, {"name": "p", "assign_labels": [{"href": env}], "managed": True})
    assert made["assign_labels"] == [{"href": env}]
    assert made["labels"] == [{"key": "env", "assignment": {"href": env, "value": "env"}}]
    labels = [
        {"key": "app", "restriction": [{"href": app}]},
        {"key": "env", "assignment": {"href": env}, "restriction": None},
    ]
    api.put(made["href"], {"labels": labels})
    shown = api.get(made["href"])
    assert shown["labels"][0] == {"key": "app", "restriction": [{"href": app, "value": "app"}]}
    assert len(api.get(path)) == 2 and api.get(path, managed="true") == [shown]
    assert api.get(path, assign_labels=f'["{env}"]') == [shown]
    api.delete(app)  # a restriction does not hold it: there is one less to choose
    assert api.get(made["href"]) == shown
    refused = api.call("DELETE", env)
    assert refused.tokens == ["label_in_use"] and made["href"] in refused.json[0]["message"]
    loc = api.post(f"{api.org}/labels", {"key": "loc", "value": "x"})["href"]
    for bad, token in (
        ([{"key": "env", "assignment": {"href": loc}}], "label_group_key_mismatch"),
        ([{"key": "colour", "assignment": {"href": loc}}], "unknown_label_key"),
        ([{"key": "app", "assignment": {"href": app}}], "invalid_reference"),
        ([{"key": "env"}], "invalid_attribute"),
        ([labels[0], labels[0]], "invalid_attribute"),
    ):
        assert token in api.call("PUT", made["href"], {"labels": bad}).tokens


def test_a_profile_lies_in_its_cluster(api: Api, cluster: dict[str, Any]) -> None:
    """Under another cluster's path it is not there; it goes when the cluster goes."""
    other = api.post(f"{api.org}/container_clusters", {"name": "other"})
    profile = api.post(f"{cluster['href']}/container_workload_profiles", {"name": "p"})["href"]
    elsewhere = profile.replace(tail(cluster["href"]), tail(other["href"]))
    for method in ("GET", "PUT", "DELETE"):
        assert api.call(method, elsewhere, {}).status == 404
    assert (
        api.call("POST", f"{elsewhere.rsplit('/', 2)[0]}x/container_workload_profiles").status
        == 404
    )
    api.delete(cluster["href"])
    assert api.call("GET", profile).status == 404
    assert api.call("GET", cluster["href"]).status == 404
    assert len(api.get(f"{other['href']}/container_workload_profiles")) == 1
    api.post(f"{api.org}/container_clusters", {"name": "kube"})  # the name is free
