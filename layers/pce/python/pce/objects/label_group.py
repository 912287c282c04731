"""Label groups: labels of one key under one name, and groups in groups. Provisioned."""

from collections.abc import Iterable, Mapping
from typing import Any

from pce.objects.collection import EXTERNAL_DATA, Collection
from pce.objects.fields import MAX_TEXT, ListOf, Reference, Shape, Text
from pce.objects.filters import contains, equals
from pce.objects.label import KEY

LABEL_GROUPS = Collection(
    name="label_groups",
    kind="label_group",
    shape=Shape(
        {
            "name": Text(),
            "key": KEY,
            "description": Text(MAX_TEXT),
            "labels": ListOf(Reference("labels")),
            "sub_groups": ListOf(Reference("label_groups")),
            **EXTERNAL_DATA,
        },
        required=("name", "key"),
    ),
    immutable=("key",),
    filters={
        "name": contains("name"),
        "key": equals("key"),
        "description": contains("description"),
        "external_data_set": equals("external_data_set"),
        "external_data_reference": equals("external_data_reference"),
    },
    numbered=False,
    caps=("write", "provision"),
    shown_in_events=("href", "key", "name"),
)


def cycle(groups: Mapping[str, Iterable[str]]) -> list[str]:
    """Hrefs of groups that contain each other in a circle, first one last again; empty when no
    group lies inside itself. ``groups``: href to the hrefs of its sub-groups. Cost: each once."""
    done: set[str] = set()
    for start in groups:
        path: list[str] = []
        waiting = [(start, 0)]
        while waiting:
            href, depth = waiting.pop()
            del path[depth:]
            if href in path:
                return [*path[path.index(href) :], href]
            if href in done:
                continue
            done.add(href)
            path.append(href)
            waiting += [(inner, depth + 1) for inner in groups.get(href, ())]
    return []


def members(group_href: str, groups: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The labels of a group and of all groups inside it, each once. ``groups`` by href; a group
    inside itself adds nothing."""
    found: dict[str, dict[str, Any]] = {}
    seen: set[str] = set()
    waiting = [group_href]
    while waiting:
        href = waiting.pop()
        if href in seen or href not in groups:
            continue
        seen.add(href)
        found |= {label["href"]: dict(label) for label in groups[href]["labels"]}
        waiting += [inner["href"] for inner in groups[href]["sub_groups"]]
    return list(found.values())
