"""IP lists: addresses, networks, ranges and names under one name. Provisioned."""

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

from pce.errors import Problem
from pce.objects.collection import EXTERNAL_DATA, Collection
from pce.objects.fields import INVALID, MAX_TEXT, Address, Flag, ListOf, Record, Shape, Text
from pce.objects.filters import contains, equals, lists_address

ANY_NAME = "Any (0.0.0.0/0 and ::/0)"
"""Name of the factory IP list that clients look for."""


def _range_problems(part: Mapping[str, Any], at: str) -> Iterable[Problem]:
    to_ip = part.get("to_ip")
    if to_ip is None:
        return
    if "/" in part["from_ip"]:
        yield Problem(INVALID, f"{at}: to_ip goes with a single from_ip, not with a network", at)
        return
    first, last = ipaddress.ip_address(part["from_ip"]), ipaddress.ip_address(to_ip)
    if first.version != last.version or int(first) >= int(last):
        yield Problem(INVALID, f"{at}: to_ip {last} must be higher than from_ip {first}", at)


_RANGE = Record(
    Shape(
        {
            "from_ip": Address(prefix=True),
            "to_ip": Address(),
            "exclusion": Flag(),
            "description": Text(MAX_TEXT),
        },
        required=("from_ip",),
    ),
    also=_range_problems,
)
_NAME = Record(
    Shape(
        {"fqdn": Text(253, r"[A-Za-z0-9*_.-]+"), "description": Text(MAX_TEXT)}, required=("fqdn",)
    )
)


def _whole_problems(document: Mapping[str, Any]) -> Iterable[Problem]:
    if not document.get("ip_ranges") and not document.get("fqdns"):
        yield Problem(
            "ip_list_empty",
            "an IP list needs at least one entry in ip_ranges or fqdns",
            "ip_ranges",
        )


def _displayed(ip_list: Mapping[str, Any]) -> dict[str, Any]:
    """The IP list with the number of its entries, and ``exclusion`` always said."""
    ranges = [{"exclusion": False, **part} for part in ip_list.get("ip_ranges") or ()]
    return {**ip_list, "ip_ranges": ranges, "size": len(ranges) + len(ip_list.get("fqdns") or ())}


IP_LISTS = Collection(
    name="ip_lists",
    kind="ip_list",
    shape=Shape(
        {
            "name": Text(),
            "description": Text(MAX_TEXT),
            "ip_ranges": ListOf(_RANGE),
            "fqdns": ListOf(_NAME),
            **EXTERNAL_DATA,
        },
        required=("name",),
    ),
    whole_check=_whole_problems,
    filters={
        "name": contains("name"),
        "description": contains("description"),
        "ip_address": lists_address,
        "fqdn": lambda text: (
            lambda document: any(
                text.casefold() in name["fqdn"].casefold() for name in document.get("fqdns") or ()
            )
        ),
        "external_data_set": equals("external_data_set"),
        "external_data_reference": equals("external_data_reference"),
    },
    caps=("write", "provision"),
    display=_displayed,
)
