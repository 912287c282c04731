"""Policy that makes no sense is refused with a message that names the object, and nothing changes:
every stored item is the same before and after."""

from typing import Any

import pytest

from tests.fakes.api import Api, new_org
from tests.fakes.installation import TABLES, fake_aws

AMS = [{"actors": "ams"}]
SSH = [{"port": 22, "proto": 6}]


def everything_stored() -> list[str]:
    """Every item of every table, but for what is written down of refused requests themselves."""
    items = []
    for table in TABLES.keys() - {"events"}:
        pages = fake_aws().client("dynamodb").get_paginator("scan").paginate(TableName=table)
        items += [f"{table} {sorted(i.items())}" for page in pages for i in page["Items"]]
    return sorted(item for item in items if "0#tallies#" not in item)


def said(value: Any, hrefs: dict[str, str]) -> Any:
    """A value whose texts may name hrefs, as ``{label}``."""
    if isinstance(value, dict):
        return {k: said(v, hrefs) for k, v in value.items()}
    if isinstance(value, list):
        return [said(each, hrefs) for each in value]
    return value.format(**hrefs) if isinstance(value, str) else value


@pytest.fixture(scope="module")
def hrefs(shared_api: Api) -> dict[str, str]:
    """By name, in an org in which each of the bad requests below would do harm."""
    api, other = shared_api, new_org()

    def made(path: str, body: dict[str, Any], of: Api = api) -> str:
        return str(of.post(path, body)["href"])

    def label(value: str, key: str = "app", of: Api = api) -> str:
        return made(f"{of.org}/labels", {"key": key, "value": value}, of)

    def group(name: str, *inside: str) -> str:
        body = {"name": name, "key": "app", "sub_groups": [{"href": href} for href in inside]}
        return made(f"{api.draft}/label_groups", body)

    def ip_list(name: str) -> str:
        return made(f"{api.draft}/ip_lists", {"name": name, "ip_ranges": [{"from_ip": "10.0.0.1"}]})

    def rule_set(name: str, ip_list: str) -> tuple[str, str]:
        href = made(f"{api.draft}/rule_sets", {"name": name, "scopes": [[]]})
        return href, made(f"{href}/sec_rules", rule(consumers=[{"ip_list": {"href": ip_list}}]))

    bottom = group("bottom")
    middle = group("middle", bottom)
    top = group("top", middle)
    leaving, used = ip_list("leaving"), ip_list("used")
    shop, first = rule_set("shop", used)
    api.provision()
    api.delete(leaving)
    api.put(first, {"consumers": AMS})
    api.delete(used)  # while active rules name it
    deleted_label = label("deleted")
    api.delete(deleted_label)
    draft_only = ip_list("draft only")
    return {
        "org": api.org,
        "draft": api.draft,
        "label": label("one"),
        "other_label": label("two"),
        "env_label": label("env", "env"),
        "deleted_label": deleted_label,
        "leaving_list": leaving,
        "used_list": used,
        "foreign_label": label("theirs", of=other),
        "foreign_service": made(
            f"{other.draft}/services", {"name": "s", "service_ports": SSH}, other
        ),
        "rule_set": shop,
        "rule": first,
        "top": top,
        "middle": middle,
        "bottom": bottom,
        "draft_only": draft_only,
        "needy": rule_set("needy", draft_only)[0],
    }


def rule(**more: Any) -> dict[str, Any]:
    return {"providers": AMS, "consumers": AMS, "ingress_services": SSH, **more}


def ranges(*parts: str) -> dict[str, Any]:
    """``from-to``, and ``!`` in front of an exclusion."""
    written = []
    for part in parts:
        first, _, last = part.lstrip("!").partition("-")
        entry: dict[str, Any] = {"from_ip": first, "exclusion": part.startswith("!")}
        written.append(entry | ({"to_ip": last} if last else {}))
    return {"name": "bad", "ip_ranges": written}


def subset(**types: str) -> dict[str, Any]:
    return {"change_subset": {name: [{"href": href}] for name, href in types.items()}}


def scopes(*rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"name": "bad", "scopes": list(rows)}


LABEL = {"label": {"href": "{label}"}}
RULES, LISTS, SETS = "{rule_set}/sec_rules", "{draft}/ip_lists", "{draft}/rule_sets"
SERVICES, GROUPS = "{draft}/services", "{draft}/label_groups"

BAD: tuple[tuple[str, str, str, dict[str, Any], str, str], ...] = (
    # what it is, method, path, body, token, what the message names
    *(
        (
            f"a rule that names a {kind} object",
            "POST",
            path,
            rule(**side),
            "invalid_reference",
            href,
        )
        for path in (RULES, "{rule_set}/deny_rules")
        for kind, href, side in (
            ("deleted", "{deleted_label}", {"consumers": [{"label": {"href": "{deleted_label}"}}]}),
            ("leaving", "{leaving_list}", {"consumers": [{"ip_list": {"href": "{leaving_list}"}}]}),
            ("foreign", "{foreign_label}", {"providers": [{"label": {"href": "{foreign_label}"}}]}),
            ("foreign", "{foreign_service}", {"ingress_services": [{"href": "{foreign_service}"}]}),
        )
    ),
    (
        "a changed rule that names a deleted object",
        "PUT",
        "{rule}",
        {"providers": [{"label": {"href": "{deleted_label}"}}]},
        "invalid_reference",
        "{deleted_label}",
    ),
    ("an empty scope", "POST", SETS, scopes([LABEL], []), "scope_row_empty", "scopes[1]"),
    ("an empty scope", "PUT", "{rule_set}", scopes([], [LABEL]), "scope_row_empty", "{rule_set}"),
    (
        "a scope that is no list",
        "POST",
        SETS,
        {"name": "b", "scopes": [{}]},
        "invalid_",
        "scopes[0]",
    ),
    ("a scope of workloads", "POST", SETS, scopes([{"actors": "ams"}]), "invalid_", "scopes[0][0]"),
    (
        "a scope of two labels of one key",
        "PUT",
        "{rule_set}",
        scopes([LABEL, {"label": {"href": "{other_label}"}}]),
        "scope_key_repeated",
        "{other_label}",
    ),
    (
        "a scope of a label and a group of one key",
        "POST",
        SETS,
        scopes([LABEL, {"label_group": {"href": "{top}"}}]),
        "scope_key_repeated",
        "{top}",
    ),
    ("an inverted range", "POST", LISTS, ranges("10.0.0.9-10.0.0.1"), "invalid_", "10.0.0.9"),
    ("an inverted range", "PUT", "{draft_only}", ranges("::9-::1"), "invalid_", "{draft_only}"),
    ("a range of two families", "POST", LISTS, ranges("10.0.0.1-::1"), "invalid_", "::1"),
    ("a range of a network", "POST", LISTS, ranges("10.0.0.0/8-11.0.0.0"), "invalid_", "to_ip"),
    (
        "overlapping ranges",
        "POST",
        LISTS,
        ranges("10.0.0.0/8", "10.1.0.0/16"),
        "ip_ranges_overlap",
        "10.1.0.0/16",
    ),
    (
        "ranges that share an address",
        "PUT",
        "{draft_only}",
        ranges("10.0.0.5-10.0.0.9", "10.0.0.1-10.0.0.5"),
        "ip_ranges_overlap",
        "{draft_only}",
    ),
    ("one range twice", "POST", LISTS, ranges("::1", "::1"), "ip_ranges_overlap", "::1"),
    (
        "overlapping exclusions",
        "POST",
        LISTS,
        ranges("::/0", "!::1", "!::/64"),
        "ip_ranges_overlap",
        "::1",
    ),
    (
        "a service without ports",
        "POST",
        SERVICES,
        {"name": "b", "service_ports": []},
        "service_empty",
        "service",
    ),
    *(
        (
            what,
            "POST",
            SERVICES,
            {"name": "b", "service_ports": [entry]},
            "invalid_",
            "service_ports[0]",
        )
        for what, entry in (
            ("ports of ICMP", {"proto": 1, "port": 80}),
            ("ports of every protocol", {"proto": -1, "port": 80}),
            ("ports of GRE", {"proto": 47, "port": 1, "to_port": 2}),
            ("an inverted range of ports", {"proto": 6, "port": 80, "to_port": 79}),
            ("a range of ports without a beginning", {"proto": 6, "to_port": 79}),
            ("a range of ports from any port on", {"proto": 6, "port": -1, "to_port": 79}),
            ("an ICMP type of TCP", {"proto": 6, "icmp_type": 8}),
            ("an ICMP code of UDP", {"proto": 17, "icmp_code": 0}),
            ("an ICMP code without a type", {"proto": 1, "icmp_code": 0}),
        )
    ),
    (
        "a Windows service that says nothing",
        "POST",
        SERVICES,
        {"name": "b", "windows_services": [{}]},
        "invalid_",
        "windows_services[0]",
    ),
    (
        "a group in itself",
        "PUT",
        "{bottom}",
        {"sub_groups": [{"href": "{bottom}"}]},
        "label_group_cycle",
        "{bottom} contains {bottom}",
    ),
    (
        "a group in a group in itself",
        "PUT",
        "{bottom}",
        {"sub_groups": [{"href": "{top}"}]},
        "label_group_cycle",
        "{bottom} contains {top} contains {middle} contains {bottom}",
    ),
    (
        "a group of a key that is none",
        "POST",
        GROUPS,
        {"name": "b", "key": "colour"},
        "unknown_label_key",
        "colour",
    ),
    (
        "a group of labels of another key",
        "POST",
        GROUPS,
        {"name": "b", "key": "app", "labels": [{"href": "{env_label}"}]},
        "label_group_key_mismatch",
        "{env_label}",
    ),
    (
        "a group of groups of another key",
        "POST",
        GROUPS,
        {"name": "b", "key": "env", "sub_groups": [{"href": "{top}"}]},
        "label_group_key_mismatch",
        "{top}",
    ),
    (
        "a provisioning without what it depends on",
        "POST",
        "{org}/sec_policy",
        subset(rule_sets="{needy}"),
        "missing_dependency",
        "{draft_only}",
    ),
    (
        "a provisioned deletion of what active rules use",
        "POST",
        "{org}/sec_policy",
        subset(ip_lists="{used_list}"),
        "missing_dependency",
        "{rule_set}",
    ),
    (
        "a provisioning of what is another org's",
        "POST",
        "{org}/sec_policy",
        subset(services="{foreign_service}"),
        "invalid_reference",
        "{foreign_service}",
    ),
    *(
        (
            f"a custom rule with {what}",
            "PUT",
            "{rule_set}",
            {
                "ip_tables_rules": [
                    {
                        "ip_version": "4",
                        "actors": AMS,
                        "statements": [
                            {"table_name": "nat", "chain_name": "INPUT", "parameters": "-j LOG"}
                        ],
                        **bad,
                    }
                ]
            },
            token,
            named,
        )
        for what, bad, token, named in (
            ("no statements", {"statements": []}, "invalid_", "statements"),
            ("no actors", {"actors": []}, "invalid_", "actors"),
            ("a version that is none", {"ip_version": "5"}, "invalid_", "ip_version"),
            (
                "an IP list",
                {"actors": [{"ip_list": {"href": "{draft_only}"}}]},
                "invalid_",
                "actors",
            ),
            (
                "a deleted label",
                {"actors": [{"label": {"href": "{deleted_label}"}}]},
                "invalid_",
                "{deleted_label}",
            ),
            (
                "a chain that its table has not",
                {
                    "statements": [
                        {"table_name": "filter", "chain_name": "PREROUTING", "parameters": "-j LOG"}
                    ]
                },
                "invalid_",
                "filter",
            ),
            (
                "two lines in one statement",
                {
                    "statements": [
                        {"table_name": "nat", "chain_name": "INPUT", "parameters": "-j LOG\n-F"}
                    ]
                },
                "invalid_",
                "parameters",
            ),
        )
    ),
    *(
        ("firewall settings", "PUT", "{draft}/firewall_settings", body, token, named)
        for body, token, named in (
            ({"static_policy_scopes": [[LABEL], []]}, "scope_row_empty", "static_policy_scopes[1]"),
            (
                {
                    "blocked_connection_reject_scopes": [
                        [LABEL, {"label": {"href": "{other_label}"}}]
                    ]
                },
                "scope_key_repeated",
                "blocked_connection_reject_scopes[0]",
            ),
            (
                {
                    "loopback_interfaces_in_policy_scopes": [
                        [{"label": {"href": "{deleted_label}"}}]
                    ]
                },
                "invalid_reference",
                "{deleted_label}",
            ),
            ({"ipv6_mode": "maybe"}, "invalid_", "ipv6_mode"),
            ({"firewall_coexistence": [{"scope": []}]}, "required_", "firewall_coexistence[0]"),
            (
                {
                    "firewall_coexistence": [
                        {
                            "illumio_primary": True,
                            "scope": [{"href": "{label}"}, {"href": "{other_label}"}],
                        }
                    ]
                },
                "label_key_repeated",
                "{other_label}",
            ),
        )
    ),
    (
        "a boundary of a workload",
        "POST",
        "{draft}/enforcement_boundaries",
        {"name": "b", **rule(), "providers": [{"workload": {"href": "{org}/workloads/x"}}]},
        "invalid_",
        "providers[0]",
    ),
)


@pytest.mark.parametrize(
    ("method", "path", "body", "token", "named"),
    [pytest.param(*case[1:], id=f"{at:02d} {case[0]}") for at, case in enumerate(BAD)],
)
def test_it_is_406_and_nothing_changes(
    shared_api: Api,
    hrefs: dict[str, str],
    method: str,
    path: str,
    body: dict[str, Any],
    token: str,
    named: str,
) -> None:
    """The message names the object, or the place in the body."""
    before = everything_stored()
    answer = shared_api.call(method, said(path, hrefs), said(body, hrefs))
    assert answer.status == 406
    assert all(each.startswith(token) for each in answer.tokens), answer.json
    assert any(said(named, hrefs) in problem["message"] for problem in answer.json), answer.json
    assert everything_stored() == before
