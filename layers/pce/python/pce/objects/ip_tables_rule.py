"""Custom iptables rules of a rule set: kept and shown. A VEN that enforces with nftables cannot
carry them out, so policy lists them as not enforced."""

from collections.abc import Iterable, Mapping
from typing import Any

from pce.errors import Problem
from pce.objects.fields import INVALID, MAX_TEXT, Choice, Flag, ListOf, Record, Shape, Text
from pce.objects.rule import LABELS_ONLY, Actor

_CHAINS = {
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
}
"""Tables of iptables and the chains that each has."""


def _statement_problems(statement: Mapping[str, Any], at: str) -> Iterable[Problem]:
    chains = _CHAINS[statement["table_name"]]
    if statement["chain_name"] not in chains:
        message = (
            f"{at}: the table {statement['table_name']} has the chains {', '.join(chains)}, not"
            f" {statement['chain_name']}"
        )
        yield Problem(INVALID, message, at)


_STATEMENT = Record(
    Shape(
        {
            "table_name": Choice(tuple(_CHAINS)),
            "chain_name": Choice(_CHAINS["mangle"]),
            "parameters": Text(MAX_TEXT, r"[\x20-\x7e]+"),
        },
        required=("table_name", "chain_name", "parameters"),
    ),
    also=_statement_problems,
)


def _custom_rule_problems(rule: Mapping[str, Any], at: str) -> Iterable[Problem]:
    for name in ("statements", "actors"):
        if not rule[name]:
            yield Problem(INVALID, f"{at}.{name}: must not be empty", f"{at}.{name}")


IP_TABLES_RULE = Record(
    Shape(
        {
            "href": Text(),
            "enabled": Flag(),
            "description": Text(MAX_TEXT),
            "ip_version": Choice(("4", "6")),
            "statements": ListOf(_STATEMENT, max_entries=255),
            "actors": ListOf(Actor({**LABELS_ONLY, "workload": "workloads"}, ("ams",))),
        },
        required=("ip_version", "statements", "actors"),
    ),
    also=_custom_rule_problems,
)


def known_custom_rules(
    rules: Iterable[Mapping[str, Any]], before: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """``ip_tables_rules`` as they were sent, with the hrefs of those that were there before.

    Clients send the whole list, with hrefs or without: a rule is the one whose href it says, or
    one that says the same. The others have no href yet.
    """
    free = {rule["href"]: rule for rule in before}
    sent = [{"enabled": True, "description": None, **rule} for rule in rules]
    hrefs = [free.pop(rule.pop("href", None), {}).get("href") for rule in sent]
    for at, rule in enumerate(sent):
        if hrefs[at] is None:
            alike = (href for href, known in free.items() if {**rule, "href": href} == known)
            hrefs[at] = next(alike, None)
            free.pop(hrefs[at], None)
    return [
        {"href": href, **rule} if href else rule for href, rule in zip(hrefs, sent, strict=True)
    ]
