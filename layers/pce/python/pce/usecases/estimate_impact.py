"""Estimate the impact of a provisioning before it is made: whose policy it would change."""

from typing import Any

from pce.errors import Invalid, Problem
from pce.usecases.affected_workloads import MAX_READ, NotIndexed, affected_workloads
from pce.usecases.caller import Caller
from pce.usecases.provision import plan
from pce.usecases.stores import Stores

MAX_NAMED = 1_000
"""Workloads that an answer names."""


def estimate_impact(caller: Caller, body: Any, stores: Stores) -> dict[str, Any]:
    """How many workloads get another policy when a change subset (or all that is pending) is
    provisioned, and which.

    ``workloads_affected`` counts workloads with a VEN; ``exact`` is false when some of them may
    turn out to get what they have. ``workloads`` names the first by href. Raises :class:`Invalid`
    as provisioning would, and for an org of more than ``MAX_READ`` workloads while there is no
    index of them. Cost: all drafts, and see :func:`affected_workloads`.
    """
    planned = plan(caller, body if body else None, stores)
    try:
        affected = affected_workloads(caller.org_id, planned.documents, stores)
    except NotIndexed as error:
        message = (
            f"of more than {MAX_READ} workloads the impact is computed from their index, which a"
            " large change or a late compile keeps out of date at the moment; ask again in a"
            " minute, or look at single ones with sec_policy/draft/policy_view"
        )
        raise Invalid(Problem("impact_not_available", message)) from error
    return {
        "workloads_affected": len(affected.hrefs),
        "exact": affected.exact,
        "workloads": [{"href": href} for href in affected.hrefs[:MAX_NAMED]],
    }
