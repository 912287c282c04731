"""Stored management API documents become the facts of an estate."""

import pytest

from pce.policy.estate import (
    EVERYTHING,
    Actor,
    Backend,
    IpList,
    IpRange,
    LabelGroup,
    VirtualService,
)
from pce.policy.estate_from_documents import estate_from_documents
from pce.policy.recompute import recompute
from ven_protocol.policy import Service

O, A = "/orgs/1", "/orgs/1/sec_policy/active"  # noqa: E741


def workload_document(**fields):
    return {
        "href": f"{O}/workloads/5f3c2a9e-0000-7000-8000-000000000001",
        "name": None,
        "hostname": "web-1",
        "deleted": False,
        "online": True,
        "labels": [{"href": f"{O}/labels/1", "key": "role", "value": "web"}],
        "interfaces": [
            {"name": "lo", "address": "10.9.9.9", "loopback": True},
            {"name": "eth0", "address": "10.0.0.1", "cidr_block": 24},
            {"name": "eth0", "address": "fd00::1", "cidr_block": 64},
            {"name": "docker0", "address": "172.17.0.1"},
        ],
        "enforcement_mode": "selective",
        "visibility_level": "flow_drops",
        "ven": {"href": f"{O}/vens/5f3c2a9e-0000-7000-8000-000000000001"},
        "agent": {},
        **fields,
    }


LABELS = [
    {"href": f"{O}/labels/1", "key": "role", "value": "web", "deleted": False},
    {"href": f"{O}/labels/2", "key": "role", "value": "db"},
    {"href": f"{O}/labels/3", "key": "env", "value": "old", "deleted": True},
]


def only_workload(**fields):
    (workload,) = estate_from_documents([workload_document(**fields)], LABELS, {}).workloads
    return workload


def only_rule(kind="rules", **fields):
    document = {
        "href": f"{A}/rule_sets/3/sec_rules/12",
        "enabled": True,
        "providers": [{"actors": "ams"}],
        "consumers": [{"actors": "ams"}],
        "ingress_services": [{"proto": 6, "port": 80}],
        "resolve_labels_as": {"providers": ["workloads"], "consumers": ["workloads"]},
        "network_type": "brn",
        "consuming_security_principals": [],
        "use_workload_subnets": [],
        "sec_connect": False,
        **fields,
    }
    rule_set = {"href": f"{A}/rule_sets/3", "scopes": [[]], kind: [document]}
    estate = estate_from_documents([], LABELS, {"rule_sets": [rule_set]})
    return estate.rule_sets[0].rules[0]


def test_a_managed_workload():
    """Ids, modes, labels by key, and the addresses of interfaces that are no loopback."""
    workload = only_workload()
    assert workload.id == "5f3c2a9e-0000-7000-8000-000000000001"
    assert workload.labels == {"role": "1"}
    assert workload.addresses == ("10.0.0.1", "fd00::1", "172.17.0.1")
    assert workload.managed and workload.in_policy
    assert workload.enforcement_mode == "selective"
    assert workload.visibility_level == "flow_drops"


def test_ignored_interfaces_lend_no_address():
    """``ignored_interface_names`` of a managed workload."""
    assert only_workload(ignored_interface_names=["docker0"]).addresses == ("10.0.0.1", "fd00::1")


@pytest.mark.parametrize("ven", [None, {}, {"href": None}])
def test_without_a_ven_it_is_unmanaged(ven):
    """A null ``ven`` is how the API says unmanaged."""
    assert not only_workload(ven=ven).managed


def test_offline_is_out_of_policy():
    """``online`` means present in policy."""
    assert not only_workload(online=False).in_policy


def test_missing_modes_are_the_creation_defaults():
    """visibility_only and flow_summary."""
    workload = only_workload(enforcement_mode=None, visibility_level=None)
    assert (workload.enforcement_mode, workload.visibility_level) == (
        "visibility_only",
        "flow_summary",
    )


def test_a_label_that_is_gone_keeps_its_key():
    """The workload's document knows the key; deleted labels themselves are unknown."""
    workload = only_workload(labels=[{"href": f"{O}/labels/3", "key": "env", "value": "old"}])
    assert workload.labels == {"env": "3"}
    assert "3" not in estate_from_documents([], LABELS, {}).label_keys


def test_deleted_objects_do_not_exist():
    """``deleted``, ``deleted_at``, and a draft whose ``update_type`` is delete."""
    gone = [{"deleted": True}, {"deleted_at": "2026-01-01T00:00:00Z"}, {"update_type": "delete"}]
    for mark in gone:
        assert estate_from_documents([workload_document(**mark)], LABELS, {}).workloads == ()
        service = {"href": f"{A}/services/1", "service_ports": [{"proto": 6}], **mark}
        assert estate_from_documents([], [], {"services": [service]}).services == {}


def test_label_groups_ip_lists_and_services():
    """By the last part of their href."""
    estate = estate_from_documents(
        [],
        LABELS,
        {
            "label_groups": [
                {
                    "href": f"{A}/label_groups/9f00",
                    "key": "role",
                    "labels": [{"href": f"{O}/labels/1", "value": "web"}],
                    "sub_groups": [{"href": f"{A}/label_groups/9f01", "name": "x"}],
                }
            ],
            "ip_lists": [
                {
                    "href": f"{A}/ip_lists/1",
                    "ip_ranges": [
                        {"from_ip": "0.0.0.0/0"},
                        {"from_ip": "10.0.0.1", "to_ip": "10.0.0.9", "exclusion": True},
                    ],
                    "fqdns": [{"fqdn": "*.example.com"}],
                }
            ],
            "services": [
                {"href": f"{A}/services/1", "service_ports": [{"proto": -1}]},
                {
                    "href": f"{A}/services/2",
                    "service_ports": [
                        {"proto": 6, "port": 80, "to_port": 90},
                        {"proto": 17, "port": -1},
                        {"proto": 1, "port": None, "icmp_type": 8, "icmp_code": None},
                    ],
                },
                {
                    "href": f"{A}/services/3",
                    "windows_services": [
                        {"proto": 6, "port": 445, "service_name": "lanmanserver"},
                        {"service_name": "spooler"},
                    ],
                },
            ],
        },
    )
    assert estate.label_groups == {"9f00": LabelGroup("role", ("1",), ("9f01",))}
    assert estate.ip_lists == {
        "1": IpList(
            (IpRange("0.0.0.0/0"), IpRange("10.0.0.1", "10.0.0.9", True)), ("*.example.com",)
        )
    }
    assert estate.services == {
        "1": (Service(proto=-1),),
        "2": (
            Service(proto=6, port=80, to_port=90),
            Service(proto=17),
            Service(proto=1, icmp_type=8),
        ),
        "3": (Service(proto=6, port=445),),
    }


@pytest.mark.parametrize("scopes", [[], [[]], None])
def test_no_scope_and_one_empty_scope_are_everything(scopes):
    """``[]`` and ``[[]]`` say the same."""
    rule_set = {"href": f"{A}/rule_sets/3", "scopes": scopes, "rules": []}
    (found,) = estate_from_documents([], LABELS, {"rule_sets": [rule_set]}).rule_sets
    assert found.scopes == (EVERYTHING,)
    assert found.enabled


def test_scopes_are_rows_of_labels_groups_and_exclusions():
    """As written, in order."""
    rule_set = {
        "href": f"{A}/rule_sets/3",
        "enabled": False,
        "scopes": [
            [
                {"label": {"href": f"{O}/labels/1"}, "exclusion": True},
                {"label_group": {"href": f"{A}/label_groups/9f00"}},
            ],
            [],
        ],
    }
    (found,) = estate_from_documents([], LABELS, {"rule_sets": [rule_set]}).rule_sets
    assert found.scopes == (
        (Actor("label", "1", True), Actor("label_group", "9f00")),
        EVERYTHING,
    )
    assert not found.enabled


def test_every_kind_of_actor():
    """Known kinds by id, unknown ones by name, for the recompute to report."""
    rule = only_rule(
        consumers=[
            {"actors": "ams"},
            {"label": {"href": f"{O}/labels/1"}, "exclusion": False},
            {"label_group": {"href": f"{A}/label_groups/9f00"}, "exclusion": True},
            {"workload": {"href": f"{O}/workloads/77"}},
            {"ip_list": {"href": f"{A}/ip_lists/5"}},
            {"virtual_service": {"href": f"{A}/virtual_services/6"}},
            {"virtual_server": {"href": f"{A}/virtual_servers/7"}},
            {"actors": "container_host"},
        ]
    )
    assert rule.consumers == (
        Actor("ams"),
        Actor("label", "1"),
        Actor("label_group", "9f00", True),
        Actor("workload", "77"),
        Actor("ip_list", "5"),
        Actor("virtual_service", "6"),
        Actor("virtual_server", "7"),
        Actor("container_host"),
    )


def test_a_virtual_server_is_where_it_was_discovered():
    """Its port and address are the discovered one's; members and their service are its own. One
    that is unmanaged, or discovered no more, keeps its labels and offers nothing."""
    found = {"href": f"{O}/discovered_virtual_servers/d", "vip_address": "192.0.2.80"}
    found |= {"vip_port": 443, "vip_proto": 6, "local_ips": ["192.0.2.11"]}
    server = {
        "href": f"{A}/virtual_servers/v",
        "mode": "enforced",
        "labels": [{"href": f"{O}/labels/1"}],
        "discovered_virtual_server": {"href": found["href"]},
        "providers": [{"label": {"href": f"{O}/labels/2"}}],
        "service": {"href": f"{A}/services/4"},
    }

    def made(**changes):
        active = {"virtual_servers": [{**server, **changes}]}
        estate = estate_from_documents([], LABELS, active, discovered_virtual_servers=[found])
        return estate.virtual_services["v"]

    vip = Service(proto=6, port=443)
    assert made() == VirtualService(
        labels=made().labels,
        services=(vip,),
        ip_overrides=(IpRange("192.0.2.80"),),
        backend=Backend((Actor("label", "2"),), ("4",), (IpRange("192.0.2.11"),)),
    )
    assert set(made().labels.values()) == {"1"}
    alone = made(service=None).backend
    assert alone is not None and alone.services == (vip,)
    nothing = VirtualService(labels=made().labels)
    assert made(mode="unmanaged") == nothing
    gone = {"href": f"{O}/discovered_virtual_servers/gone"}
    assert made(discovered_virtual_server=gone) == nothing


def test_services_of_a_rule():
    """By href and inline; -1 is any port."""
    rule = only_rule(
        ingress_services=[
            {"href": f"{A}/services/1"},
            {"proto": 6, "port": 80, "to_port": 90},
            {"proto": 17, "port": -1},
        ]
    )
    assert rule.services == ("1", Service(proto=6, port=80, to_port=90), Service(proto=17))


def test_rule_facts():
    """Id behind the policy version, flags, and what labels resolve to."""
    rule = only_rule(
        enabled=False,
        unscoped_consumers=True,
        stateless=True,
        resolve_labels_as={"providers": ["virtual_services"], "consumers": ["workloads"]},
    )
    assert rule.id == "rule_sets/3/sec_rules/12"
    assert rule.action == "allow"
    assert not rule.enabled and rule.unscoped_consumers and rule.stateless
    assert not rule.provider_labels_are_workloads
    assert rule.consumer_labels_are_workloads


@pytest.mark.parametrize(
    ("override", "action"), [(True, "override_deny"), (False, "deny"), (None, "deny")]
)
def test_deny_rules(override, action):
    """The same object, stronger or weaker than allow rules by ``override``."""
    assert only_rule("deny_rules", override=override).action == action


def test_enforcement_boundaries_are_deny_rules_of_no_scope():
    """They stand outside rule sets."""
    boundary = {
        "href": f"{A}/enforcement_boundaries/4",
        "providers": [{"actors": "ams"}],
        "consumers": [{"ip_list": {"href": f"{A}/ip_lists/1"}}],
        "ingress_services": [{"proto": 6, "port": 22}],
    }
    (rule,) = estate_from_documents([], [], {"enforcement_boundaries": [boundary]}).boundaries
    assert (rule.id, rule.action, rule.enabled) == ("enforcement_boundaries/4", "deny", True)


@pytest.mark.parametrize(
    "field",
    [
        {"consuming_security_principals": [{"href": f"{O}/security_principals/S-1-5"}]},
        {"sec_connect": True},
        {"machine_auth": True},
        {"egress_services": [{"href": f"{A}/services/1"}]},
        {"use_workload_subnets": ["providers"]},
        {"all_ips_except_for_in_consumers": True},
        {"all_ips_except_for_in_providers": True},
        {"network_type": "non_brn"},
    ],
)
def test_demands_that_are_not_enforced_are_named(field):
    """Such a rule is carried, so that the recompute can leave it out and say so."""
    assert len(only_rule(**field).unenforceable) == 1
    assert only_rule(network_type="all").unenforceable == ()


@pytest.mark.parametrize(
    ("settings", "blocks", "older_block"),
    [
        ({"ipv6_mode": "block_all"}, True, False),
        ({"ipv6_mode": "policy_based", "allow_ipv6": False}, False, True),
        ({"allow_ipv6": False}, True, True),
        ({"allow_ipv6": True}, False, False),
        ({}, False, False),
    ],
)
def test_the_ipv6_switch(settings, blocks, older_block):
    """The newer field wins, but for VENs before 20.2.0; by default IPv6 follows the rules."""
    documents = {"firewall_settings": [{"href": f"{A}/firewall_settings", **settings}]}
    firewall = estate_from_documents([], [], documents).firewall
    assert (firewall.ipv6 == "blocked_in_full") is blocks
    assert firewall.older_ipv6 == ("blocked_in_full" if older_block else "allowed")


@pytest.mark.parametrize(
    ("host", "allowed", "blocked"),
    [
        ({"os_type": "linux", "ven_version": "20.2.0-1"}, "by_policy", "blocked_in_full"),
        ({"os_type": "linux", "ven_version": "20.1.9"}, "allowed", "blocked_in_full"),
        ({"os_type": "aix", "ven_version": "21.5.0"}, "by_policy", "allowed"),
        ({"os_type": "solaris", "ven_version": "21.5.0"}, "by_policy", "allowed"),
    ],
)
def test_what_a_ven_does_with_ipv6(host, allowed, blocked):
    """From 20.2.0 on by the rules, before that all or nothing; AIX and Solaris never block it."""
    href = f"{O}/workloads/1"
    workload = {"href": href, "ven": {"href": f"{O}/vens/1"}, "online": True, **host}
    for allow, expected in ((True, allowed), (False, blocked)):
        mode = "policy_based" if allow else "block_all"
        settings = {
            "href": f"{A}/firewall_settings",
            "allow_ipv6": allow,
            "ipv6_mode": mode,
        }
        estate = estate_from_documents([workload], [], {"firewall_settings": [settings]})
        assert recompute(estate).documents["1"].firewall.ipv6 == expected


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ({"ven_type": "server"}, False),
        ({"ven_type": "containerized"}, False),
        ({}, False),
        ({"ven_type": "endpoint"}, True),
        ({"ven": None}, True),
    ],
)
def test_wireless_addresses_are_those_of_endpoints(host, known):
    """Peers of a server know it by its wires, and by its VPN; what a person enters is believed."""
    interfaces = [
        {"name": "wlan0", "address": "10.8.0.1", "kind": "wireless"},
        {"name": "tun0", "address": "10.9.0.1", "kind": "vpn"},
    ]
    addresses = only_workload(interfaces=interfaces, **host).addresses
    assert addresses == (("10.8.0.1", "10.9.0.1") if known else ("10.9.0.1",))
