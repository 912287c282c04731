"""Enforcement boundaries: the older form of deny rules, outside of rule sets. Provisioned."""

from collections.abc import Iterable, Mapping
from typing import Any

from pce.errors import Problem
from pce.objects.collection import EXTERNAL_DATA, Collection
from pce.objects.fields import MAX_TEXT, Choice, Flag, ListOf, Shape, Text
from pce.objects.filters import (
    Filter,
    MakeFilter,
    contains,
    draft_form,
    equals,
    json_list,
    whole_number,
)
from pce.objects.rule import NETWORK_TYPES, WITH_ADDRESSES, Actor, ServiceEntry


def _whole_problems(document: Mapping[str, Any]) -> Iterable[Problem]:
    for name in ("providers", "consumers", "ingress_services"):
        if not document.get(name):
            message = f"{name} must not be empty"
            yield Problem(f"enforcement_boundary_needs_{name}", message, name)


def _has_service(text: str) -> Filter:
    wanted = draft_form(text)
    return lambda document: any(s.get("href") == wanted for s in document["ingress_services"])


def _has(name: str) -> MakeFilter:
    def make(text: str) -> Filter:
        wanted = whole_number(text, name)
        return lambda document: any(s.get(name) == wanted for s in document["ingress_services"])

    return make


def _names_labels(text: str) -> Filter:
    rows = [set(row if isinstance(row, list) else [row]) for row in json_list(text, "labels")]

    def fits(document: Mapping[str, Any]) -> bool:
        named = {
            actor["label"]["href"]
            for actor in (*document["providers"], *document["consumers"])
            if actor.get("label")
        }
        return not rows or any(row <= named for row in rows)

    return fits


ENFORCEMENT_BOUNDARIES = Collection(
    name="enforcement_boundaries",
    kind="enforcement_boundary",
    shape=Shape(
        {
            "name": Text(),
            "description": Text(MAX_TEXT),
            "enabled": Flag(),
            "providers": ListOf(Actor(WITH_ADDRESSES, ("ams",))),
            "consumers": ListOf(Actor(WITH_ADDRESSES, ("ams",))),
            "ingress_services": ListOf(ServiceEntry()),
            "network_type": Choice(NETWORK_TYPES),
            **EXTERNAL_DATA,
        },
        required=("name", "providers", "consumers", "ingress_services"),
    ),
    defaults={"enabled": True, "network_type": "brn"},
    whole_check=_whole_problems,
    filters={
        "name": contains("name"),
        "labels": _names_labels,
        "service": _has_service,
        # Clients send the documented names and, by a slip of theirs, the other ones.
        "service_ports.port": _has("port"),
        "service_ports.proto": _has("proto"),
        "service_address.port": _has("port"),
        "service_address.proto": _has("proto"),
        "external_data_set": equals("external_data_set"),
        "external_data_reference": equals("external_data_reference"),
    },
    caps=("write", "provision"),
)
