"""Whose policy would become another, if other documents were active."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pce.identifiers import OrgId, tail
from pce.objects.hrefs import ACTIVE
from pce.objects.workload import WORKLOADS
from pce.policy.estate import Workload
from pce.policy.estate_from_documents import (
    Surroundings,
    bound_workloads,
    label_keys_of,
    labels_by_key,
    workload_of,
)
from pce.policy.questions.impact import Impact
from pce.usecases.find_workloads import workload_facts
from pce.usecases.read_containers import all_containers
from pce.usecases.read_policy import read_policy
from pce.usecases.stores import Stores

Document = Mapping[str, Any]

MAX_READ = 50_000
"""Workloads whose documents are read while there is no index of them: half of the 25 seconds and
half of the memory that the API's function has."""
MAX_COUNTED_WORKLOADS = 25_000
MAX_COUNTED_RULES = 5_000
MOST_COMPARED = 250
"""What a provisioning counts at most, and the classes of workloads that it compares exactly: one
second on the API's half of a core, after some five that it takes anyway at this size."""


class NotIndexed(Exception):
    """There is no index of the workloads at this moment, and they are too many to be read."""


@dataclass(frozen=True, slots=True)
class Affected:
    """Workloads with a VEN whose policy would become another."""

    hrefs: list[str]
    """Sorted."""
    exact: bool
    """False: some of them may turn out to get what they have."""


def affected_workloads(
    org_id: OrgId,
    documents: Mapping[str, Sequence[Document]],
    stores: Stores,
    most_compared: int = 2_000,
) -> Affected:
    """Those whose policy would become another if ``documents`` (by collection) were active.

    Raises :class:`NotIndexed`. Cost: the active policy and the index of workloads (one GET, what
    changed since, 10 microseconds a workload), 70 microseconds a rule, two milliseconds for each
    of ``most_compared`` classes of workloads that hold a rule that changes.
    """
    before = read_policy(org_id, ACTIVE, stores)
    impact = Impact(
        before.estate(), replace(before, documents=documents).estate(), most_compared=most_compared
    )
    around = Surroundings(label_keys_of(before.labels), bound_workloads(before.service_bindings))
    hrefs = sorted(
        document["href"]
        for document in _workloads(org_id, stores)
        if impact.changes(as_rules_see(document, around))
    )
    return Affected(hrefs, impact.exact)


def count_affected(
    org_id: OrgId, documents: Mapping[str, Sequence[Document]], stores: Stores
) -> int | None:
    """How many workloads a provisioning affects, at most. None when a person would wait too long
    for the answer: beyond ``MAX_COUNTED_WORKLOADS`` or ``MAX_COUNTED_RULES``, or without an
    index."""
    rules = sum(len(rule_set.get("rules") or ()) for rule_set in documents.get("rule_sets", ()))
    if rules > MAX_COUNTED_RULES or stores.directory.count(org_id) > MAX_COUNTED_WORKLOADS:
        return None
    try:
        return len(affected_workloads(org_id, documents, stores, MOST_COMPARED).hrefs)
    except NotIndexed:
        return None


def _workloads(org_id: OrgId, stores: Stores) -> Iterator[Document]:
    """What the index knows of each workload and container; their documents while there is none."""
    known = workload_facts(org_id, stores, with_containers=True)
    if known is not None:
        yield from known.values()
        return
    if stores.directory.count(org_id) > MAX_READ:
        raise NotIndexed
    for stored in stores.objects.all_of(org_id, WORKLOADS.name):
        if not stored.document.get("deleted"):
            yield stored.document
    for container in all_containers(org_id, stores):
        yield container.document


def as_rules_see(document: Document, around: Surroundings) -> Workload:
    """A workload, but for its addresses, by what the index knows of it or by its document."""
    if "ipv6_support" not in document:
        return workload_of(document, around)  # its own document, newer than the index
    id = tail(document["href"])
    return Workload(
        id=id,
        labels=labels_by_key(document, around.label_keys),
        managed=document["managed"],
        enforcement_mode=document["enforcement_mode"],
        visibility_level=document["visibility_level"],
        ipv6_support=document["ipv6_support"],
        bound=around.bound.get(id, frozenset()),
        container_host=document["container_host"],
    )
