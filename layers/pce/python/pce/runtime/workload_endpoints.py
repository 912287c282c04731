"""What the endpoints of workloads do, and those by which older clients name its agent."""

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from pce.errors import NotFound, Problem
from pce.objects.hrefs import item_id
from pce.objects.ven import VENS
from pce.objects.workload import WORKLOADS
from pce.runtime.api_call import (
    Call,
    accepted,
    api_path,
    created,
    listed,
    no_content,
    ok,
    whole,
)
from pce.runtime.http import Reply
from pce.usecases import edit_interfaces, export_collection, read_hosts
from pce.usecases.apply_staged_policy import apply_staged_policy
from pce.usecases.read_compatibility import read_compatibility
from pce.usecases.read_objects import Page
from pce.usecases.read_vulnerabilities import findings_of_workloads
from pce.usecases.set_flow_reporting_frequency import set_flow_reporting_frequency as hasten_flows
from pce.usecases.update_object import update_object
from pce.usecases.update_ven import update_ven
from pce.usecases.write_object import find

# Workloads


def list_workloads(call: Call) -> Reply:
    """GET workloads."""
    return listed_hosts(call, "workloads", read_hosts.list_workloads)


def get_workload(call: Call) -> Reply:
    """GET workloads/{id}."""
    return ok(read_hosts.get_workload(call.caller, call.id, call.stores))


def apply_policy(call: Call) -> Reply:
    """PUT workloads/apply_policy."""
    return ok(apply_staged_policy(call.caller, call.body, call.stores))


def set_flow_reporting_frequency(call: Call) -> Reply:
    """POST workloads/set_flow_reporting_frequency."""
    return ok(hasten_flows(call.caller, call.body, call.stores))


def listed_hosts(call: Call, collection: str, read: Callable[..., Page]) -> Reply:
    """A list of hosts; a job of a large org is left to a worker."""
    if call.wants_job:
        path = api_path(call.request.path)
        job = export_collection.export_hosts(call.caller, path, collection, call.query, call.stores)
        if job:
            return accepted(job)
    return listed(call, lambda limit: read(call.caller, call.query, call.stores, limit))


# Interfaces


def list_interfaces(call: Call) -> Reply:
    """GET workloads/{id}/interfaces."""
    return whole(call, _interfaces(call))


def get_interface(call: Call) -> Reply:
    """GET workloads/{id}/interfaces/{name}; of a name with several addresses the first."""
    name = unquote(call.path["name"])
    for interface in _interfaces(call):
        if interface["name"] == name:
            return ok(interface)
    raise NotFound(Problem("interface_not_found", f"the workload has no interface {name}"))


def create_interface(call: Call) -> Reply:
    """POST workloads/{id}/interfaces."""
    made = edit_interfaces.add_interface(call.caller, call.id, call.body, call.stores)
    place = (made["name"], made["address"])
    return created(next(i for i in _interfaces(call) if (i["name"], i["address"]) == place))


def change_interface(call: Call) -> Reply:
    """PUT workloads/{id}/interfaces/{name}."""
    name = unquote(call.path["name"])
    edit_interfaces.update_interface(call.caller, call.id, name, call.body, call.stores)
    return no_content()


def delete_interface(call: Call) -> Reply:
    """DELETE workloads/{id}/interfaces/{name}."""
    name = unquote(call.path["name"])
    edit_interfaces.remove_interface(call.caller, call.id, name, call.stores)
    return no_content()


def _interfaces(call: Call) -> list[dict[str, Any]]:
    workload = read_hosts.get_workload(call.caller, call.id, call.stores)
    href = f"{workload['href']}/interfaces"
    return [{"href": f"{href}/{i['name']}", **i} for i in workload["interfaces"]]


# What is known of the host


def list_processes(call: Call) -> Reply:
    """GET workloads/{id}/processes: those that its VEN reported last."""
    find(call.caller, WORKLOADS, call.id, call.stores)
    stored = call.stores.objects.get(call.caller.org_id, "service_reports", call.id)
    report = (stored.document.get("report") or {}) if stored else {}
    return whole(call, list(report.get("processes") or ()))


def get_risk_details(call: Call) -> Reply:
    """GET workloads/{id}/risk_details: what scanners found on it."""
    workload = find(call.caller, WORKLOADS, call.id, call.stores).document
    found = findings_of_workloads(call.caller, call.stores).get(workload["href"], [])
    return ok({"workload": {"href": workload["href"]}, "detected_vulnerabilities": found})


# The agent, by its number


def change_agent(call: Call) -> Reply:
    """PUT agents/{id}: the older way to change a workload's enforcement mode."""
    update_object(call.caller, WORKLOADS, _ven_id(call), call.body, call.stores)
    return no_content()


def update_agent(call: Call) -> Reply:
    """PUT agents/{id}/update: the older way to change a VEN."""
    update_ven(call.caller, _ven_id(call), call.body, call.stores)
    return no_content()


def get_compatibility_report(call: Call) -> Reply:
    """GET agents/{id}/compatibility_report: the older path of the VEN's."""
    return ok(read_compatibility(call.caller, _ven_id(call), call.stores))


def _ven_id(call: Call) -> str:
    """The VEN behind an agent's number. One read. Raises :class:`NotFound`."""
    stored = call.stores.objects.get(call.caller.org_id, "agents", item_id(call.id))
    if stored is None:
        raise NotFound(Problem("agent_not_found", f"there is no agent {call.id}"))
    id: str = stored.document["ven_id"]
    find(call.caller, VENS, id, call.stores)
    return id
