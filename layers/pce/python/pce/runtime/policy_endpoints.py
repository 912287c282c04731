"""Questions about policy: endpoints that only read. ``api_routes.py`` says what leads here."""

from pce.runtime.api_call import Call, ok
from pce.runtime.http import Reply
from pce.usecases.explain_policy import explain_policy


def explain(call: Call) -> Reply:
    """GET sec_policy/{version}/explain: why a connection is allowed or blocked."""
    return ok(explain_policy(call.caller, (call.version,), call.query, call.stores))


def explain_both(call: Call) -> Reply:
    """GET sec_policy/explain: the same for active and draft, side by side."""
    return ok(explain_policy(call.caller, ("active", "draft"), call.query, call.stores))
