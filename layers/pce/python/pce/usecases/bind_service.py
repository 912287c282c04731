"""Bind workloads to virtual services."""

from typing import Any

from pce.errors import Invalid, Problem
from pce.objects.service_binding import SERVICE_BINDINGS
from pce.usecases.caller import Caller
from pce.usecases.change_in_bulk import Result, bulk_create
from pce.usecases.stores import Stores


def bind_service(caller: Caller, body: Any, stores: Stores) -> list[Result]:
    """One result per entry of the list, in order: ``created`` with the href, or why not.

    Raises :class:`Invalid` when nothing was bound, with what is wrong with each entry.
    """
    results = bulk_create(caller, SERVICE_BINDINGS, body, stores)
    if not any("href" in result for result in results):
        raise Invalid(
            [Problem(result["token"], result["message"]) for result in results]
            or Problem("nothing_to_bind", "the list of bindings is empty")
        )
    return results
