"""Whether the host of an idle VEN is ready for policy, of what the PCE knows of it.

VENs do not look for other firewalls, forwarding or routing tables of their own accord, so the tests
for those are missing, and the whole is ``yellow`` at best: green would say that they were passed.
"""

from collections.abc import Iterable, Mapping
from ipaddress import IPv6Address
from typing import Any

from pce.policy.ipv6_support import ipv6_support_of


def compatibility_report(ven: Mapping[str, Any]) -> dict[str, Any]:
    """Of a VEN as it is shown: ``last_updated_at``, ``qualify_status`` and
    ``results.qualify_tests``, each with its ``status``. Empty of a VEN that is not idle, or gone:
    then there is nothing to get ready for."""
    [workload] = ven["workloads"]
    if workload["enforcement_mode"] != "idle" or ven.get("deleted"):
        return {}
    of_6 = _ipv6_addresses(interface["address"] for interface in ven["interfaces"])
    by_rules = (
        ipv6_support_of({"os_type": ven["os_platform"], "ven_version": ven["version"]})
        == "by_rules"
    )

    def test(name: str, found: bool) -> dict[str, Any]:
        return {"status": "green" if by_rules or not found else "yellow", name: found}

    return {
        "last_updated_at": ven["last_heartbeat_at"],
        "qualify_status": "yellow",
        "results": {
            "qualify_tests": [
                test("IPv6_enabled", bool(of_6)),
                test("ipv6_global_scope", any(not address.is_link_local for address in of_6)),
            ]
        },
    }


def _ipv6_addresses(texts: Iterable[str]) -> list[IPv6Address]:
    """Those that are IPv6 and not loopback; what a VEN reports may be no address at all."""
    found = []
    for text in texts:
        try:
            address = IPv6Address(text)
        except ValueError:
            continue
        if not address.is_loopback:
            found.append(address)
    return found
