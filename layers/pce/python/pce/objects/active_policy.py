"""What must hold of a policy version as a whole, whatever its drafts went through. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from pce.errors import Problem
from pce.objects.catalogue import COLLECTIONS
from pce.objects.label_group import LABEL_GROUPS, cycle
from pce.objects.policy_version import references

Documents = Mapping[str, Iterable[Mapping[str, Any]]]
"""Collection to documents, in draft form."""


def active_problems(documents: Documents) -> list[Problem]:
    """Why these documents must not be active together; empty when they may.

    Nothing refers to what is not there, no two objects have one name, and no label group lies
    inside itself. Drafts may each be right and these not: only some of them are provisioned. Cost:
    reads every rule, a third of a second for 20,000.
    """
    return [
        *_dangling_problems(documents),
        *_name_problems(documents),
        *_circle_problems(documents),
    ]


def _dangling_problems(documents: Documents) -> Iterable[Problem]:
    everything = [document for found in documents.values() for document in found]
    active = {str(document["href"]) for document in everything}
    for document in everything:
        for href in sorted(references(document) - active):
            if "/sec_policy/" in href:  # labels and workloads have no versions
                message = (
                    f"{document['href']} refers to {href}, which would not be active; provision"
                    " both together, or remove the reference"
                )
                yield Problem("missing_dependency", message, href)


def _name_problems(documents: Documents) -> Iterable[Problem]:
    holders: dict[str, str] = {}
    for collection, found in documents.items():
        for document in found:
            for name in COLLECTIONS[collection].claims(document):
                holder = holders.setdefault(name, str(document["href"]))
                if holder != document["href"]:
                    message = (
                        f"{document['href']} and {holder} would be active under one name; provision"
                        " both together, or rename one"
                    )
                    yield Problem("name_taken", message, str(document["href"]))


def _circle_problems(documents: Documents) -> Iterable[Problem]:
    circle = cycle(
        {
            str(group["href"]): [inner["href"] for inner in group["sub_groups"]]
            for group in documents.get(LABEL_GROUPS.name, ())
        }
    )
    if circle:
        message = f"a label group would contain itself: {' contains '.join(circle)}"
        yield Problem("label_group_cycle", message, circle[0])
