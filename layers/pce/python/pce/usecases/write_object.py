"""What creating, changing and deleting objects have in common: one commit, tried again when
somebody else was faster, and names that are taken explained."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pce.errors import Conflict, Invalid, NotFound, Problem
from pce.events.journal import ResourceChange
from pce.objects.collection import Collection
from pce.objects.hrefs import item_id
from pce.store.change import Change, Delete, PolicyChange, Put
from pce.store.objects import ClaimTaken, Stored
from pce.usecases.caller import Caller
from pce.usecases.check_scope import ScopeCheck
from pce.usecases.limit_objects import admit_objects
from pce.usecases.stores import Stores

ATTEMPTS = 5
"""Two people who edit one object at the same time meet once or twice, not five times."""

MAX_NAMED = 5
"""Hrefs in the message of a conflict; more would not be read."""

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Edit:
    """What is written to create, change or delete one object."""

    href: str
    change: ResourceChange
    collection: Collection
    states: tuple[Mapping[str, Any], ...]
    """The object (of a rule: its rule set) before and after, as far as it exists."""
    puts: tuple[Put, ...] = ()
    deletes: tuple[Delete, ...] = ()
    claims: tuple[str, ...] = ()
    releases: tuple[str, ...] = ()
    policy_changes: tuple[PolicyChange, ...] = ()

    @property
    def creates(self) -> bool:
        """Whether the collection has one object more with it; a rule lies in one that exists."""
        return (self.change.change_type, self.change.kind) == ("create", self.collection.kind)


def commit_edits(
    caller: Caller, edits: Sequence[Edit], event_type: str, status: int, stores: Stores
) -> None:
    """Write edits and one event of them together, or nothing. Raises :class:`NotAllowed` for what
    lies outside the caller's scopes, :class:`Invalid` for more objects than an org may have, and
    what ``ObjectStore.commit`` does; a conflict names the objects."""
    check = ScopeCheck(caller, stores)
    for edit in edits:
        check.require(edit.collection, *edit.states)
    created = [edit.collection for edit in edits if edit.creates]
    told = admit_objects(caller, created, stores)
    event = caller.journal(stores, status).event(
        event_type,
        severity="warning" if told else "info",
        changes=[edit.change for edit in edits],
        notifications=told,
    )
    reasons: dict[str, list[str]] = {}
    for policy_change in (change for edit in edits for change in edit.policy_changes):
        reasons.setdefault(policy_change.reason, []).extend(policy_change.hrefs)
    change = Change(
        caller.org_id,
        puts=tuple(put for edit in edits for put in edit.puts),
        deletes=tuple(delete for edit in edits for delete in edit.deletes),
        claims=tuple(claim for edit in edits for claim in edit.claims),
        releases=tuple(release for edit in edits for release in edit.releases),
        events=(event,),
        policy_changes=tuple(
            PolicyChange(reason, tuple(dict.fromkeys(hrefs))) for reason, hrefs in reasons.items()
        ),
    )
    try:
        stores.objects.commit(change)
    except ClaimTaken:
        raise
    except Conflict as error:
        named = ", ".join(edit.href for edit in edits[:MAX_NAMED])
        message = f"{named} changed meanwhile; read again and repeat"
        raise Conflict(Problem("conflict", message)) from error


def commit_edit(
    caller: Caller, collection: Collection, edit: Edit, verb: str, status: int, stores: Stores
) -> None:
    """Write one edit; raises :class:`Invalid` instead of a conflict when a name is taken."""
    try:
        commit_edits(caller, [edit], f"{collection.kind}.{verb}", status, stores)
    except ClaimTaken as error:
        raise Invalid(not_unique(collection)) from error


def not_unique(collection: Collection) -> Problem:
    """The problem of a name that another object holds."""
    alike = [" and ".join(attributes) for attributes in collection.unique]
    what = " or ".join(filter(None, [*alike, collection.named_by, "external data reference"]))
    return Problem(
        f"{collection.kind}_not_unique",
        f"there is another {collection.kind} with the same {what}; one that is deleted keeps its"
        " name until the deletion is provisioned",
        collection.unique[0][-1] if collection.unique else None,
    )


def policy_hrefs(collection: Collection, document: Mapping[str, Any]) -> tuple[str, ...]:
    """What the policy compiler must read again when an object that acts at once comes or goes."""
    if collection.name == "service_bindings":
        bound = (document.get(name) for name in ("virtual_service", "workload"))
        return tuple(reference["href"] for reference in bound if reference)
    return (str(document["href"]),)


POLICY_REASONS = {
    "workloads": "workload",
    "labels": "labels",
    "service_bindings": "binding",
    "discovered_virtual_servers": "virtual_server",
    "container_workload_profiles": "containers",
}
"""Collections that policy follows from without provisioning, with the reason in the change log."""


def until_settled(attempt: Callable[[], _Result]) -> _Result:
    """The result of an attempt that reads, decides and commits; again after a conflict."""
    for _ in range(ATTEMPTS - 1):
        try:
            return attempt()
        except Conflict:
            continue
    return attempt()


def find(caller: Caller, collection: Collection, id: str, stores: Stores) -> Stored:
    """The stored object; raises :class:`NotFound`. Drafts that are gone are not found either.

    Cost: one read, and one more for a draft that is marked deleted.
    """
    stored = stores.objects.get(caller.org_id, collection.stored_in, item_id(id))
    if stored is None or (
        collection.provisionable and _is_gone(caller, collection, id, stored, stores)
    ):
        raise not_found(collection, id)
    return stored


def not_found(collection: Collection, id: str) -> NotFound:
    """There is no such object, or it is another org's."""
    return NotFound(Problem(f"{collection.kind}_not_found", f"there is no {collection.kind} {id}"))


def _is_gone(
    caller: Caller, collection: Collection, id: str, stored: Stored, stores: Stores
) -> bool:
    if not stored.document.get("deleted_at"):
        return False
    head = stores.policy_versions.head(caller.org_id)
    return stores.policy_versions.draft(caller.org_id, collection.name, id, head) is None


def refuse_deleted(collection: Collection, stored: Stored) -> None:
    """Raise :class:`Invalid` when the object is deleted, or its deletion waits for provisioning.

    The token ends in ``already_deleted``: clients that delete take it for success.
    """
    if stored.document.get("deleted") or stored.document.get("deleted_at"):
        message = f"{stored.document['href']} was deleted at {stored.document.get('deleted_at')}"
        raise Invalid(Problem(f"{collection.kind}_already_deleted", message))
