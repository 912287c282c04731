"""Vulnerabilities and scanners' reports: taken as scanners send them, shown with the workloads."""

from typing import Any

import pytest

from tests.fakes.api import Api

LOG4J = {
    "reference_id": "qualys-376157",
    "name": "Log4Shell",
    "score": 100,
    "cve_ids": ["CVE-2021-44228"],
    "description": "",
}


def _report(workload: str, vulnerability: str, **said: Any) -> dict[str, Any]:
    """A report in the form of the infrastructure-as-code client: ports are texts there."""
    finding = {
        "ip_address": "10.0.0.1",
        "port": "8080",
        "proto": "6",
        "workload": {"href": workload},
        "vulnerability": {"href": vulnerability},
    }
    return {
        "name": "nightly",
        "report_type": "qualys",
        "authoritative": False,
        "scanned_ips": ["10.0.0.1"],
        "detected_vulnerabilities": [{**finding, **said}],
        "exported_at": "2026-11-28T03:00:00Z",
    }


@pytest.fixture
def workload(api: Api) -> str:
    return api.post(f"{api.org}/workloads", {"name": "web"})["href"]


def test_a_list_of_vulnerabilities_may_be_sent_again(api: Api) -> None:
    """Scanners send all that they know each night: what is new is made, what is known changes."""
    path = f"{api.org}/vulnerabilities"
    [made] = api.post(path, [LOG4J])
    assert made == {"href": f"{path}/qualys-376157", "status": "created"}
    other = {**LOG4J, "reference_id": "x", "name": "Other", "score": 0, "cve_ids": []}
    said = api.post(path, [{**LOG4J, "score": 98}, other])
    assert [entry["status"] for entry in said] == ["updated", "created"]
    shown = api.get(made["href"])
    assert (shown["score"], shown["severity"]) == (98, "critical")
    assert [v["name"] for v in api.get(path, name="log4")] == ["Log4Shell"]
    assert [v["name"] for v in api.get(path, cve_id="CVE-2021-44228")] == ["Log4Shell"]


def test_nothing_right_in_a_list_is_refused(api: Api) -> None:
    """406, with what is wrong with each entry; one that is right saves the others."""
    path = f"{api.org}/vulnerabilities"
    wrong = [{"reference_id": "a/b", "name": "n", "score": 1}, {"name": "n"}, 5]
    assert api.call("POST", path, wrong).status == 406
    assert api.call("POST", path, {}).tokens == ["invalid_bulk_request"]
    said = api.post(path, [*wrong, LOG4J])
    assert [entry["status"] for entry in said] == ["validation_failure"] * 3 + ["created"]
    assert len(api.get(path)) == 1


def test_a_report_is_put_under_the_scanners_own_id(api: Api, workload: str) -> None:
    """The first PUT makes it, a later one changes it; a workload shows what was found on it."""
    [vulnerability] = api.post(f"{api.org}/vulnerabilities", [LOG4J])
    href = f"{api.org}/vulnerability_reports/scan-1"
    api.put(href, _report(workload, vulnerability["href"]))
    shown = api.get(href)
    assert (shown["reference_id"], shown["num_vulnerabilities"]) == ("scan-1", 1)
    found = api.get(workload)
    summary = found["vulnerabilities_summary"]
    assert (summary["num_vulnerabilities"], summary["max_vulnerability_score"]) == (1, 100)
    assert found["detected_vulnerabilities"][0]["port"] == 8080
    assert api.get(f"{workload}/risk_details")["detected_vulnerabilities"][0]["proto"] == 6
    [listed] = api.get(f"{api.org}/workloads", representation="workload_labels_vulnerabilities")
    assert listed["vulnerability_summary"] == summary
    api.put(href, _report(workload, vulnerability["href"], state="fixed"))
    assert api.get(workload)["vulnerabilities_summary"] is None


def test_a_report_names_what_there_is(api: Api, workload: str) -> None:
    """An unknown workload or vulnerability is 406 with its href, and no report is made."""
    nothing = f"{api.org}/vulnerabilities/nothing"
    href = f"{api.org}/vulnerability_reports/scan-1"
    answer = api.call("PUT", href, _report(workload, nothing))
    assert (answer.status, answer.tokens) == (406, ["invalid_reference"])
    assert nothing in answer.json[0]["message"]
    assert api.call("GET", href).status == 404
