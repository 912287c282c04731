"""Security principals: user groups of a directory service, which rules may name as consumers.

Their id is the group's SID. They act at once, as labels do. Only VENs that know who is logged on
can tell users apart: ``docs/policy.md`` says what others make of such a rule.
"""

from pce.objects.collection import Collection
from pce.objects.fields import MAX_TEXT, Shape, Text
from pce.objects.filters import contains, equals

ID = r"[A-Za-z0-9_.:@-]+"
"""What an id may hold that another system chose: it stands in hrefs."""

SECURITY_PRINCIPALS = Collection(
    name="security_principals",
    kind="security_principal",
    shape=Shape(
        {"sid": Text(pattern=ID), "name": Text(), "description": Text(MAX_TEXT)},
        required=("sid", "name"),
    ),
    defaults={"deleted": False},
    immutable=("sid",),
    unique=(),
    named_by="sid",
    filters={"name": contains("name"), "sid": equals("sid")},
    shown_in_events=("href", "sid", "name"),
)
