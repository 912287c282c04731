"""Timers of an org that make no sense together. Pure.

Two entries meet in a VEN that carries the labels of both scopes. Whichever entries hold for some
VEN hold for one that carries just these labels, so looking at all pairs misses none.
"""

from collections.abc import Iterator, Mapping
from itertools import pairwise, product
from typing import Any

from pce.errors import Problem
from pce.presence.timers import (
    LISTS,
    NEVER,
    OFFLINE,
    Entry,
    TimerSettings,
    default_offline_s,
    pick,
)

VEN_TYPES = ("server", "endpoint", "containerized")


def scope_problems(document: Mapping[str, Any], keys: Mapping[str, str]) -> Iterator[Problem]:
    """Scopes that no VEN can have: two labels of one dimension. ``keys``: label href to key."""
    for name in LISTS:
        for number, entry in enumerate(document.get(name) or ()):
            at = f"{name}[{number}].scope"
            seen: dict[str, str] = {}
            for label in entry.get("scope") or ():
                href = label["href"]
                other = seen.setdefault(keys[href], href)
                if other != href:
                    message = (
                        f"{at}: {other} and {href} are both of the dimension {keys[href]!r}, so no"
                        " workload has both; make an entry of each"
                    )
                    yield Problem("scope_key_repeated", message, at)


def timer_problems(
    document: Mapping[str, Any], keys: Mapping[str, str], heartbeat_s: int
) -> Iterator[Problem]:
    """Entries of which one says the contrary of the other, each place once: two for the same VENs,
    a warning after the VEN is offline, a mild warning after a grave one. ``heartbeat_s``: the
    installation's interval."""
    yield from _repeated(document)
    settings = TimerSettings(document, heartbeat_s)
    steps = (settings.info, settings.warning, settings.error)
    told: set[str] = set()
    for ven_type in VEN_TYPES:
        default_s = default_offline_s(ven_type, heartbeat_s)
        kind = "endpoint" if ven_type == "endpoint" else "server"  # before a container's default
        offline = (*settings.offline, Entry(frozenset(), kind, default_s, f"{OFFLINE}, by default"))
        pairs = [(step, offline) for step in steps] + list(pairwise(steps))
        if settings.info and settings.error:
            pairs.append((settings.info, settings.error))
        for earlier, later in pairs:
            for first, second in _meeting(earlier, later, ven_type, keys):
                if second.value != NEVER and first.value > second.value and first.at not in told:
                    told.add(first.at)
                    after = f"the offline timer ({second.at})" if later is offline else second.at
                    message = (
                        f"{first.at}: {first.value} s comes after {after} of {second.value} s, for"
                        f" the same VENs ({ven_type}); warn before, or -1 for never"
                    )
                    yield Problem("warning_after_offline", message, first.at)


def _meeting(
    earlier: tuple[Entry, ...], later: tuple[Entry, ...], ven_type: str, keys: Mapping[str, str]
) -> Iterator[tuple[Entry, Entry]]:
    """Pairs of entries that hold for one VEN of this type."""
    for one, other in product(earlier, later):
        if one.value == NEVER or not (other.value == NEVER or one.value > other.value):
            continue  # nothing to tell
        labels = one.scope | other.scope
        if len({keys.get(href, href) for href in labels}) < len(labels):
            continue  # no workload has them all
        if pick(earlier, ven_type, labels) is one and pick(later, ven_type, labels) is other:
            yield one, other


def _repeated(document: Mapping[str, Any]) -> Iterator[Problem]:
    for name in LISTS:
        seen: dict[tuple[frozenset[str], str], int] = {}
        for number, entry in enumerate(document.get(name) or ()):
            scope = frozenset(label["href"] for label in entry.get("scope") or ())
            first = seen.setdefault((scope, entry.get("ven_type") or "server"), number)
            if first != number:
                at = f"{name}[{number}]"
                message = f"{at}: {name}[{first}] has the same scope and VEN type; keep one"
                yield Problem("timer_repeated", message, at)
