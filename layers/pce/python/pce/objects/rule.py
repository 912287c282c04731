"""Rules: allow rules (``sec_rules``) and deny rules of a rule set.

Both lie inside their rule set's document, each with an id and an href of its own. A rule's
``providers`` are destinations, its ``consumers`` are sources.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pce.errors import Problem
from pce.objects.collection import EXTERNAL_DATA, Collection
from pce.objects.container_workload import COLLECTION
from pce.objects.fields import (
    INVALID,
    MAX_TEXT,
    Choice,
    Choices,
    Flag,
    ListOf,
    Reference,
    Shape,
    Text,
)
from pce.objects.service import INLINE_SERVICE

NETWORK_TYPES = ("brn", "non_brn", "all")


@dataclass(frozen=True, slots=True)
class Actor:
    """One entry of providers, consumers or a scope: exactly one of these keys says what it is."""

    kinds: Mapping[str, str]
    """Key to the collection that it refers to."""
    words: tuple[str, ...] = ()
    """What may stand after ``actors``."""

    def check(self, value: Any, at: str, problems: list[Problem]) -> Any:
        """The entry with its reference in draft form."""
        known = [*self.kinds, *(("actors",) if self.words else ())]
        said = [name for name in known if isinstance(value, Mapping) and value.get(name)]
        if len(said) != 1:
            message = f"{at}: must have exactly one of {', '.join(known)}, not {value!r}"
            problems.append(Problem(INVALID, message, at))
            return {}
        name = said[0]
        if name == "actors":
            return {"actors": Choice(self.words).check(value["actors"], f"{at}.actors", problems)}
        # A pod is named as a workload is; its href says what it is.
        reference = Reference(self.kinds[name], also=COLLECTION if name == "workload" else "")
        entry = {name: reference.check(value[name], f"{at}.{name}", problems)}
        if value.get("exclusion") is not None and name in ("label", "label_group"):
            entry["exclusion"] = Flag().check(value["exclusion"], f"{at}.exclusion", problems)
        return entry


@dataclass(frozen=True, slots=True)
class ServiceEntry:
    """A service by its href, or protocol and ports said inline."""

    def check(self, value: Any, at: str, problems: list[Problem]) -> Any:
        """The clean entry."""
        if isinstance(value, Mapping) and value.get("href"):
            return Reference("services").check(value, at, problems)
        return INLINE_SERVICE.check(value, at, problems)


LABELS_ONLY = {"label": "labels", "label_group": "label_groups"}
WITH_ADDRESSES = {**LABELS_ONLY, "ip_list": "ip_lists"}
WITH_WORKLOADS = {**WITH_ADDRESSES, "workload": "workloads"}
_CONSUMERS = {**WITH_WORKLOADS, "virtual_service": "virtual_services"}
PROVIDERS = {**_CONSUMERS, "virtual_server": "virtual_servers"}

_RESOLVE_AS = Choices(("workloads", "virtual_services"))


@dataclass(frozen=True, slots=True)
class ResolveLabelsAs:
    """``{"providers": [...], "consumers": [...]}``; both are always there in what is stored."""

    def check(self, value: Any, at: str, problems: list[Problem]) -> Any:
        """Both sides, ``workloads`` where one is not said."""
        sides = Shape({"providers": _RESOLVE_AS, "consumers": _RESOLVE_AS})
        clean = sides.check(value, at, problems)
        return {side: clean.get(side) or ["workloads"] for side in ("providers", "consumers")}


def _allow_problems(rule: Mapping[str, Any]) -> Iterable[Problem]:
    exclusive = [n for n in ("sec_connect", "stateless", "machine_auth") if rule.get(n)]
    if len(exclusive) > 1:
        message = f"{' and '.join(exclusive)} exclude each other"
        yield Problem("rule_options_exclusive", message, exclusive[1])
    resolved_as = (rule.get("resolve_labels_as") or {}).get("providers", ())
    if "workloads" not in resolved_as and rule.get("ingress_services"):
        yield Problem(
            "rule_services_not_allowed",
            "ingress_services must be empty while providers resolve as virtual services alone:"
            " a virtual service brings its own ports",
            "ingress_services",
        )
    if "workloads" in resolved_as and not rule.get("ingress_services"):
        yield Problem(
            "rule_needs_services",
            "ingress_services must not be empty while providers resolve as workloads; name the"
            " factory service All Services to allow everything",
            "ingress_services",
        )
    yield from _side_problems(rule)


def _side_problems(rule: Mapping[str, Any]) -> Iterable[Problem]:
    for side in ("providers", "consumers"):
        if not rule.get(side):
            message = f"{side} must not be empty; all workloads is {{'actors': 'ams'}}"
            yield Problem(f"rule_needs_{side}", message, side)


def _deny_problems(rule: Mapping[str, Any]) -> Iterable[Problem]:
    yield from _side_problems(rule)
    if not rule.get("ingress_services"):
        message = "ingress_services must not be empty"
        yield Problem("rule_needs_services", message, "ingress_services")


SEC_RULES = Collection(
    name="sec_rules",
    kind="sec_rule",
    shape=Shape(
        {
            "enabled": Flag(),
            "description": Text(MAX_TEXT),
            "providers": ListOf(Actor(PROVIDERS, ("ams",))),
            "consumers": ListOf(Actor(_CONSUMERS, ("ams", "container_host"))),
            "ingress_services": ListOf(ServiceEntry()),
            "egress_services": ListOf(Reference("services")),
            "resolve_labels_as": ResolveLabelsAs(),
            "sec_connect": Flag(),
            "stateless": Flag(),
            "machine_auth": Flag(),
            "unscoped_consumers": Flag(),
            "consuming_security_principals": ListOf(Reference("security_principals")),
            "use_workload_subnets": ListOf(Choice(("providers", "consumers"))),
            "network_type": Choice(NETWORK_TYPES),
            "all_ips_except_for_in_consumers": Flag(),
            "all_ips_except_for_in_providers": Flag(),
            "log_flow": Flag(),
            **EXTERNAL_DATA,
        },
        required=("providers", "consumers"),
    ),
    defaults={
        "enabled": True,
        "resolve_labels_as": {"providers": ["workloads"], "consumers": ["workloads"]},
        "sec_connect": False,
        "stateless": False,
        "machine_auth": False,
        "unscoped_consumers": False,
        "network_type": "brn",
        "all_ips_except_for_in_consumers": False,
        "all_ips_except_for_in_providers": False,
        "log_flow": False,
    },
    unique=(),
    whole_check=_allow_problems,
    searched=(),
    shown_in_events=("href", "enabled", "description"),
)

DENY_RULES = Collection(
    name="deny_rules",
    kind="deny_rule",
    shape=Shape(
        {
            "enabled": Flag(),
            "override": Flag(),
            "description": Text(MAX_TEXT),
            "providers": ListOf(Actor(WITH_WORKLOADS, ("ams",))),
            "consumers": ListOf(Actor(WITH_WORKLOADS, ("ams",))),
            "ingress_services": ListOf(ServiceEntry()),
            "egress_services": ListOf(Reference("services")),
            "unscoped_consumers": Flag(),
            "network_type": Choice(NETWORK_TYPES),
            "all_ips_except_for_in_consumers": Flag(),
            "all_ips_except_for_in_providers": Flag(),
            **EXTERNAL_DATA,
        },
        required=("providers", "consumers", "ingress_services"),
    ),
    defaults={
        "enabled": True,
        "override": False,
        "unscoped_consumers": False,
        "network_type": "brn",
        "all_ips_except_for_in_consumers": False,
        "all_ips_except_for_in_providers": False,
    },
    unique=(),
    whole_check=_deny_problems,
    searched=(),
    shown_in_events=("href", "enabled", "override", "description"),
)

KINDS = {"sec_rules": "rules", "deny_rules": "deny_rules"}
"""Collection of a rule in paths to the attribute of the rule set that holds it."""
