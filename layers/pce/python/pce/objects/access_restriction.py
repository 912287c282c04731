"""Access restrictions: the addresses from which a user or a service account may call."""

from collections.abc import Iterable, Mapping
from typing import Any

from pce.access.addresses import KINDS
from pce.errors import Problem
from pce.objects.collection import Collection
from pce.objects.fields import MAX_TEXT, MISSING, Address, Choice, ListOf, Shape, Text
from pce.objects.filters import contains

MAX_NETWORKS = 8
"""Addresses and networks of one restriction; the documented limit."""


def _whole_problems(document: Mapping[str, Any]) -> Iterable[Problem]:
    if not document.get("ips"):
        yield Problem(MISSING, "ips is required: the addresses that are allowed", "ips")
    if set(document.get("enforcement_exclusions") or ()) == set(KINDS):
        message = "enforcement_exclusions leaves nothing to which the restriction would apply"
        yield Problem("access_restriction_without_effect", message, "enforcement_exclusions")


ACCESS_RESTRICTIONS = Collection(
    name="access_restrictions",
    kind="access_restriction",
    shape=Shape(
        {
            "name": Text(),
            "description": Text(MAX_TEXT),
            "ips": ListOf(Address(prefix=True), max_entries=MAX_NETWORKS),
            "enforcement_exclusions": ListOf(Choice(KINDS), max_entries=2),
        },
        required=("name", "ips"),
    ),
    whole_check=_whole_problems,
    filters={"name": contains("name")},
)
"""Given to users by their ``auth_security_principal``, and to service accounts."""
