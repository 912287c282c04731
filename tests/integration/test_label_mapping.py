"""Label mapping rules: from host names, addresses and services to labels."""

import time
import uuid
from typing import Any

import pytest

from pce.runtime.wiring import Wiring
from pce.usecases.record_reports import record_services
from tests.fakes.api import Api, new_org
from tests.fakes.changing_calls import run_by_the_worker
from tests.fakes.pairing import pair
from tests.fakes.people import member
from ven_protocol.messages import OpenPort, Process, ServicesReport


def _label(api: Api, key: str, value: str) -> str:
    found = api.get(f"{api.org}/labels", key=key, value=value)
    made = found[0] if found else api.post(f"{api.org}/labels", {"key": key, "value": value})
    return str(made["href"])


def _if(name: str, operator: str, *values: Any) -> dict[str, Any]:
    return {"property": name, "operator": operator, "values": list(values)}


def _rule(api: Api, expression: dict[str, Any], *labels: str, **more: Any) -> dict[str, Any]:
    given = [{"label": {"href": href}} for href in labels]
    body = {"expression": expression, "label_assignments": given, **more}
    return api.post(f"{api.org}/label_mapping_rules", body)


def _workload(api: Api, hostname: str, *labels: str, **more: Any) -> str:
    body = {"hostname": hostname, "labels": [{"href": href} for href in labels], **more}
    return str(api.post(f"{api.org}/workloads", body)["href"])


def _run(api: Api, **body: Any) -> str:
    started = api.post(f"{api.org}/label_mapping_rules/run", body, 202)
    assert started["status"] == "pending"
    assert api.call("GET", f"{started['href']}/download").status == 404
    run_by_the_worker(started["href"])
    assert api.get(started["href"])["status"] == "done"
    return str(started["href"])


def _labels(api: Api, workload: str) -> set[str]:
    return {label["value"] for label in api.get(workload)["labels"]}


def test_labels_that_are_missing_are_found_and_then_given(api: Api) -> None:
    """Nothing changes before it is said; of each key the first rule in the order counts, and a
    label that a workload has stays."""
    web, db, shop = (_label(api, *kv) for kv in (("role", "web"), ("role", "db"), ("app", "shop")))
    _rule(api, _if("hostname", "starts_with", "WEB-"), web, shop)
    _rule(api, _if("hostname", "contains", "1"), db)
    fresh, has_one, other = (
        _workload(api, "web-1"),
        _workload(api, "web-2", db),
        _workload(api, "mail-2"),
    )
    run = _run(api)
    assert api.get(run)["workloads_to_label"] == 2
    found = {entry["href"]: entry for entry in api.get(f"{run}/download")}
    assert set(found) == {fresh, has_one}
    assert set(found[fresh]["labels_after"]) == {web, shop}
    assert (_labels(api, fresh), _labels(api, has_one)) == (set(), {"db"})
    assert api.put(f"{run}/assign_labels", {"workloads": [{"href": fresh}]}, 200) == {"errors": []}
    assert (_labels(api, fresh), _labels(api, has_one)) == ({"web", "shop"}, {"db"})
    assert api.put(f"{run}/assign_labels", {}, 200) == {"errors": []}
    assert _labels(api, has_one) == {"db", "shop"}
    assert _labels(api, other) == set()
    changes = [e["resource_changes"] for e in api.events("workloads.set_labels")]
    assert [change[0]["resource"]["workload"]["href"] for change in changes] == [has_one, fresh]


def test_labels_are_overwritten_only_when_asked(api: Api) -> None:
    """``overwrite`` of the run; rules and workloads may be named."""
    web, db = _label(api, "role", "web"), _label(api, "role", "db")
    rule = _rule(api, _if("hostname", "equals", "web-1"), web)
    _rule(api, _if("hostname", "equals", "web-1"), _label(api, "env", "prod"))
    workload, beside = _workload(api, "web-1", db), _workload(api, "web-1", db)
    named = {"label_mapping_rules": [{"href": rule["href"]}], "workloads": [{"href": workload}]}
    assert api.get(f"{_run(api, **named)}/download") == []
    run = _run(api, **named, overwrite=True)
    api.put(f"{run}/assign_labels", {}, 200)
    assert (_labels(api, workload), _labels(api, beside)) == ({"web"}, {"db"})


def test_a_workload_that_changed_since_is_left_alone(api: Api, stores: Wiring) -> None:
    """Somebody gave it labels, or deleted it; the answer names it, the others are done."""
    web, prod = _label(api, "role", "web"), _label(api, "env", "prod")
    _rule(api, _if("hostname", "starts_with", "web"), web)
    changed, gone, good = (_workload(api, f"web-{n}") for n in range(3))
    run = _run(api, workloads=[{"href": href} for href in (changed, gone, good)])
    api.put(changed, {"labels": [{"href": prod}]})
    api.delete(gone)
    nobody = f"{api.org}/workloads/{uuid.uuid4()}"
    said = {"workloads": [{"href": href} for href in (changed, gone, good, nobody)]}
    errors = api.put(f"{run}/assign_labels", said, 200)["errors"]
    assert {error["token"]: error["hrefs"] for error in errors} == {
        "label_mapping_not_found": [nobody],
        "labels_changed": [changed],
        "workload_already_deleted": [gone],
    }
    assert (_labels(api, changed), _labels(api, good)) == ({"prod"}, {"web"})
    scoped = member(api, stores, "workload_manager")
    assert scoped.call("GET", f"{run}/download").status == 403


def test_what_a_ven_reports_is_looked_at(api: Api, stores: Wiring) -> None:
    """Address, system, process and port of the same host, joined by and."""
    ven = pair(api, stores)
    report = ServicesReport(
        uptime_seconds=1,
        open_ports=[OpenPort(protocol=6, address="0.0.0.0", port=5432, process_name="postgres")],
        processes=[Process(pid=1, name="nginx")],
    )
    record_services(ven.token, report, stores, int(time.time()))
    conditions = [
        _if("ip_address", "equals", "10.0.0.0/24"),
        _if("os", "starts_with", "debian"),
        _if("process", "equals", "Postgres"),
        _if("process", "contains", "gin"),
        _if("port", "equals", 5432),
    ]
    _rule(api, {"operator": "and", "expressions": conditions}, _label(api, "role", "db"))
    [found] = api.get(f"{_run(api, workloads=[{'href': ven.workload_href}])}/download")
    assert found["href"] == ven.workload_href


def test_rules_have_an_order(api: Api) -> None:
    """A new rule is the last; it can be moved, in bulk switched off and deleted."""
    web = _label(api, "role", "web")
    rules = f"{api.org}/label_mapping_rules"
    one, two, three = (_rule(api, _if("hostname", "equals", n), web)["href"] for n in "abc")

    def order() -> list[str]:
        listed = api.get(rules)
        assert [rule["position"] for rule in listed] == list(range(1, len(listed) + 1))
        return [rule["href"] for rule in listed]

    assert order() == [one, two, three]
    api.put(f"{three}/reorder", {"position": 1})
    assert order() == [three, one, two]
    api.put(f"{three}/reorder", {"position": 99})
    assert order() == [one, two, three]
    four = _rule(api, _if("hostname", "equals", "d"), web)
    assert (four["position"], order()[-1]) == (4, four["href"])
    for wrong in (0, "1", None, True):
        assert api.call("PUT", f"{one}/reorder", {"position": wrong}).status == 406
    [said] = api.put(f"{rules}/update", [{"href": one, "enabled": False}], 200)
    assert (said["status"], api.get(one)["enabled"]) == ("updated", False)
    api.put(f"{rules}/delete", [{"href": one}, {"href": two}], 200)
    assert order() == [three, four["href"]]


def test_labels_are_given_on_activation_when_the_org_wants_it(api: Api, stores: Wiring) -> None:
    """What the pairing profile gave stays."""
    web, prod = _label(api, "role", "web"), _label(api, "env", "prod")
    _rule(api, _if("hostname", "starts_with", "web"), web)
    _rule(api, _if("hostname", "starts_with", "web"), prod, enabled=False)
    assert _labels(api, pair(api, stores).workload_href) == set()
    api.put(f"{api.org}/settings", {"automatic_label_application_on_ven_activation": True})
    assert _labels(api, pair(api, stores).workload_href) == {"web"}
    [profile] = api.get(f"{api.org}/pairing_profiles", name="Default")
    api.put(profile["href"], {"labels": [{"href": _label(api, "role", "db")}]})
    assert _labels(api, pair(api, stores).workload_href) == {"db"}
    clock = {"rule_based_label_maker_schedule_enabled": True}
    assert api.call("PUT", f"{api.org}/settings", clock).status == 406


@pytest.mark.parametrize(
    "expression",
    [
        {},
        [],
        _if("colour", "equals", "red"),
        _if("hostname", "matches", ".*"),
        _if("hostname", "equals"),
        _if("hostname", "equals", ""),
        _if("ip_address", "equals", "web"),
        _if("ip_address", "starts_with", "10."),
        _if("port", "equals", [443]),
        {"operator": "xor", "expressions": [_if("hostname", "equals", "a")]},
        {"operator": "and", "expressions": []},
        {
            "operator": "and",
            "expressions": [
                {
                    "operator": "and",
                    "expressions": [
                        {
                            "operator": "and",
                            "expressions": [
                                {
                                    "operator": "and",
                                    "expressions": [
                                        {
                                            "operator": "and",
                                            "expressions": [_if("hostname", "equals", "a")],
                                        }
                                    ],
                                }
                            ],
                        }
                    ],
                }
            ],
        },
    ],
)
def test_rules_that_make_no_sense(api: Api, expression: Any) -> None:
    """406, naming the place, and none is made."""
    body = {"expression": expression, "label_assignments": [{"href": _label(api, "role", "w")}]}
    answer = api.call("POST", f"{api.org}/label_mapping_rules", body)
    assert answer.status == 406 and answer.json[0]["field"].startswith("expression")
    two = [{"label": {"href": _label(api, "role", value)}} for value in ("a", "b")]
    same_key = {"expression": _if("hostname", "equals", "a"), "label_assignments": two}
    answer = api.call("POST", f"{api.org}/label_mapping_rules", same_key)
    assert answer.tokens == ["label_key_repeated"]
    assert api.get(f"{api.org}/label_mapping_rules") == []


def test_a_run_names_what_is_there(api: Api) -> None:
    """Rules and workloads of nobody, or of another org, are refused; no run begins."""
    stranger = new_org()
    workload = stranger.post(f"{stranger.org}/workloads", {"name": "theirs"})["href"]
    own = workload.replace(stranger.org, api.org)
    for body in (
        {"workloads": [{"href": own}]},
        {"label_mapping_rules": [{"href": f"{api.org}/label_mapping_rules/{uuid.uuid4()}"}]},
    ):
        answer = api.call("POST", f"{api.org}/label_mapping_rules/run", body)
        assert (answer.status, answer.tokens) == (406, ["invalid_reference"])
    assert {event["status"] for event in api.events("label_mapping_rules.run")} == {"failure"}
