"""What each endpoint about VENs, or their software, does: call one use case, form its result.

``api_routes.py`` says which path and method lead here.
"""

from pce.runtime.api_call import Call, created, no_content, ok, whole
from pce.runtime.http import Reply, json_reply
from pce.runtime.workload_endpoints import listed_hosts
from pce.usecases import find_vens, read_hosts, ven_software
from pce.usecases import request_support_reports as support
from pce.usecases.act_on_vens import act_on_vens
from pce.usecases.clear_conditions import clear_conditions
from pce.usecases.count_vens import count_vens
from pce.usecases.issue_maintenance_token import issue_maintenance_token
from pce.usecases.limit_requests import count_unpair
from pce.usecases.read_compatibility import read_compatibility
from pce.usecases.recover_authentication import open_recovery
from pce.usecases.unpair_vens import unpair_vens
from pce.usecases.update_ven import update_ven
from pce.usecases.upgrade_vens import upgrade_vens


def list_vens(call: Call) -> Reply:
    """GET vens."""
    return listed_hosts(call, "vens", find_vens.list_vens)


def get_ven(call: Call) -> Reply:
    """GET vens/{id}."""
    return ok(read_hosts.get_ven(call.caller, call.id, call.stores))


def change_ven(call: Call) -> Reply:
    """PUT vens/{id}."""
    update_ven(call.caller, call.id, call.body, call.stores)
    return no_content()


def unpair(call: Call) -> Reply:
    """PUT vens/unpair, or the older workloads/unpair."""
    count_unpair(call.identity.auth_username or call.identity.href, call.stores, call.caller.now)
    return ok(unpair_vens(call.caller, call.body, call.stores))


def upgrade(call: Call) -> Reply:
    """PUT vens/upgrade."""
    return ok(upgrade_vens(call.caller, call.body, call.stores))


def upgrade_one(call: Call) -> Reply:
    """POST workloads/{id}/upgrade, the older form: one workload, in the path."""
    said = call.body if isinstance(call.body, dict) else {}
    href = call.caller.path("workloads", call.id)
    return ok(upgrade_vens(call.caller, {**said, "workloads": [{"href": href}]}, call.stores))


def recover(call: Call) -> Reply:
    """PUT vens/authentication_recovery: the only answer with the codes."""
    return ok(open_recovery(call.caller, call.body, call.stores))


def remote_action(call: Call) -> Reply:
    """PUT vens/remote_action."""
    return ok(act_on_vens(call.caller, call.body, call.stores))


def clear(call: Call) -> Reply:
    """PUT vens/clear_conditions."""
    return ok(clear_conditions(call.caller, call.body, call.stores))


def get_compatibility_report(call: Call) -> Reply:
    """GET vens/{id}/compatibility_report."""
    return ok(read_compatibility(call.caller, call.id, call.stores))


def statistics(call: Call) -> Reply:
    """POST vens/statistics."""
    return ok(count_vens(call.caller, call.body, call.stores))


def maintenance_token(call: Call) -> Reply:
    """POST vens/{id}/maintenance_token."""
    return created(issue_maintenance_token(call.caller, call.id, call.body, call.stores))


def list_releases(call: Call) -> Reply:
    """GET software/ven/releases."""
    return whole(call, ven_software.list_releases(call.caller, call.stores))


def get_release(call: Call) -> Reply:
    """GET software/ven/releases/{release}."""
    return ok(ven_software.get_release(call.caller, call.id, call.stores))


def list_images(call: Call) -> Reply:
    """GET software/ven/releases/{release}/images."""
    return whole(call, ven_software.list_images(call.caller, call.id, call.stores))


def withdraw_release(call: Call) -> Reply:
    """DELETE software/ven/releases/{release}: the org's VENs are not upgraded to it any more."""
    ven_software.withdraw_release(call.caller, call.id, call.stores)
    return no_content()


def give_back_release(call: Call) -> Reply:
    """PUT software/ven/releases/{release}: a release that was withdrawn is offered again."""
    ven_software.give_back_release(call.caller, call.id, call.stores)
    return no_content()


def choose_default_release(call: Call) -> Reply:
    """PUT software/ven/releases/default."""
    ven_software.choose_default(call.caller, call.body, call.stores)
    return no_content()


def request_reports(call: Call) -> Reply:
    """POST support_bundle_requests."""
    return created(support.request_reports(call.caller, call.body, call.stores))


def list_report_requests(call: Call) -> Reply:
    """GET support_bundle_requests."""
    return whole(call, support.list_requests(call.caller, call.stores))


def get_report_request(call: Call) -> Reply:
    """GET support_bundle_requests/{id}."""
    return ok(support.get_request(call.caller, call.id, call.stores))


def delete_report_request(call: Call) -> Reply:
    """DELETE support_bundle_requests/{id}."""
    support.delete_request(call.caller, call.id, call.stores)
    return no_content()


def list_reports(call: Call) -> Reply:
    """GET support_reports."""
    return whole(call, support.list_reports(call.caller, call.stores))


def get_report(call: Call) -> Reply:
    """GET support_reports/{id}."""
    return ok(support.get_report(call.caller, call.id, call.stores))


def download_report(call: Call) -> Reply:
    """GET support_reports/{id}/download: 302 to where it lies, since it is larger than an answer
    may be."""
    url = support.download_report(call.caller, call.id, call.stores)
    return json_reply(302, None, {"location": url})
