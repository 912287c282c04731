"""Which workloads an expression of a label mapping rule means."""

from typing import Any

import pytest

from pce.objects.label_mapping import asks_services, facts_of, labels_for, matches

HOST = {
    "hostname": "Web-1.example.com",
    "os_id": "debian-12",
    "os_detail": "6.1.0",
    "interfaces": [{"name": "eth0", "address": "10.0.0.7"}, {"name": "eth1"}],
    "public_ip": "2001:db8::7",
}
SERVICES = {
    "open_ports": [{"protocol": 6, "port": 5432, "process_name": "postgres"}],
    "processes": [{"name": "nginx"}],
}
FACTS = facts_of(HOST, SERVICES)


def _if(name: str, operator: str, *values: str) -> dict[str, Any]:
    return {"property": name, "operator": operator, "values": list(values)}


YES = [
    _if("hostname", "starts_with", "WEB-"),
    _if("hostname", "ends_with", "x", ".com"),
    _if("os", "equals", "6.1.0"),
    _if("os", "contains", "bian"),
    _if("ip_address", "equals", "10.0.0.0/24"),
    _if("ip_address", "equals", "2001:db8::/32"),
    _if("process", "equals", "Postgres"),
    _if("process", "contains", "gin"),
    _if("port", "equals", "5432"),
    _if("port", "equals", "5432/tcp"),
]
NO = [
    _if("hostname", "equals", "web-1"),
    _if("ip_address", "equals", "10.0.1.0/24", "2001:db9::/32"),
    _if("port", "equals", "5432/udp", "54"),
    _if("process", "equals", "postgre"),
]


@pytest.mark.parametrize("expression", YES)
def test_meant(expression: dict[str, Any]) -> None:
    """One value suffices; upper and lower case are alike."""
    assert matches(expression, FACTS)


@pytest.mark.parametrize("expression", NO)
def test_not_meant(expression: dict[str, Any]) -> None:
    """A part of a port or of a name is not the whole; networks hold addresses."""
    assert not matches(expression, FACTS)


def test_joined() -> None:
    """``and`` needs all, ``or`` one; what needs the report of services is known before."""
    assert matches({"operator": "and", "expressions": YES}, FACTS)
    assert not matches({"operator": "and", "expressions": [*YES, NO[0]]}, FACTS)
    assert matches({"operator": "or", "expressions": [*NO, YES[0]]}, FACTS)
    assert not matches({"operator": "or", "expressions": NO}, FACTS)
    assert asks_services({"operator": "or", "expressions": [YES[0], YES[-1]]})
    assert not asks_services({"operator": "or", "expressions": YES[:6]})
    assert not matches({"operator": "or", "expressions": YES[6:]}, facts_of(HOST))


def test_labels_of_rules_in_their_order() -> None:
    """Of a key the first rule counts; what a workload has stays unless it is to be overwritten; a
    label that does not exist any more is given by nobody."""

    def rule(expression: dict[str, Any], *labels: str) -> dict[str, Any]:
        given = [{"label": {"href": href}} for href in labels]
        return {"expression": expression, "label_assignments": given}

    keys = {"web": "role", "db": "role", "prod": "env"}
    rules = [rule(NO[0], "db"), rule(YES[0], "gone", "web"), rule(YES[1], "db", "prod")]
    assert labels_for(rules, FACTS, [], keys) == ["web", "prod"]
    assert sorted(labels_for(rules, FACTS, ["db"], keys)) == ["db", "prod"]
    assert sorted(labels_for(rules, FACTS, ["db"], keys, overwrite=True)) == ["prod", "web"]
    assert labels_for(rules, FACTS, ["prod", "web"], keys, overwrite=True) == ["prod", "web"]
    assert labels_for([], FACTS, ["kept", "db"], keys) == ["kept", "db"]
