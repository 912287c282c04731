"""From the management API's JSON documents, as they are stored, to the facts of an estate.

Documents are believed to have passed the API's validation. What nothing here enforces (a kind of
actor, a demand of a rule) is carried along, so that the recompute leaves it out and says so.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from pce.identifiers import tail
from pce.policy.estate import (
    EVERYTHING,
    Actor,
    Estate,
    IpList,
    IpRange,
    LabelGroup,
    Rule,
    RuleSet,
    Scope,
    Workload,
)
from ven_protocol.policy import Firewall, RuleAction, Service

Document = Mapping[str, Any]
"""One JSON object of the management API."""


def estate_from_documents(
    workloads: Iterable[Document],
    labels: Iterable[Document],
    active: Mapping[str, Iterable[Document]],
) -> Estate:
    """The estate of one org.

    ``active`` holds the provisionable objects of one policy version by type: ``rule_sets``,
    ``label_groups``, ``ip_lists``, ``services``, ``enforcement_boundaries``,
    ``firewall_settings``; an absent type has no objects. Deleted objects, and drafts whose
    ``update_type`` is ``delete``, do not exist. Raises KeyError when a document has no href.
    """

    def objects(kind: str) -> list[Document]:
        return [document for document in active.get(kind, ()) if _exists(document)]

    firewall = _firewall(objects("firewall_settings"))
    label_keys = {tail(label["href"]): str(label["key"]) for label in labels if _exists(label)}
    return Estate(
        workloads=tuple(_workload(w, label_keys, firewall) for w in workloads if _exists(w)),
        label_keys=label_keys,
        label_groups={tail(g["href"]): _label_group(g) for g in objects("label_groups")},
        ip_lists={tail(i["href"]): _ip_list(i) for i in objects("ip_lists")},
        services={tail(s["href"]): _service(s) for s in objects("services")},
        rule_sets=tuple(map(_rule_set, objects("rule_sets"))),
        boundaries=tuple(_rule(b, "deny") for b in objects("enforcement_boundaries")),
    )


def _exists(document: Document) -> bool:
    return not (
        document.get("deleted")
        or document.get("deleted_at")
        or document.get("update_type") == "delete"
    )


def _workload(document: Document, label_keys: Mapping[str, str], firewall: Firewall) -> Workload:
    ignored = set(document.get("ignored_interface_names") or ())
    labels: dict[str, str] = {}
    for label in document.get("labels") or ():
        label_id = tail(label["href"])
        key = label_keys.get(label_id) or label.get("key") or f"unknown key of label {label_id}"
        labels[key] = label_id
    return Workload(
        id=tail(document["href"]),
        labels=labels,
        addresses=tuple(
            interface["address"]
            for interface in document.get("interfaces") or ()
            if interface.get("address")
            and not interface.get("loopback")
            and interface.get("name") not in ignored
        ),
        managed=bool((document.get("ven") or {}).get("href")),
        in_policy=bool(document.get("online")),
        enforcement_mode=document.get("enforcement_mode") or "visibility_only",
        visibility_level=document.get("visibility_level") or "flow_summary",
        firewall=firewall,
    )


def _label_group(document: Document) -> LabelGroup:
    return LabelGroup(
        key=document["key"],
        labels=tuple(tail(label["href"]) for label in document.get("labels") or ()),
        sub_groups=tuple(tail(group["href"]) for group in document.get("sub_groups") or ()),
    )


def _ip_list(document: Document) -> IpList:
    return IpList(
        ranges=tuple(
            IpRange(part["from_ip"], part.get("to_ip") or None, bool(part.get("exclusion")))
            for part in document.get("ip_ranges") or ()
        ),
        fqdns=tuple(name["fqdn"] for name in document.get("fqdns") or ()),
    )


def _service(document: Document) -> tuple[Service, ...]:
    """Ports of a service. A Windows service that names only a process has none: a packet filter
    cannot tell processes apart."""
    ports = [*(document.get("service_ports") or ()), *(document.get("windows_services") or ())]
    return tuple(_ports(port) for port in ports if port.get("proto") is not None)


def _ports(document: Document) -> Service:
    """One protocol and port entry; -1 is the API's other spelling of any port."""
    port, to_port = document.get("port"), document.get("to_port")
    return Service(
        proto=document["proto"],
        port=None if port == -1 else port,
        to_port=None if to_port == -1 else to_port,
        icmp_type=document.get("icmp_type"),
        icmp_code=document.get("icmp_code"),
    )


def _rule_set(document: Document) -> RuleSet:
    rules = [_rule(rule, "allow") for rule in document.get("rules") or () if _exists(rule)]
    rules += [
        _rule(rule, "override_deny" if rule.get("override") else "deny")
        for rule in document.get("deny_rules") or ()
        if _exists(rule)
    ]
    return RuleSet(
        id=tail(document["href"]),
        rules=tuple(rules),
        scopes=_scopes(document.get("scopes") or ()),
        enabled=document.get("enabled", True) is not False,
    )


def _scopes(rows: Iterable[Iterable[Document]]) -> tuple[Scope, ...]:
    """The rows of a scopes field; none at all means the same as one empty row: everything."""
    return tuple(tuple(map(_actor, row)) for row in rows) or (EVERYTHING,)


def _rule(document: Document, action: RuleAction) -> Rule:
    resolve_as = document.get("resolve_labels_as") or {}
    return Rule(
        id=_behind_version(document["href"]),
        action=action,
        providers=tuple(map(_actor, document.get("providers") or ())),
        consumers=tuple(map(_actor, document.get("consumers") or ())),
        services=tuple(
            tail(service["href"]) if service.get("href") else _ports(service)
            for service in document.get("ingress_services") or ()
            if service.get("href") or service.get("proto") is not None
        ),
        enabled=document.get("enabled", True) is not False,
        unscoped_consumers=bool(document.get("unscoped_consumers")),
        stateless=bool(document.get("stateless")),
        provider_labels_are_workloads="workloads" in resolve_as.get("providers", ("workloads",)),
        consumer_labels_are_workloads="workloads" in resolve_as.get("consumers", ("workloads",)),
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


def _actor(document: Document) -> Actor:
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
    names = sorted(name for name in document if name != "exclusion")
    return Actor("other", str(document.get("actors") or " ".join(names)))


def _behind_version(href: str) -> str:
    """``rule_sets/3/sec_rules/12`` of ``/orgs/1/sec_policy/active/rule_sets/3/sec_rules/12``."""
    return href.partition("/sec_policy/")[2].partition("/")[2] or href


def _firewall(settings: Iterable[Document]) -> Firewall:
    blocked = any(map(_blocks_ipv6, settings))
    return Firewall(ipv6="blocked_in_full" if blocked else "by_policy")


def _blocks_ipv6(document: Document) -> bool:
    """Of VEN 20.2.0 and later: ``ipv6_mode``; without it the older switch ``allow_ipv6``."""
    mode = document.get("ipv6_mode")
    return mode == "block_all" if mode else document.get("allow_ipv6") is False
