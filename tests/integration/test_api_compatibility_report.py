"""The compatibility report of an idle VEN says what the PCE knows, and no more."""

import uuid
from collections.abc import Sequence

import pytest

from pce.runtime.wiring import Wiring
from pce.usecases.record_reports import record_interfaces
from tests.fakes.api import Api
from tests.fakes.pairing import PairedVen, pair
from ven_protocol.messages import Interface, InterfacesReport


def idle(api: Api, stores: Wiring, addresses: Sequence[str]) -> PairedVen:
    """A VEN in mode idle on a host with these addresses."""
    ven = pair(api, stores)
    interfaces = [Interface(name="eth0", address=address) for address in addresses]
    record_interfaces(ven.token, InterfacesReport(interfaces=interfaces), stores, 1_800_000_000)
    api.put(ven.workload_href, {"enforcement_mode": "idle"})
    return ven


@pytest.mark.parametrize(
    ("addresses", "enabled", "global_scope"),
    [
        (["10.0.0.7"], False, False),
        (["of tomorrow", "::1"], False, False),
        (["10.0.0.7", "fe80::7"], True, False),
        (["10.0.0.7", "fe80::7", "2001:db8::7"], True, True),
    ],
)
def test_ipv6_is_told_from_the_interfaces(
    api: Api, stores: Wiring, addresses: list[str], enabled: bool, global_scope: bool
) -> None:
    """The old and the new path answer alike; the whole is never green. An old VEN, of a release
    that enforces no IPv6 rules, is warned about where there is IPv6."""
    ven = idle(api, stores, addresses)
    report = api.get(f"{ven.href}/compatibility_report")
    tests = report["results"]["qualify_tests"]
    found = {name: test[name] for test in tests for name in test if name != "status"}
    assert found == {"IPv6_enabled": enabled, "ipv6_global_scope": global_scope}
    statuses = ["yellow" if found else "green" for found in (enabled, global_scope)]
    assert [test["status"] for test in tests] == statuses
    assert report["qualify_status"] == "yellow"
    assert report["last_updated_at"] == api.get(ven.href)["last_heartbeat_at"]
    agent = api.get(ven.workload_href)["agent"]["href"]
    assert api.get(f"{agent}/compatibility_report") == report


def test_other_modes_and_other_vens_have_none(api: Api, stores: Wiring) -> None:
    """Empty of a VEN that has policy; 404 of one that is not there."""
    ven = pair(api, stores)
    api.put(ven.workload_href, {"enforcement_mode": "visibility_only"})
    assert api.get(f"{ven.href}/compatibility_report") == {}
    for path in (f"vens/{uuid.uuid4()}", "agents/987654"):
        assert api.call("GET", f"{api.org}/{path}/compatibility_report").status == 404
