"""What each endpoint about many VENs, or their software, does: call one use case, form its result.

``api_routes.py`` says which path and method lead here.
"""

from pce.runtime.api_call import Call, no_content, ok, whole
from pce.runtime.http import Reply
from pce.usecases import ven_software
from pce.usecases.act_on_vens import act_on_vens
from pce.usecases.count_vens import count_vens
from pce.usecases.upgrade_vens import upgrade_vens


def upgrade(call: Call) -> Reply:
    """PUT vens/upgrade."""
    return ok(upgrade_vens(call.caller, call.body, call.stores))


def upgrade_one(call: Call) -> Reply:
    """POST workloads/{id}/upgrade, the older form: one workload, in the path."""
    said = call.body if isinstance(call.body, dict) else {}
    href = call.caller.path("workloads", call.id)
    return ok(upgrade_vens(call.caller, {**said, "workloads": [{"href": href}]}, call.stores))


def remote_action(call: Call) -> Reply:
    """PUT vens/remote_action."""
    return ok(act_on_vens(call.caller, call.body, call.stores))


def statistics(call: Call) -> Reply:
    """POST vens/statistics."""
    return ok(count_vens(call.caller, call.body, call.stores))


def list_releases(call: Call) -> Reply:
    """GET software/ven/releases."""
    return whole(call, ven_software.list_releases(call.caller, call.stores))


def get_release(call: Call) -> Reply:
    """GET software/ven/releases/{release}."""
    return ok(ven_software.get_release(call.caller, call.id, call.stores))


def list_images(call: Call) -> Reply:
    """GET software/ven/releases/{release}/images."""
    return whole(call, ven_software.list_images(call.id, call.stores))


def choose_default_release(call: Call) -> Reply:
    """PUT software/ven/releases/default."""
    ven_software.choose_default(call.caller, call.body, call.stores)
    return no_content()
