"""Unpair VENs: their workloads leave policy at once, the VENs are told to go."""

import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from pce.errors import Conflict, Invalid, PceError, Problem
from pce.events.journal import Notification, ResourceChange
from pce.objects.hrefs import parse_href
from pce.objects.ven import VENS
from pce.objects.workload import WORKLOADS
from pce.store.change import Change, PolicyChange, PresenceChange, Put
from pce.store.objects import Stored
from pce.usecases.caller import Caller
from pce.usecases.check_scope import ScopeCheck
from pce.usecases.stores import Stores
from pce.usecases.write_object import not_found, refuse_deleted, until_settled

MAX_VENS = 1_000
"""VENs in one call; the documented limit."""
UNPAIRED_TOGETHER = 20
"""VENs in one transaction: up to four items each, of at most 100."""
FIREWALL_RESTORE = ("saved", "default", "disable", "recommended", "open")
"""What the VEN leaves behind, in the words of the API and of the VEN's command line."""


def unpair_vens(caller: Caller, body: Any, stores: Stores) -> dict[str, Any]:
    """``{"errors": [{"token", "message", "hrefs"}, ...]}``, empty when all were unpaired.

    The token of a VEN keeps working until the VEN has confirmed, so that it can learn of it.
    """
    restore = _restore(body)
    failed: dict[tuple[str, str], list[str]] = defaultdict(list)
    found: dict[str, tuple[Stored, Stored]] = {}
    check = ScopeCheck(caller, stores)
    for href in _hrefs(body):
        try:
            records = _records(caller, href, stores)
            check.require(WORKLOADS, records[0].document)
            found[href] = records
        except PceError as error:
            failed[_token(error)].append(href)
    hrefs = list(found)
    for first in range(0, len(hrefs), UNPAIRED_TOGETHER):
        batch = hrefs[first : first + UNPAIRED_TOGETHER]
        try:
            _unpair(caller, [found[href] for href in batch], restore, stores)
        except Conflict:
            for href in batch:
                try:
                    until_settled(lambda h=href: _unpair_one(caller, h, restore, stores))  # type: ignore[misc]
                except PceError as error:
                    failed[_token(error)].append(href)
    return {
        "errors": [
            {"token": token, "message": message, "hrefs": hrefs}
            for (token, message), hrefs in failed.items()
        ]
    }


def _unpair_one(caller: Caller, href: str, restore: str, stores: Stores) -> None:
    _unpair(caller, [_records(caller, href, stores)], restore, stores)


def _unpair(
    caller: Caller, records: Sequence[tuple[Stored, Stored]], restore: str, stores: Stores
) -> None:
    puts: list[Put] = []
    presence: list[PresenceChange] = []
    for workload, ven in records:
        gone = {**workload.document, **caller.updated(), "deleted_at": caller.at}
        gone |= {"deleted": True, "online": False}
        uninstalled = {**ven.document, **caller.updated(), "status": "uninstalled", "deleted": True}
        puts.append(Put(WORKLOADS.name, workload.id, gone, workload.rev))
        puts.append(Put(VENS.name, ven.id, uninstalled, ven.rev))
        row = stores.presence.get(caller.org_id, uuid.UUID(ven.id))
        if row is not None:
            actions = ",".join(filter(None, (row.actions, f"unpair:{restore}")))
            presence.append(PresenceChange(row.ven_id, actions=actions, unpaired_at=caller.now_s))
    hrefs = tuple(str(workload.document["href"]) for workload, _ in records)
    event = caller.journal(stores, 200).event(
        "agents.unpair",
        changes=[
            ResourceChange(WORKLOADS.kind, WORKLOADS.in_event(workload.document), "delete", {})
            for workload, _ in records
        ],
        notifications=[Notification("agents.unpair", {"firewall_restore": restore})],
    )
    stores.objects.commit(
        Change(
            caller.org_id,
            puts=tuple(puts),
            presence=tuple(presence),
            releases=tuple(name for w, _ in records for name in WORKLOADS.claims(w.document)),
            events=(event,),
            policy_changes=(PolicyChange("unpair", hrefs),),
        )
    )


def _records(caller: Caller, href: str, stores: Stores) -> tuple[Stored, Stored]:
    """The workload and the VEN itself."""
    parsed = parse_href(href)
    if parsed is None or parsed.org_id != caller.org_id or parsed.collection != VENS.name:
        raise not_found(VENS, href)
    workload = stores.objects.get(caller.org_id, WORKLOADS.name, parsed.id)
    ven = stores.objects.get(caller.org_id, VENS.name, parsed.id)
    if workload is None or ven is None:
        raise not_found(VENS, href)
    refuse_deleted(VENS, ven)
    return workload, ven


def _hrefs(body: Any) -> list[str]:
    """Hrefs of VENs under ``vens``, or of workloads under ``workloads``; each VEN once."""
    listed = None
    if isinstance(body, Mapping):
        listed = body.get("vens", body.get("workloads"))
    hrefs = (
        [e.get("href") for e in listed if isinstance(e, Mapping)]
        if isinstance(listed, list)
        else []
    )
    if not hrefs or len(hrefs) > MAX_VENS or not all(isinstance(href, str) for href in hrefs):
        message = f"vens must be a list of 1 to {MAX_VENS} objects with an href"
        raise Invalid(Problem("invalid_bulk_request", message, "vens"))
    return list(dict.fromkeys(str(href).replace("/workloads/", "/vens/") for href in hrefs))


def _restore(body: Any) -> str:
    said = body.get("firewall_restore") or "saved" if isinstance(body, Mapping) else "saved"
    if said not in FIREWALL_RESTORE:
        message = f"firewall_restore must be one of {', '.join(FIREWALL_RESTORE)}, not {said!r}"
        raise Invalid(Problem("invalid_attribute", message, "firewall_restore"))
    return str(said)


def _token(error: PceError) -> tuple[str, str]:
    return error.problems[0].token, error.problems[0].message
