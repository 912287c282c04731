"""Service accounts: scripts with roles and keys of their own, which no person's leaving ends."""

from collections.abc import Iterable, Mapping
from typing import Any

from pce.errors import Problem
from pce.objects.collection import Collection
from pce.objects.fields import MAX_TEXT, ListOf, Record, Reference, Shape, Text
from pce.objects.filters import contains
from pce.objects.permission import SCOPE, RoleReference, scope_problems


def _problems(permission: Mapping[str, Any], at: str) -> Iterable[Problem]:
    yield from scope_problems({"scope": [], **permission})


SERVICE_ACCOUNTS = Collection(
    name="service_accounts",
    kind="service_account",
    shape=Shape(
        {
            "name": Text(),
            "description": Text(MAX_TEXT),
            "access_restriction": Reference("access_restrictions", nullable=True),
            "permissions": ListOf(
                Record(Shape({"role": RoleReference(), "scope": SCOPE}, ("role",)), also=_problems),
                max_entries=100,
            ),
        },
        required=("name",),
    ),
    filters={"name": contains("name"), "description": contains("description")},
    numbered=False,
    shown_in_events=("href", "name"),
)
