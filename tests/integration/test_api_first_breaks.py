"""The twelve things that break public clients first, one test each where no other file has it."""

import json
import re

import pytest

from pce.runtime.api_routes import ENDPOINTS
from pce.runtime.wiring import Wiring
from tests.fakes.api import Api
from tests.fakes.pairing import pair

LISTS = sorted(
    {
        path
        for method, path, _ in ENDPOINTS
        if method == "GET" and not set(re.findall(r"\{(\w+)\}", path)) - {"org", "version"}
    }
)


@pytest.mark.parametrize("path", LISTS)
def test_every_answer_has_the_bare_content_type_and_every_list_its_total(
    shared_api: Api, path: str
) -> None:
    """1, 5 and 6: no charset; X-Total-Count in digits; ``max_results=0`` asks for it alone."""
    org = shared_api.org.rsplit("/", 1)[-1]
    named = path.replace("{org}", org).replace("{version}", "active")
    if named.endswith(("/explain", "/allow", "/policy_check", "/policy_view")):
        return  # questions, which need to be asked
    if named.endswith("/software/ven/releases"):
        return  # needs the VEN's package: test_api_ven_upgrade.py
    answer = shared_api.call("GET", named)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    if isinstance(answer.json, list) and not named.endswith(("/health", "/optional_features")):
        assert re.fullmatch(r"\d+", answer.headers["x-total-count"])
        assert shared_api.call("GET", named, query={"max_results": "0"}).json == []


def test_jobs_are_done_and_queries_completed(api: Api) -> None:
    """2, 3 and 4: an href alone, whole seconds, and words that are not mixed up."""
    accepted = api.call("GET", f"{api.org}/labels", prefer="respond-async")
    assert re.fullmatch(rf"{api.org}/jobs/[0-9a-f-]{{36}}", accepted.headers["location"])
    assert re.fullmatch(r"\d+", accepted.headers["retry-after"])
    assert api.get(accepted.headers["location"])["status"] == "done"
    query = api.call("POST", f"{api.org}/traffic_flows/async_queries", {"query_name": ""})
    assert (query.status, query.json["status"]) == (202, "queued")


def test_changes_have_the_statuses_that_clients_compare(api: Api) -> None:
    """7 and 8: 201 with the whole object, 204 without a body, and provisioning is a creation."""
    made = api.call("POST", f"{api.draft}/ip_lists", {"name": "x", "fqdns": [{"fqdn": "a.b"}]})
    assert made.status == 201 and made.json["fqdns"] == [{"fqdn": "a.b"}]
    changed = api.call("PUT", made.json["href"], {"description": "y"})
    version = api.call("POST", f"{api.org}/sec_policy", {"update_description": "z"})
    removed = api.call("DELETE", made.json["href"])
    assert [(a.status, a.raw) for a in (changed, removed)] == [(204, b"")] * 2
    assert version.status == 201 and version.json["version"] == 2


def test_every_workload_has_what_clients_index(api: Api, stores: Wiring) -> None:
    """9: labels, agent and four attributes are there, managed or not, in lists and alone; the
    agent of one without a VEN has no href."""
    pair(api, stores)
    api.post(f"{api.org}/workloads", {"name": "bare"})
    listed = api.get(f"{api.org}/workloads")
    for workload in (*listed, *(api.get(workload["href"]) for workload in listed)):
        assert workload.keys() >= {"name", "hostname", "deleted", "online", "labels", "agent"}
        assert isinstance(workload["labels"], list) and isinstance(workload["agent"], dict)
        assert bool(workload["agent"].get("href")) is workload["managed"]
        assert workload["agent"]["config"]["mode"] == "illuminated"


def test_deleted_objects_stay_readable(api: Api) -> None:
    """10: 200 with ``deleted: true``; the list forgets them unless it is asked for them."""
    made = [
        api.post(f"{api.org}/labels", {"key": "role", "value": "web"}),
        api.post(f"{api.org}/label_dimensions", {"key": "bu", "display_name": "BU"}),
        api.post(f"{api.org}/workloads", {"name": "w"}),
    ]
    for document in made:
        href = document["href"]
        api.delete(href)
        assert api.get(href)["deleted"] is True
        collection = href.rsplit("/", 1)[0]
        assert href not in [one["href"] for one in api.get(collection)]
        assert href in [one["href"] for one in api.get(collection, include_deleted="yes")]
        again = api.call("DELETE", href)
        assert again.status == 406 and again.tokens[0].endswith("already_deleted")


def test_names_match_in_part_and_external_data_whole(api: Api) -> None:
    """11: in any case and anywhere; references of other systems only as they are."""
    for number in (1, 12):
        body = {"name": f"Web {number}", "external_data_set": "cmdb"}
        api.post(f"{api.org}/workloads", {**body, "external_data_reference": f"CI{number}"})
    assert len(api.get(f"{api.org}/workloads", name="wEB")) == 2
    for query in ({"external_data_reference": "CI1"}, {"external_data_set": "CMDB"}):
        found = api.get(f"{api.org}/workloads", **query)
        assert [w["name"] for w in found] == (["Web 1"] if "CI1" in json.dumps(query) else [])


def test_the_version_can_be_taken_apart(shared_api: Api) -> None:
    """12: three numbers with dots, and a build behind a dash; recent enough for label types."""
    said = shared_api.get("/product_version")
    assert re.fullmatch(r"\d+\.\d+\.\d+", said["version"])
    assert re.fullmatch(rf"{re.escape(said['version'])}-\d+", said["long_display"])
    assert tuple(map(int, said["version"].split("."))) >= (23, 1, 0)
