"""The whole table of routes, walked with what belongs to another org, and with nonsense."""

import re
from typing import Any

import pytest

from pce.runtime.api_routes import ENDPOINTS
from pce.runtime.wiring import Wiring
from tests.fakes.api import Api, new_org
from tests.fakes.pairing import pair

WITH_ID = [
    (method, path)
    for method, path, _ in ENDPOINTS
    if "{org}" in path and re.search(r"\{(id|cluster|rule_set)\}", path)
]
WRITING = [(method, path) for method, path, _ in ENDPOINTS if method in ("PUT", "POST")]

NONSENSE: tuple[Any, ...] = ([], "x", [[]], [{"href": {}}], {"vens": [None], "name": {}})

VEN_ID = "7d0c7a52-0000-4000-8000-000000000000"
"""For collections of which they have nothing."""


def _last(href: str) -> str:
    return href.rsplit("/", 1)[-1]


@pytest.fixture(scope="module")
def mine(stores: Wiring) -> Api:
    return new_org("Mine")


@pytest.fixture(scope="module")
def theirs(stores: Wiring) -> dict[str, str]:
    """What another org has and mine has not: collection to an id. Numbers count anew in each org,
    so theirs are higher than any of mine."""
    api = new_org("Theirs")
    ven = pair(api, stores)
    for number in range(9):
        label = api.post(f"{api.org}/labels", {"key": "role", "value": f"web-{number}"})["href"]
    cluster = api.post(f"{api.org}/container_clusters", {"name": "c"})["href"]
    [profile] = api.get(f"{cluster}/container_workload_profiles")
    for number in range(9):
        body = {"name": f"r-{number}", "scopes": [[]]}
        rule_set = api.post(f"{api.draft}/rule_sets", body)["href"]
    ams = [{"actors": "ams"}]
    rule = {"providers": ams, "consumers": ams, "ingress_services": [{"port": 1, "proto": 6}]}
    group = {"name": "g", "key": "role", "labels": [{"href": label}]}
    dimension = {"key": "bu", "display_name": "BU"}
    virtual_service = {"name": "v", "service_ports": [{"port": 1, "proto": 6}]}
    vulnerability = {"reference_id": "cve-1", "name": "V", "score": 1}
    api.put(f"{api.org}/vulnerability_reports/scan-1", {"name": "scan"})
    report = {
        "report_template": {"href": f"{api.org}/report_templates/rule_hit_count_report"},
        "report_parameters": {"report_time_range": {"last_num_days": 1}},
    }
    hrefs = [
        ven.href,
        ven.workload_href,
        f"{api.org}/agents/99",
        label,
        cluster,
        profile["href"],
        rule_set,
        api.post(f"{rule_set}/sec_rules", rule)["href"],
        api.post(f"{rule_set}/deny_rules", rule)["href"],
        api.post(f"{api.org}/label_dimensions", dimension)["href"],
        api.post(f"{api.draft}/label_groups", group)["href"],
        api.post(f"{api.draft}/virtual_services", virtual_service)["href"],
        api.post(f"{api.org}/vulnerabilities", [vulnerability])[0]["href"],
        f"{api.org}/vulnerability_reports/scan-1",
        api.post(f"{api.org}/security_principals", {"sid": "S-1-9", "name": "P"})["href"],
        api.post(f"{api.org}/reports", report)["href"],
        api.call("POST", f"{api.org}/traffic_flows/async_queries", {}).json["href"],
        api.call("GET", f"{api.org}/labels", prefer="respond-async").headers["location"],
        api.get(f"{api.org}/events")[0]["href"],
        api.get(f"{api.org}/networks")[0]["href"],
    ]
    return {href.split("/")[-2]: _last(href) for href in hrefs}


@pytest.mark.parametrize(("method", "path"), WITH_ID)
def test_ids_of_another_org_name_nothing(
    mine: Api, theirs: dict[str, str], method: str, path: str
) -> None:
    """In my org's paths their ids are 404 (or 406, where what is sent is looked at first): nothing
    of theirs is shown or changed."""
    if (method, path.rsplit("/", 2)[1]) == ("PUT", "vulnerability_reports"):
        return  # makes a report of mine under the name that is sent
    named = path.replace("{org}", _last(mine.org)).replace("{version}", "draft")
    named = re.sub(r"(\w+)/\{\w+\}", lambda at: f"{at[1]}/{theirs.get(at[1], VEN_ID)}", named)
    answer = mine.call(method, named, {"name": "x"})
    assert answer.status in (404, 406), answer.raw


@pytest.mark.parametrize(("method", "path"), WRITING)
def test_nonsense_is_refused_everywhere(mine: Api, method: str, path: str) -> None:
    """Whatever JSON arrives, the answer is no 5xx, and an error names what is wrong."""
    named = path.replace("{org}", _last(mine.org)).replace("{version}", "draft")
    named = re.sub(r"\{\w+\}", "1", named)
    if named.endswith(("/sec_policy", "/sec_policy/pending")):
        return  # an empty body provisions what is pending: test_api_policy_versions.py
    if named.endswith("/password"):
        return  # takes its time on purpose: test_api_users.py
    for body in NONSENSE:
        answer = mine.call(method, named, body)
        assert answer.status < 500, (body, answer.raw)
        if answer.status >= 400:
            assert all(problem["token"] and problem["message"] for problem in answer.json)
