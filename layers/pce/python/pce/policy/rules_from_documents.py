"""From the management API's JSON documents of rule sets and boundaries to the rules of an estate.

What nothing here enforces (a kind of actor, a demand of a rule) is carried along, so that the
recompute leaves it out and says so.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from pce.identifiers import tail
from pce.policy.estate import EVERYTHING, Actor, CustomRule, Rule, RuleSet, Scope
from ven_protocol.policy import RuleAction, Service

Document = Mapping[str, Any]
"""One JSON object of the management API."""


def exists(document: Document) -> bool:
    """Whether it is neither deleted nor a draft that deletes."""
    return not (
        document.get("deleted")
        or document.get("deleted_at")
        or document.get("update_type") == "delete"
    )


def ports_of(document: Document) -> Service:
    """One protocol and port entry; -1 is the API's other spelling of any port."""
    port, to_port = document.get("port"), document.get("to_port")
    return Service(
        proto=document["proto"],
        port=None if port == -1 else port,
        to_port=None if to_port == -1 else to_port,
        icmp_type=document.get("icmp_type"),
        icmp_code=document.get("icmp_code"),
    )


def rule_set_of(document: Document) -> RuleSet:
    """A rule set that exists, with its rules of every kind."""
    rules = [_rule(rule, "allow") for rule in document.get("rules") or () if exists(rule)]
    rules += [
        _rule(rule, "override_deny" if rule.get("override") else "deny")
        for rule in document.get("deny_rules") or ()
        if exists(rule)
    ]
    return RuleSet(
        id=tail(document["href"]),
        rules=tuple(rules),
        scopes=_scopes(document.get("scopes") or ()),
        enabled=document.get("enabled", True) is not False,
        custom_rules=tuple(
            CustomRule(
                id=_behind_version(custom["href"]),
                actors=tuple(map(actor_of, custom.get("actors") or ())),
                enabled=custom.get("enabled", True) is not False,
            )
            for custom in document.get("ip_tables_rules") or ()
            if exists(custom)
        ),
    )


def boundary_of(document: Document) -> Rule:
    """An enforcement boundary that exists: a deny rule of no scope."""
    return _rule(document, "deny")


def _scopes(rows: Iterable[Iterable[Document]]) -> tuple[Scope, ...]:
    """The rows of a scopes field; none at all means the same as one empty row: everything."""
    return tuple(tuple(map(actor_of, row)) for row in rows) or (EVERYTHING,)


def _rule(document: Document, action: RuleAction) -> Rule:
    resolve_as = document.get("resolve_labels_as") or {}
    return Rule(
        id=_behind_version(document["href"]),
        action=action,
        providers=tuple(map(actor_of, document.get("providers") or ())),
        consumers=tuple(map(actor_of, document.get("consumers") or ())),
        services=tuple(
            tail(service["href"]) if service.get("href") else ports_of(service)
            for service in document.get("ingress_services") or ()
            if service.get("href") or service.get("proto") is not None
        ),
        enabled=document.get("enabled", True) is not False,
        unscoped_consumers=bool(document.get("unscoped_consumers")),
        stateless=bool(document.get("stateless")),
        provider_labels_are_workloads="workloads" in resolve_as.get("providers", ("workloads",)),
        provider_labels_are_services="virtual_services" in resolve_as.get("providers", ()),
        consumer_labels_are_workloads="workloads" in resolve_as.get("consumers", ("workloads",)),
        consumer_labels_are_services="virtual_services" in resolve_as.get("consumers", ()),
        unenforceable=tuple(what for field, what in _DEMANDS.items() if document.get(field))
        + (("a network that is not corporate",) if _is_elsewhere(document) else ()),
    )


_DEMANDS = {
    "consuming_security_principals": "user groups",
    "sec_connect": "encryption",
    "machine_auth": "machine authentication",
    "egress_services": "processes of the consumer",
    "use_workload_subnets": "subnets of workloads",
    "all_ips_except_for_in_consumers": "all addresses but the consumers'",
    "all_ips_except_for_in_providers": "all addresses but the providers'",
}
"""Fields that ask for what is not enforced here, and what it is."""


def _is_elsewhere(document: Document) -> bool:
    """Only for hosts outside the corporate network, which servers never are."""
    return document.get("network_type") == "non_brn"


def actor_of(document: Document) -> Actor:
    """An entry of providers, consumers or a scope: exactly one key names what it is."""
    exclusion = bool(document.get("exclusion"))
    if document.get("actors") == "ams":
        return Actor("ams")
    if (label := document.get("label")) is not None:
        return Actor("label", tail(label["href"]), exclusion)
    if (label_group := document.get("label_group")) is not None:
        return Actor("label_group", tail(label_group["href"]), exclusion)
    if (workload := document.get("workload")) is not None:
        return Actor("workload", tail(workload["href"]))
    if (ip_list := document.get("ip_list")) is not None:
        return Actor("ip_list", tail(ip_list["href"]))
    if (service := document.get("virtual_service")) is not None:
        return Actor("virtual_service", tail(service["href"]))
    if (server := document.get("virtual_server")) is not None:
        return Actor("virtual_server", tail(server["href"]))
    if document.get("actors") == "container_host":
        return Actor("container_host")
    names = sorted(name for name in document if name != "exclusion")
    return Actor("other", str(document.get("actors") or " ".join(names)))


def _behind_version(href: str) -> str:
    """``rule_sets/3/sec_rules/12`` of ``/orgs/1/sec_policy/active/rule_sets/3/sec_rules/12``."""
    return href.partition("/sec_policy/")[2].partition("/")[2] or href
