"""Hrefs of objects: taken apart, and moved between draft, active and numbered policy versions.

A provisionable object has one id in all policy versions, and clients swap ``/draft/`` for
``/active/`` as text. Documents are stored in draft form and rewritten when they are shown.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pce.identifiers import OrgId

DRAFT = "draft"
ACTIVE = "active"
PROVISIONABLE = (
    "label_groups",
    "services",
    "rule_sets",
    "ip_lists",
    "virtual_services",
    "virtual_servers",
    "secure_connect_gateways",
    "firewall_settings",
    "enforcement_boundaries",
)
"""Collections whose objects have a draft and provisioned versions."""

_HREF = re.compile(
    r"/orgs/(\d{1,9})/(?:sec_policy/(draft|active|\d{1,9})/)?([a-z_]+)(?:/([A-Za-z0-9_.:@-]{1,255}))?"
)
_VERSIONED = re.compile(r"(/orgs/\d{1,9}/sec_policy/)(?:draft|active|\d{1,9})(/.+)")


@dataclass(frozen=True, slots=True)
class Href:
    """An href of an object of a collection."""

    org_id: OrgId
    version: str
    """``draft``, ``active`` or a number; empty for objects that are not provisioned."""
    collection: str
    id: str
    """Last segment; the collection's own name for a singleton such as ``firewall_settings``."""

    def in_version(self, version: str) -> str:
        """The href of the same object in another policy version."""
        between = f"sec_policy/{version}/" if self.version else ""
        end = "" if self.id == self.collection else f"/{self.id}"
        return f"/orgs/{self.org_id}/{between}{self.collection}{end}"

    @property
    def item_id(self) -> str:
        """Under which id the object is stored."""
        return item_id(self.id)


def parse_href(text: str) -> Href | None:
    """An href taken apart, or None when it is none of an object that lies in a collection."""
    match = _HREF.fullmatch(text)
    if match is None or bool(match[2]) != (match[3] in PROVISIONABLE):
        return None
    return Href(OrgId(int(match[1])), match[2] or "", match[3], match[4] or match[3])


def item_id(id: str) -> str:
    """The stored form of an object's id: numbers get 12 digits, so that they sort by size.

    A number in another spelling than its own (``007``) gets a form that nothing is stored under:
    an object with two ids would be looked up by one and compared by the other.
    """
    if not id.isdecimal() or len(id) > 12:
        return id
    return f"{int(id):012d}" if str(int(id)) == id else f"#{id}"


def in_version(value: Any, version: str) -> Any:
    """A copy of a JSON value in which every versioned href points into ``version``."""
    if isinstance(value, Mapping):
        return {
            name: _VERSIONED.sub(rf"\g<1>{version}\g<2>", inner)
            if name == "href" and isinstance(inner, str)
            else in_version(inner, version)
            for name, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [in_version(inner, version) for inner in value]
    return value
