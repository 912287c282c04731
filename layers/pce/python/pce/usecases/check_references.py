"""What a document refers to must exist, belong to the caller's org and fit together."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from pce.errors import Invalid, Problem
from pce.objects.collection import Collection
from pce.objects.hrefs import PROVISIONABLE, Href, parse_href
from pce.objects.policy_version import references
from pce.usecases.caller import Caller
from pce.usecases.stores import Stores

Document = Mapping[str, Any]


def check_references(
    caller: Caller,
    collection: Collection,
    document: Document,
    stores: Stores,
    before: Document | None = None,
) -> None:
    """Raise :class:`Invalid` naming every href that the document may not refer to.

    References that ``before`` had too are believed: a rule whose workload is gone can still be
    switched off. Cost: one batch read per collection that it refers to, and per 100 hrefs.
    """
    hrefs = references(document)
    if before is not None and collection.name not in _READ_TOGETHER:
        hrefs -= references(before)
    found = existing(caller, hrefs, stores)
    problems = list(_meaning_problems(caller, collection, document, found, stores))
    if problems:
        raise Invalid(problems)


_READ_TOGETHER = ("labels", "workloads", "pairing_profiles", "label_groups")
"""Collections whose references must fit each other, so that all of them are read."""


def existing(caller: Caller, hrefs: Iterable[str], stores: Stores) -> dict[str, Document]:
    """The objects behind hrefs; raises :class:`Invalid` naming those that are missing, deleted or
    another org's (which look alike, so that nobody learns of another org's objects)."""
    wanted: dict[str, list[Href]] = defaultdict(list)
    missing = []
    for href in sorted(set(hrefs)):
        parsed = parse_href(href)
        if parsed is None or parsed.org_id != caller.org_id:
            missing.append(href)
        else:
            wanted[parsed.collection].append(parsed)
    found: dict[str, Document] = {}
    for name, parsed_hrefs in wanted.items():
        where = f"draft#{name}" if name in PROVISIONABLE else name
        read = stores.objects.get_many(caller.org_id, where, [h.item_id for h in parsed_hrefs])
        for parsed in parsed_hrefs:
            stored = read.get(parsed.item_id)
            document = stored.document if stored else None
            href = parsed.in_version("draft")
            if document is None or document.get("deleted") or document.get("deleted_at"):
                missing.append(href)
            else:
                found[href] = document
    if missing:
        raise Invalid(
            Problem("invalid_reference", f"{href} does not exist, or was deleted", href)
            for href in missing
        )
    return found


def _meaning_problems(
    caller: Caller,
    collection: Collection,
    document: Document,
    found: Mapping[str, Document],
    stores: Stores,
) -> Iterable[Problem]:
    match collection.name:
        case "labels":
            yield from unknown_key_problems(caller, document["key"], stores)
        case "workloads" | "pairing_profiles":
            yield from one_label_per_key_problems(document, found)
        case "label_groups":
            yield from unknown_key_problems(caller, document["key"], stores)
            for reference in (*document.get("labels", ()), *document.get("sub_groups", ())):
                member = found[reference["href"]]
                if member["key"] != document["key"]:
                    yield Problem(
                        "label_group_key_mismatch",
                        f"{reference['href']} has the key {member['key']}, the group has"
                        f" {document['key']}",
                        reference["href"],
                    )
                if reference["href"] == document.get("href"):
                    yield Problem("label_group_cycle", "a group cannot contain itself")


def unknown_key_problems(caller: Caller, key: str, stores: Stores) -> Iterable[Problem]:
    """A label key must be that of a label dimension."""
    stored = stores.objects.all_of(caller.org_id, "label_dimensions")
    known = sorted(s.document["key"] for s in stored if not s.document.get("deleted"))
    if key not in known:
        message = f"there is no label dimension {key!r}; there are {', '.join(known)}"
        yield Problem("unknown_label_key", message, "key")


def one_label_per_key_problems(
    document: Document, labels: Mapping[str, Document]
) -> Iterable[Problem]:
    """No two labels of one key. ``labels`` are documents by href."""
    seen: dict[str, str] = {}
    for reference in document.get("labels") or ():
        key = labels[reference["href"]]["key"]
        if key in seen:
            message = f"{seen[key]} and {reference['href']} both have the key {key!r}; keep one"
            yield Problem("label_key_repeated", message, "labels")
        seen[key] = reference["href"]
