"""The compatibility report of an idle VEN: what the VEN found, and no more."""

import time
import uuid
from collections.abc import Sequence
from typing import Any

import pytest

from pce.runtime.wiring import Wiring
from pce.usecases.record_reports import record_compatibility, record_interfaces
from tests.fakes.api import Api
from tests.fakes.pairing import PairedVen, pair
from ven_protocol.messages import CompatibilityReport, Interface, InterfacesReport

NOW = 1_800_000_000


OF_INTERFACES = {"IPv6_enabled", "ipv6_global_scope", "Unwanted_nics", "routing_table_conflict"}
OF_HOST = {
    *("ipsec_service_enabled", "ipv4_forwarding_enabled", "ipv4_forwarding_pkt_cnt"),
    *("iptables_rule_cnt", "ip6tables_rule_cnt", "ipv6_active_conn_cnt", "notrack_rule_cnt"),
    *("required_packages_installed", "required_packages_missing", "firewall_services"),
}


def qualify_tests(report: dict[str, Any]) -> dict[str, tuple[str, Any]]:
    """Name of each test -> its status and value."""
    tests = report["results"]["qualify_tests"]
    return {
        name: (test["status"], test[name]) for test in tests for name in test if name != "status"
    }


def idle(api: Api, stores: Wiring, addresses: Sequence[str]) -> PairedVen:
    """A VEN in mode idle on a host with these addresses."""
    ven = pair(api, stores)
    interfaces = [
        Interface(name="eth0", address=address, cidr_block=24, link_state="up", kind="ethernet")
        for address in addresses
    ]
    record_interfaces(ven.token, InterfacesReport(interfaces=interfaces), stores, NOW)
    api.put(ven.workload_href, {"enforcement_mode": "idle"})
    return ven


@pytest.mark.parametrize(
    ("addresses", "enabled", "global_scope"),
    [
        (["10.0.0.7"], False, False),
        (["10.0.0.7", "::1"], False, False),
        (["10.0.0.7", "fe80::7"], True, False),
        (["10.0.0.7", "fe80::7", "2001:db8::7"], True, True),
    ],
)
def test_ipv6_is_told_from_the_interfaces(
    api: Api, stores: Wiring, addresses: list[str], enabled: bool, global_scope: bool
) -> None:
    """The old and the new path answer alike. An old VEN, of a release that enforces no IPv6 rules,
    is warned about where there is IPv6. Nothing is green while the VEN has said nothing of the
    host."""
    ven = idle(api, stores, addresses)
    report = api.get(f"{ven.href}/compatibility_report")
    assert report["qualify_status"] == "yellow"
    told = qualify_tests(report)
    assert told.keys() == OF_INTERFACES
    for name, found in ("IPv6_enabled", enabled), ("ipv6_global_scope", global_scope):
        assert told[name] == ("yellow" if found else "green", found)
    assert report["last_updated_at"] == api.get(ven.href)["last_heartbeat_at"]
    agent = api.get(ven.workload_href)["agent"]["href"]
    assert api.get(f"{agent}/compatibility_report") == report


@pytest.mark.parametrize(
    ("found", "status", "bad"),
    [
        ({}, "green", {}),
        ({"ipv4_forwarding": True}, "green", {}),
        ({"ipv4_rules": 3}, "yellow", {"iptables_rule_cnt": 3}),
        ({"ipv6_rules": 1}, "yellow", {"ip6tables_rule_cnt": 1}),
        ({"untracking_rules": 1}, "yellow", {"notrack_rule_cnt": 1}),
        ({"firewall_services": ["ufw"]}, "yellow", {"firewall_services": ["ufw"]}),
        ({"ipsec": True}, "yellow", {"ipsec_service_enabled": True}),
        (
            {"ipv4_forwarding": True, "ipv4_forwarded_packets": 10},
            "yellow",
            {"ipv4_forwarding_enabled": True, "ipv4_forwarding_pkt_cnt": 10},
        ),
        (
            {"missing": ["nftables"], "ipv4_rules": 3},
            "red",
            {
                "required_packages_missing": ["nftables"],
                "required_packages_installed": False,
                "iptables_rule_cnt": 3,
            },
        ),
    ],
)
def test_what_the_ven_found_decides(
    api: Api, stores: Wiring, found: dict[str, Any], status: str, bad: dict[str, Any]
) -> None:
    """green where it found nothing, so that scripts can move it out of idle; else yellow, or red
    where policy cannot be enforced."""
    ven = idle(api, stores, ["10.0.0.7"])
    record_compatibility(ven.token, CompatibilityReport(**found), stores, NOW)
    report = api.get(f"{ven.href}/compatibility_report")
    assert report["qualify_status"] == status
    told = qualify_tests(report)
    assert told.keys() == OF_INTERFACES | OF_HOST
    assert {name: value for name, (test, value) in told.items() if test != "green"} == bad


def test_two_interfaces_in_one_network(api: Api, stores: Wiring) -> None:
    """An answer may leave by the wrong one: a person looks first."""
    ven = idle(api, stores, ["10.0.0.7"])
    record_compatibility(ven.token, CompatibilityReport(), stores, NOW)
    told = [
        Interface(name=name, address=address, cidr_block=24, link_state="up")
        for name, address in (("eth0", "10.0.0.7"), ("eth1", "10.0.0.8"))
    ]
    record_interfaces(ven.token, InterfacesReport(interfaces=told), stores, NOW)
    report = api.get(f"{ven.href}/compatibility_report")
    assert qualify_tests(report)["routing_table_conflict"] == ("yellow", True)
    assert report["qualify_status"] == "yellow"


def test_the_same_report_is_stored_once(api: Api, stores: Wiring) -> None:
    """With one event; another one replaces it."""
    ven = idle(api, stores, ["10.0.0.7"])
    now = int(time.time())  # events of the future are not listed
    for rules in (3, 3, 0):
        record_compatibility(ven.token, CompatibilityReport(ipv4_rules=rules), stores, now)
    assert len(list(api.events("agent.update"))) == 2
    assert api.get(f"{ven.href}/compatibility_report")["qualify_status"] == "green"


def test_other_modes_and_other_vens_have_none(api: Api, stores: Wiring) -> None:
    """Empty of a VEN that has policy; 404 of one that is not there."""
    ven = pair(api, stores)
    api.put(ven.workload_href, {"enforcement_mode": "visibility_only"})
    assert api.get(f"{ven.href}/compatibility_report") == {}
    for path in (f"vens/{uuid.uuid4()}", "agents/987654"):
        assert api.call("GET", f"{api.org}/{path}/compatibility_report").status == 404
