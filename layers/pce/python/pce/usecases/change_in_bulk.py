"""Create, change or delete up to 1,000 objects in one call, each with a result of its own.

Objects are written in transactions of a few dozen. What is wrong with one never stops another: a
transaction that fails is tried again object by object.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pce.errors import Conflict, Invalid, PceError, Problem, TooLarge
from pce.identifiers import tail
from pce.objects.collection import Collection
from pce.objects.hrefs import parse_href
from pce.store.objects import ClaimTaken, Stored
from pce.usecases.caller import Caller
from pce.usecases.check_references import Surroundings, hrefs_to_check
from pce.usecases.check_scope import ScopeCheck
from pce.usecases.create_object import creation, identified
from pce.usecases.delete_object import deletion, refuse_needed
from pce.usecases.find_usage import Users
from pce.usecases.stores import Stores
from pce.usecases.update_object import changed, update
from pce.usecases.write_object import Edit, commit_edits, not_found, not_unique, refuse_deleted

MAX_ITEMS = 1_000
"""Objects in one call; every public client sends at most so many at a time."""
WRITTEN_TOGETHER = 96
"""Items in one transaction, with the event and the change log at most 100: an object and the names
that it takes or gives back."""
MAX_PROBLEMS = 10
MAX_QUOTED = 1_000
"""Problems of one entry that are named, and characters of what is said of it: all entries together
must fit into one answer, because the other objects are written by then."""

Result = dict[str, Any]
Made = Edit | PceError | None
"""What an entry comes to: something to write, an error, or nothing to do."""


def bulk_create(caller: Caller, collection: Collection, body: Any, stores: Stores) -> list[Result]:
    """One result per entry, in order: ``created`` with the new href, or why not."""
    entries = _entries(body)
    documents = [_or_error(collection.new_document, entry) for entry in entries]
    sound = [document for document in documents if not isinstance(document, PceError)]
    check = ScopeCheck(caller, stores)
    around = Surroundings(caller, stores)
    around.look_up({href for d in sound for href in hrefs_to_check(collection, d)})

    def make(document: dict[str, Any] | PceError) -> Made:
        if isinstance(document, PceError):
            return document
        around.check(collection, document)
        edit = creation(collection, identified(caller, collection, document, stores))
        check.require(collection, *edit.states)
        return edit

    made = [_or_error(make, document) for document in documents]
    written = _write(caller, collection, made, "bulk_create", stores)
    return [_said(result, "created", None) for result in written]


def bulk_update(caller: Caller, collection: Collection, body: Any, stores: Stores) -> list[Result]:
    """One result per entry, in order: ``updated``, or why not. Entries name their ``href``."""
    entries = _entries(body)
    stored = _stored(caller, collection, entries, stores)

    def change(entry: Any) -> tuple[Stored, dict[str, Any]]:
        found = _found(collection, entry, stored)
        return found, changed(collection, found.document, entry)

    changes = [_or_error(change, entry) for entry in entries]
    sound = [change for change in changes if not isinstance(change, PceError)]
    check = ScopeCheck(caller, stores)
    around = Surroundings(caller, stores)
    around.look_up(
        {href for f, after in sound for href in hrefs_to_check(collection, after, f.document)}
    )

    def make(change: tuple[Stored, dict[str, Any]] | PceError) -> Made:
        if isinstance(change, PceError):
            return change
        found, after = change
        if after == found.document:
            return None
        around.check(collection, after, found.document)
        check.require(collection, found.document, after)
        return update(caller, collection, found, after, stores)

    made = [_or_error(make, change) for change in changes]
    written = _write(caller, collection, made, "bulk_update", stores)
    return [
        _said(result, "updated", _href(entry))
        for entry, result in zip(entries, written, strict=True)
    ]


def bulk_import(caller: Caller, collection: Collection, body: Any, stores: Stores) -> list[Result]:
    """One result per entry, in order: an entry with an ``href`` changes that object, one without
    makes a new one."""
    entries = _entries(body)
    results: dict[int, Result] = {}
    for do, wanted in ((bulk_update, True), (bulk_create, False)):
        places = [at for at, entry in enumerate(entries) if bool(_href(entry)) is wanted]
        if places:
            done = do(caller, collection, [entries[at] for at in places], stores)
            results |= dict(zip(places, done, strict=True))
    return [results[at] for at in range(len(entries))]


def bulk_delete(caller: Caller, collection: Collection, body: Any, stores: Stores) -> list[Result]:
    """One result per entry, in order: its href with ``errors``, empty when it was deleted.

    Managed workloads fail with ``method_not_allowed_error``: clients unpair their VENs then.
    """
    entries = _entries(body)
    stored = _stored(caller, collection, entries, stores)
    head = stores.policy_versions.head(caller.org_id) if collection.provisionable else None
    provisioned = head.manifest.get(collection.name, {}) if head else {}
    users = Users(caller, collection, stores)
    check = ScopeCheck(caller, stores)

    def make(entry: Any) -> Made:
        found = _found(collection, entry, stored)
        check.require(collection, found.document)
        refuse_needed(caller, collection, found.document, users, stores)
        is_active = tail(found.document["href"]) in provisioned
        return deletion(caller, collection, found, provisioned=is_active)

    made = [_or_error(make, entry) for entry in entries]
    written = _write(caller, collection, made, "bulk_delete", stores)
    return [
        {"href": _href(entry), "errors": [_error(result)] if isinstance(result, PceError) else []}
        for entry, result in zip(entries, written, strict=True)
    ]


def _or_error(do: Callable[[Any], Any], argument: Any) -> Any:
    """What ``do`` returns, or the error that it raises."""
    try:
        return do(argument)
    except PceError as error:
        return error


def _write(
    caller: Caller,
    collection: Collection,
    made: Sequence[Made],
    verb: str,
    stores: Stores,
) -> list[Edit | PceError | None]:
    """For each entry its edit once it is written, or the error that it met."""
    results: list[Edit | PceError | None] = list(made)
    event_type = f"{collection.name}.{verb}"
    # A few collections are filled by POST with a list.
    status = 201 if caller.action and caller.action.method == "POST" else 200
    edits = [(at, edit) for at, edit in enumerate(made) if isinstance(edit, Edit)]
    for batch in _batches(edits):
        try:
            commit_edits(caller, [edit for _, edit in batch], event_type, status, stores)
        except (Conflict, Invalid, TooLarge):
            for at, edit in batch:
                try:
                    commit_edits(caller, [edit], event_type, status, stores)
                except ClaimTaken:
                    results[at] = Invalid(not_unique(collection))
                except (Conflict, Invalid, TooLarge) as error:
                    results[at] = error
    return results


def _batches(edits: Sequence[tuple[int, Edit]]) -> Iterator[list[tuple[int, Edit]]]:
    """Edits that are written together: DynamoDB refuses a transaction that names one item twice,
    so an entry that repeats an earlier one's object or names begins a new batch."""
    batch: list[tuple[int, Edit]] = []
    used: set[str] = set()
    for at, edit in edits:
        names = {edit.href, *edit.claims, *edit.releases}
        if batch and (len(used) + len(names) > WRITTEN_TOGETHER or names & used):
            yield batch
            batch, used = [], set()
        batch.append((at, edit))
        used |= names
    if batch:
        yield batch


def _entries(body: Any) -> list[Any]:
    if not isinstance(body, list) or len(body) > MAX_ITEMS:
        message = f"the body must be a list of at most {MAX_ITEMS} objects"
        raise Invalid(Problem("invalid_bulk_request", message))
    return body


def _stored(
    caller: Caller, collection: Collection, entries: Sequence[Any], stores: Stores
) -> Mapping[str, Stored]:
    """Stored objects by href."""
    parsed = [parse_href(_href(entry)) for entry in entries]
    ids = [
        p.item_id
        for p in parsed
        if p and p.org_id == caller.org_id and p.collection == collection.name
    ]
    found = stores.objects.get_many(caller.org_id, collection.stored_in, ids)
    return {stored.document["href"]: stored for stored in found.values()}


def _found(collection: Collection, entry: Any, stored: Mapping[str, Stored]) -> Stored:
    found = stored.get(_href(entry))
    if found is None:
        raise not_found(collection, _href(entry))
    refuse_deleted(collection, found)
    return found


def _href(entry: Any) -> str:
    href = entry.get("href") if isinstance(entry, Mapping) else None
    return href if isinstance(href, str) else ""


def _said(result: Edit | PceError | None, status: str, href: str | None) -> Result:
    if not isinstance(result, PceError):
        return {"href": result.href if result else href, "status": status}
    failed = {"status": "validation_failure", **_error(result)}
    return failed if href is None else {"href": href, **failed}


def _error(error: PceError) -> Result:
    problem = error.problems[0]
    message = "; ".join(p.message[:MAX_QUOTED] for p in error.problems[:MAX_PROBLEMS])
    return {"token": problem.token, "message": message[:MAX_QUOTED]}
