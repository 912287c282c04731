"""Questions about policy: endpoints that only read. ``api_routes.py`` says what leads here."""

from pce.objects.filters import boolean
from pce.runtime.api_call import Call, ok
from pce.runtime.http import Reply
from pce.usecases import find_rules
from pce.usecases.estimate_impact import estimate_impact
from pce.usecases.explain_policy import explain_policy
from pce.usecases.view_policy import policy_view


def explain(call: Call) -> Reply:
    """GET sec_policy/{version}/explain: why a connection is allowed or blocked."""
    return ok(explain_policy(call.caller, (call.version,), call.query, call.stores))


def explain_both(call: Call) -> Reply:
    """GET sec_policy/explain: the same for active and draft, side by side."""
    return ok(explain_policy(call.caller, ("active", "draft"), call.query, call.stores))


def list_allowing_rules(call: Call) -> Reply:
    """GET sec_policy/{version}/allow, or policy_check: the rules that allow a connection."""
    return ok(find_rules.allowing_rules(call.caller, call.version, call.query, call.stores))


def cover(call: Call) -> Reply:
    """POST sec_policy/{version}/rule_coverage: which rules cover each edge of a batch."""
    name = "include_deny_rules"
    return ok(
        find_rules.rule_coverage(
            call.caller,
            call.version,
            call.body,
            call.stores,
            include_deny_rules=boolean(call.query.get(name, ""), name),
        )
    )


def search(call: Call) -> Reply:
    """POST sec_policy/{version}/rule_search: the rules that name or mean actors and services."""
    return ok(find_rules.search_rules(call.caller, call.version, call.body, call.stores))


def view(call: Call) -> Reply:
    """GET sec_policy/{version}/policy_view: the rules as they concern one workload."""
    workload = call.query.get("workload", "")
    return ok(policy_view(call.caller, call.version, workload, call.stores))


def impact(call: Call) -> Reply:
    """POST sec_policy/impact: whose policy a provisioning would change."""
    return ok(estimate_impact(call.caller, call.body, call.stores))
