"""Estimate the impact of a provisioning before it is made: whose policy it would change."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from pce.errors import Invalid, Problem
from pce.identifiers import OrgId
from pce.objects.hrefs import ACTIVE
from pce.policy.estate_from_documents import (
    Surroundings,
    bound_workloads,
    label_keys_of,
    workload_of,
)
from pce.policy.questions.impact import Impact
from pce.usecases.caller import Caller
from pce.usecases.provision import plan
from pce.usecases.read_policy import read_policy
from pce.usecases.stores import Stores

MAX_WORKLOADS = 50_000
"""In an org whose impact is computed while the client waits: reading them takes half of the 25
seconds and half of the memory that the function has."""
MAX_NAMED = 1_000
"""Workloads that an answer names."""


def estimate_impact(caller: Caller, body: Any, stores: Stores) -> dict[str, Any]:
    """How many workloads get another policy when a change subset (or all that is pending) is
    provisioned, and which.

    ``workloads_affected`` counts workloads with a VEN; ``exact`` is false when some of them may
    turn out to get what they have. ``workloads`` names the first by href. Raises :class:`Invalid`
    as provisioning would, and for an org of more than ``MAX_WORKLOADS``. Cost: all drafts, all
    workloads, 70 microseconds a rule, a millisecond per class of workloads that is touched.
    """
    planned = plan(caller, body if body else None, stores)
    count = stores.directory.count(caller.org_id)
    if count > MAX_WORKLOADS:
        message = (
            f"the impact is computed for orgs of at most {MAX_WORKLOADS} workloads, this one has"
            f" {count}; look at single ones with sec_policy/draft/policy_view, or at connections"
            " with sec_policy/explain"
        )
        raise Invalid(Problem("too_many_workloads", message))
    before = read_policy(caller.org_id, ACTIVE, stores)
    impact = Impact(before.estate(), replace(before, documents=planned.documents).estate())
    around = Surroundings(label_keys_of(before.labels), bound_workloads(before.service_bindings))
    affected = sorted(
        document["href"]
        for document in _workloads(caller.org_id, stores)
        if impact.changes(workload_of(document, around))
    )
    return {
        "workloads_affected": len(affected),
        "exact": impact.exact,
        "workloads": [{"href": href} for href in affected[:MAX_NAMED]],
    }


def _workloads(org_id: OrgId, stores: Stores) -> Iterator[dict[str, Any]]:
    for collection in ("workloads", "container_workloads"):
        for stored in stores.objects.all_of(org_id, collection):
            if not stored.document.get("deleted"):
                yield stored.document
