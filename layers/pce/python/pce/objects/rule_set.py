"""Rule sets: rules that share scopes. Provisioned whole, rules included."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pce.errors import Problem
from pce.objects.collection import EXTERNAL_DATA, Collection
from pce.objects.fields import MAX_TEXT, Flag, ListOf, Shape, Text
from pce.objects.filters import Filter, contains, equals, json_list
from pce.objects.ip_tables_rule import IP_TABLES_RULE
from pce.objects.rule import LABELS_ONLY, Actor


def _row_problems(rows: Sequence[Sequence[Mapping[str, Any]]], at: str) -> Iterable[Problem]:
    """An empty row alone means everything; among others it would, too, and hide them."""
    for number, row in enumerate(rows):
        if not row and len(rows) > 1:
            where = f"{at}[{number}]"
            message = f"{where}: an empty scope means everything, so it must be the only one"
            yield Problem("scope_row_empty", message, where)


SCOPES = ListOf(ListOf(Actor(LABELS_ONLY), max_entries=64), also=_row_problems)
"""Each inner list is one scope: its entries are joined by AND, the scopes by OR."""


def scope_key_problems(
    scopes: Sequence[Sequence[Mapping[str, Any]]], at: str, named: Mapping[str, Mapping[str, Any]]
) -> Iterable[Problem]:
    """Two labels (or groups) of one key in one scope select nothing: no workload has both.

    ``named``: documents of the labels and groups by href. Exclusions may be of any key.
    """
    for number, row in enumerate(scopes):
        seen: dict[str, str] = {}
        for entry in row:
            href = (entry.get("label") or entry["label_group"])["href"]
            if entry.get("exclusion") or href not in named:
                continue
            key = named[href]["key"]
            if key in seen:
                where = f"{at}[{number}]"
                message = (
                    f"{where}: {seen[key]} and {href} both have the key {key!r}; keep one, or make"
                    " two scopes of them"
                )
                yield Problem("scope_key_repeated", message, where)
            seen[key] = href


def _scoped_by(text: str) -> Filter:
    """A scope names all labels of one of the rows in ``[["/orgs/1/labels/1", ...], ...]``."""
    rows = [set(row if isinstance(row, list) else [row]) for row in json_list(text, "labels")]

    def fits(document: Mapping[str, Any]) -> bool:
        scopes = [
            {entry["label"]["href"] for entry in scope if entry.get("label")}
            for scope in document.get("scopes") or ()
        ]
        return not rows or any(row <= scope for row in rows for scope in scopes)

    return fits


RULE_SETS = Collection(
    name="rule_sets",
    kind="rule_set",
    shape=Shape(
        {
            "name": Text(),
            "description": Text(MAX_TEXT),
            "enabled": Flag(),
            "scopes": SCOPES,
            "ip_tables_rules": ListOf(IP_TABLES_RULE, max_entries=1_000),
            **EXTERNAL_DATA,
        },
        required=("name", "scopes"),
    ),
    defaults={"enabled": True, "rules": [], "deny_rules": []},
    filters={
        "name": contains("name"),
        "description": contains("description"),
        "labels": _scoped_by,
        "external_data_set": equals("external_data_set"),
        "external_data_reference": equals("external_data_reference"),
    },
    caps=("write", "provision"),
)
