"""IP lists: addresses, networks, ranges and names under one name. Provisioned."""

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pce.errors import Problem
from pce.objects.collection import EXTERNAL_DATA, Collection
from pce.objects.fields import INVALID, MAX_TEXT, Address, Flag, ListOf, Record, Shape, Text
from pce.objects.filters import contains, equals, lists_address, span_of

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
FQDN = Text(253, r"[A-Za-z0-9*_.-]+")
"""A host name, or a wildcard such as ``*.example.com``."""
_NAME = Record(Shape({"fqdn": FQDN, "description": Text(MAX_TEXT)}, required=("fqdn",)))


def _whole_problems(document: Mapping[str, Any]) -> Iterable[Problem]:
    if not document.get("ip_ranges") and not document.get("fqdns"):
        yield Problem(
            "ip_list_empty",
            "an IP list needs at least one entry in ip_ranges or fqdns",
            "ip_ranges",
        )
    yield from _overlap_problems(document.get("ip_ranges") or ())


def _overlap_problems(parts: Sequence[Mapping[str, Any]]) -> Iterable[Problem]:
    """Ranges of one kind that share addresses: one of them was written by mistake. An exclusion
    inside a range is no overlap, it is what exclusions are for. Cost: one sort."""
    spans = sorted(
        (bool(part.get("exclusion")), span_of(part), at) for at, part in enumerate(parts)
    )
    furthest: dict[tuple[bool, int], tuple[int, int]] = {}
    for exclusion, (version, first, last), at in spans:
        reached, there = furthest.get((exclusion, version), (-1, at))
        if first <= reached:
            where = f"ip_ranges[{at}]"
            message = (
                f"{where}: {_written(parts[at])} overlaps {_written(parts[there])} in"
                f" ip_ranges[{there}]; keep one of them"
            )
            yield Problem("ip_ranges_overlap", message, where)
        if last > reached:
            furthest[exclusion, version] = (last, at)


def _written(part: Mapping[str, Any]) -> str:
    return "-".join(filter(None, (part["from_ip"], part.get("to_ip"))))


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
