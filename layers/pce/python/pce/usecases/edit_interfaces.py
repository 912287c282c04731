"""Add, change and remove an interface of an unmanaged workload.

Interfaces lie inside their workload, so each edit is an update of the workload. Those of a managed
workload are what its VEN reports.
"""

from collections.abc import Callable, Mapping
from typing import Any

from pce.errors import Invalid, NotFound, Problem
from pce.objects.workload import WORKLOADS
from pce.usecases.caller import Caller
from pce.usecases.stores import Stores
from pce.usecases.update_object import changed, update
from pce.usecases.write_object import commit_edit, find, refuse_deleted, until_settled

Interfaces = list[Mapping[str, Any]]


def add_interface(caller: Caller, workload_id: str, body: Any, stores: Stores) -> dict[str, Any]:
    """The new interface as it is stored. Raises :class:`Invalid`, also when the workload has this
    name with this address already."""
    after = _edit(caller, workload_id, stores, 201, lambda interfaces: [*interfaces, body])
    return dict(after[-1])


def update_interface(
    caller: Caller, workload_id: str, name: str, body: Any, stores: Stores
) -> None:
    """Change an interface: what is not said stays as it is. A name may stand for several addresses;
    the body's ``address`` says which one then."""

    def edit(interfaces: Interfaces) -> Interfaces:
        said = body if isinstance(body, Mapping) else {}
        if not isinstance(body, Mapping):
            raise Invalid(Problem("invalid_attribute", "the body must be an object"))
        named = [at for at, one in enumerate(interfaces) if one["name"] == name]
        if len(named) > 1:
            named = [at for at in named if interfaces[at]["address"] == said.get("address")]
            if not named:
                message = f"{name} has several addresses; say in address which one is meant"
                raise Invalid(Problem("ambiguous_interface", message, "address"))
        if not named:
            raise _not_found(name)
        changed_one = {**interfaces[named[0]], **said, "name": name}
        return [changed_one if at == named[0] else one for at, one in enumerate(interfaces)]

    _edit(caller, workload_id, stores, 204, edit)


def remove_interface(caller: Caller, workload_id: str, name: str, stores: Stores) -> None:
    """Remove an interface with all its addresses. Raises :class:`NotFound`."""

    def edit(interfaces: Interfaces) -> Interfaces:
        left = [one for one in interfaces if one["name"] != name]
        if len(left) == len(interfaces):
            raise _not_found(name)
        return left

    _edit(caller, workload_id, stores, 204, edit)


def _edit(
    caller: Caller,
    workload_id: str,
    stores: Stores,
    status: int,
    edit: Callable[[Interfaces], list[Any]],
) -> Interfaces:
    """The interfaces after an edit, which is made again when somebody else was faster."""

    def attempt() -> Interfaces:
        stored = find(caller, WORKLOADS, workload_id, stores)
        refuse_deleted(WORKLOADS, stored)
        before = stored.document
        if before.get("managed"):
            message = f"{before['href']} is managed: its VEN reports its interfaces"
            raise Invalid(Problem("workload_interfaces_of_ven", message, "interfaces"))
        after = changed(WORKLOADS, before, {"interfaces": edit(before["interfaces"])})
        if after != before:
            written = update(caller, WORKLOADS, stored, after, stores)
            commit_edit(caller, WORKLOADS, written, "update", status, stores)
        interfaces: Interfaces = after["interfaces"]
        return interfaces

    return until_settled(attempt)


def _not_found(name: str) -> NotFound:
    return NotFound(Problem("interface_not_found", f"the workload has no interface {name}"))
