"""Whether the host of an idle VEN is ready for policy.

``green``: nothing was found that would get in the way. ``yellow``: look at it first. ``red``:
policy cannot be enforced there. The whole is as bad as its worst test, and ``yellow`` of a VEN that
has not said what is on its host (one that never was idle since it could tell, or a foreign one):
green would say that tests were passed that nobody made.
"""

from collections.abc import Iterable, Mapping
from ipaddress import IPv6Address, ip_interface
from typing import Any

from pce.policy.estate_from_documents import is_unsupported_wireless
from pce.policy.ipv6_support import ipv6_support_of

_WORSE = ("green", "yellow", "red")

Found = Mapping[str, Any]


def compatibility_report(ven: Found, workload: Found, found: Found | None) -> dict[str, Any]:
    """Of a VEN as it is shown, its workload's document, and what the VEN reported
    (``ven_protocol.messages.CompatibilityReport``, as stored): ``last_updated_at``,
    ``qualify_status`` and ``results.qualify_tests``, each with its ``status``. Empty of a VEN that
    is not idle, or gone: then there is nothing to get ready for."""
    if workload["enforcement_mode"] != "idle" or ven.get("deleted"):
        return {}
    by_rules = ipv6_support_of(workload) == "by_rules"
    tests = _of_interfaces(workload, by_rules)
    if found is not None:
        tests += _of_host(found, by_rules)
    worst = max((test["status"] for test in tests), key=_WORSE.index)
    return {
        "last_updated_at": ven["last_heartbeat_at"],
        "qualify_status": worst if found is not None or worst == "red" else "yellow",
        "results": {"qualify_tests": tests},
    }


def _test(name: str, value: Any, bad: bool, status: str = "yellow") -> dict[str, Any]:
    return {"status": status if bad else "green", name: value}


def _of_interfaces(workload: Found, by_rules: bool) -> list[dict[str, Any]]:
    """What is told by the addresses that the VEN reports anyway."""
    interfaces = workload.get("interfaces") or ()
    of_6 = _ipv6_addresses(interface["address"] for interface in interfaces)
    routable = any(not address.is_link_local for address in of_6)
    unwanted = sorted({i["name"] for i in interfaces if is_unsupported_wireless(workload, i)})
    conflict = _share_a_network(interfaces)
    return [
        _test("IPv6_enabled", bool(of_6), bool(of_6) and not by_rules),
        _test("ipv6_global_scope", routable, routable and not by_rules),
        _test("Unwanted_nics", unwanted, bool(unwanted)),
        _test("routing_table_conflict", conflict, conflict),
    ]


def _of_host(found: Found, by_rules: bool) -> list[dict[str, Any]]:
    """What the VEN looked for."""
    connections = found.get("ipv6_connections", 0)
    forwarded = found.get("ipv4_forwarded_packets", 0)
    missing = found.get("missing", [])
    tests = [
        _test("ipsec_service_enabled", ipsec := found.get("ipsec", False), ipsec),
        # A router's packets are nobody's of the host: they are left alone.
        _test("ipv4_forwarding_enabled", found.get("ipv4_forwarding", False), forwarded > 0),
        _test("ipv4_forwarding_pkt_cnt", forwarded, forwarded > 0),
        _test("ipv6_active_conn_cnt", connections, connections > 0 and not by_rules),
        _test("required_packages_installed", not missing, bool(missing), "red"),
        _test("required_packages_missing", missing, bool(missing), "red"),
    ]
    # Others' rules stay in force: they can drop what policy allows.
    for name, key in (("iptables_rule_cnt", "ipv4_rules"), ("ip6tables_rule_cnt", "ipv6_rules")):
        tests.append(_test(name, found.get(key, 0), found.get(key, 0) > 0))
    untracking = found.get("untracking_rules", 0)
    services = found.get("firewall_services", [])
    return [
        *tests,
        _test("notrack_rule_cnt", untracking, untracking > 0),
        _test("firewall_services", services, bool(services)),
    ]


def _ipv6_addresses(texts: Iterable[str]) -> list[IPv6Address]:
    """Those that are IPv6 and not loopback; older records may hold what is no address at all."""
    found = []
    for text in texts:
        try:
            address = IPv6Address(text)
        except ValueError:
            continue
        if not address.is_loopback:
            found.append(address)
    return found


def _share_a_network(interfaces: Iterable[Found]) -> bool:
    """Whether two interfaces that are up are in the same network: answers may leave by the other
    one, with its address."""
    owner: dict[Any, str] = {}
    for interface in interfaces:
        try:
            here = ip_interface(f"{interface['address']}/{interface['cidr_block']}")
        except ValueError:
            continue  # without a network, or no address at all
        if here.ip.is_link_local or here.ip.is_loopback or interface.get("link_state") != "up":
            continue
        if here.network.prefixlen == here.max_prefixlen:
            continue
        if owner.setdefault(here.network, interface["name"]) != interface["name"]:
            return True
    return False
