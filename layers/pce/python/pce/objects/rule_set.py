"""Rule sets: rules that share scopes. Provisioned whole, rules included."""

from collections.abc import Mapping
from typing import Any

from pce.objects.collection import EXTERNAL_DATA, Collection
from pce.objects.fields import MAX_TEXT, Choice, Flag, ListOf, Record, Shape, Text
from pce.objects.filters import Filter, contains, equals, json_list
from pce.objects.rule import LABELS_ONLY, Actor

SCOPES = ListOf(ListOf(Actor(LABELS_ONLY), max_entries=64))
"""Each inner list is one scope: its entries are joined by AND, the scopes by OR."""

_STATEMENT = Shape(
    {
        "table_name": Choice(("nat", "mangle", "filter")),
        "chain_name": Choice(("PREROUTING", "INPUT", "OUTPUT", "FORWARD", "POSTROUTING")),
        "parameters": Text(MAX_TEXT),
    },
    required=("table_name", "chain_name", "parameters"),
)
_IP_TABLES_RULE = Shape(
    {
        "enabled": Flag(),
        "description": Text(MAX_TEXT),
        "ip_version": Choice(("4", "6")),
        "statements": ListOf(Record(_STATEMENT), max_entries=255),
        "actors": ListOf(Actor({**LABELS_ONLY, "workload": "workloads"}, ("ams",))),
    },
    required=("ip_version", "statements", "actors"),
)


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
            "ip_tables_rules": ListOf(Record(_IP_TABLES_RULE)),
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
