"""Container workload profiles of a cluster: labels and enforcement of what runs in a namespace."""

from collections.abc import Iterable, Mapping
from typing import Any

from pce.errors import Problem
from pce.objects.collection import Collection
from pce.objects.fields import (
    INVALID,
    MAX_TEXT,
    Choice,
    Flag,
    ListOf,
    Record,
    Reference,
    Shape,
    Text,
)
from pce.objects.filters import Filter, contains, equals, flag, json_list
from pce.objects.label import KEY
from pce.objects.workload import ENFORCEMENT_MODES, VISIBILITY_LEVELS

DEFAULT_NAME = "Default"
"""Name of the profile that every cluster begins with, for namespaces without one of their own."""


def _entry_problems(entry: Mapping[str, Any], at: str) -> Iterable[Problem]:
    if bool(entry.get("assignment")) == bool(entry.get("restriction")):
        message = f"{at}: must have exactly one of assignment and restriction"
        yield Problem(INVALID, message, at)


def _whole_problems(document: Mapping[str, Any]) -> Iterable[Problem]:
    seen = set()
    for at, entry in enumerate(document.get("labels") or ()):
        if entry["key"] in seen:
            where = f"labels[{at}]"
            yield Problem(INVALID, f"{where}: the key {entry['key']!r} is there already", where)
        seen.add(entry["key"])


_LABEL_ENTRY = Record(
    Shape(
        {
            "key": KEY,
            "assignment": Reference("labels", nullable=True),
            "restriction": ListOf(Reference("labels")),
        },
        required=("key",),
    ),
    also=_entry_problems,
)


def _assigns(text: str) -> Filter:
    wanted = {str(href) for href in json_list(text, "assign_labels")}
    return lambda document: wanted <= {label["href"] for label in document["assign_labels"]}


CONTAINER_WORKLOAD_PROFILES = Collection(
    name="container_workload_profiles",
    kind="container_workload_profile",
    shape=Shape(
        {
            "name": Text(),
            "description": Text(MAX_TEXT),
            "managed": Flag(),
            "enforcement_mode": Choice(ENFORCEMENT_MODES),
            "visibility_level": Choice(VISIBILITY_LEVELS),
            "assign_labels": ListOf(Reference("labels"), max_entries=64),
            "labels": ListOf(_LABEL_ENTRY, max_entries=64),
        }
    ),
    defaults={
        "namespace": None,
        "managed": False,
        "enforcement_mode": "idle",
        "visibility_level": "flow_summary",
        "linked": False,
        "is_default": False,
    },
    unique=(),
    whole_check=_whole_problems,
    filters={
        "name": contains("name"),
        "namespace": contains("namespace"),
        "managed": flag("managed"),
        "linked": flag("linked"),
        "enforcement_mode": equals("enforcement_mode"),
        "visibility_level": equals("visibility_level"),
        "assign_labels": _assigns,
    },
    numbered=False,
    caps=("write", "delete"),
    private=("is_default",),
)


def with_label_values(
    profile: Mapping[str, Any], labels: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """The profile with the values of its labels. What only the older ``assign_labels`` says is
    said by ``labels``, too."""

    def valued(reference: Mapping[str, Any]) -> dict[str, Any]:
        value = labels.get(reference["href"], {}).get("value")
        return {"href": reference["href"], "value": value}

    entries = [
        {
            "key": entry["key"],
            **({"assignment": valued(entry["assignment"])} if entry.get("assignment") else {}),
            **(
                {"restriction": [valued(label) for label in entry["restriction"]]}
                if entry.get("restriction")
                else {}
            ),
        }
        for entry in profile["labels"]
    ] or [
        {"key": labels[label["href"]]["key"], "assignment": valued(label)}
        for label in profile["assign_labels"]
        if label["href"] in labels
    ]
    return {**profile, "labels": entries}
