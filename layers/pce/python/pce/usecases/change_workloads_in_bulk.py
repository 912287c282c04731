"""Create, change or delete up to 1,000 workloads in one call, each with a result of its own.

Workloads are written in transactions of a few dozen. What is wrong with one never stops another: a
transaction that fails is tried again workload by workload.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pce.errors import Conflict, Invalid, PceError, Problem, TooLarge
from pce.events.journal import ResourceChange
from pce.identifiers import tail
from pce.objects.hrefs import parse_href
from pce.objects.workload import WORKLOADS
from pce.store.change import Change, PolicyChange, Put
from pce.store.objects import ClaimTaken, Stored
from pce.usecases.caller import Caller
from pce.usecases.check_references import one_label_per_key_problems
from pce.usecases.create_object import identified
from pce.usecases.delete_object import refuse_managed
from pce.usecases.stores import Stores
from pce.usecases.update_object import policy_changes, writable
from pce.usecases.write_object import not_found, not_unique, refuse_deleted

MAX_ITEMS = 1_000
"""Workloads in one call; every public client sends at most so many at a time."""
WRITTEN_TOGETHER = 30
"""Workloads in one transaction: three items each, the event and the change log, at most 100."""
MAX_PROBLEMS = 10
MAX_QUOTED = 1_000
"""Problems of one entry that are named, and characters of what is said of it: all entries together
must fit into one answer, because the other workloads are written by then."""

Result = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Written:
    """What one entry of the request makes of one workload."""

    href: str
    put: Put
    claims: tuple[str, ...]
    releases: tuple[str, ...]
    change: ResourceChange
    policy_changes: tuple[PolicyChange, ...]


def bulk_create(caller: Caller, body: Any, stores: Stores) -> list[Result]:
    """One result per entry, in order: ``created`` with the new href, or why not."""
    entries = _entries(body)
    labels = _labels(caller, entries, stores)

    def make(entry: Any) -> _Written:
        document = WORKLOADS.new_document(entry)
        _check_labels(document, labels)
        document = identified(caller, WORKLOADS, document, stores)
        return _Written(
            href=document["href"],
            put=Put(WORKLOADS.name, tail(document["href"]), document),
            claims=tuple(WORKLOADS.claims(document)),
            releases=(),
            change=_change("create", document, WORKLOADS.changes(None, document)),
            policy_changes=(PolicyChange("workload", (document["href"],)),),
        )

    results = _write(caller, entries, make, "workloads.bulk_create", stores)
    return [_said(result, "created", None) for result in results]


def bulk_update(caller: Caller, body: Any, stores: Stores) -> list[Result]:
    """One result per entry, in order: ``updated``, or why not. Entries name their ``href``."""
    entries = _entries(body)
    labels = _labels(caller, entries, stores)
    stored = _stored(caller, entries, stores)

    def make(entry: Any) -> _Written | None:
        found = _found(caller, entry, stored)
        before = found.document
        after = WORKLOADS.changed_document(before, writable(before, entry))
        if after == before:
            return None
        _check_labels(after, labels)
        after = {**after, **caller.updated()}
        had, has = WORKLOADS.claims(before), WORKLOADS.claims(after)
        return _Written(
            href=after["href"],
            put=Put(WORKLOADS.name, found.id, after, found.rev),
            claims=tuple(name for name in has if name not in had),
            releases=tuple(name for name in had if name not in has),
            change=_change("update", after, WORKLOADS.changes(before, after)),
            policy_changes=policy_changes(WORKLOADS, before, after),
        )

    results = _write(caller, entries, make, "workloads.bulk_update", stores)
    return [
        _said(result, "updated", _href(entry))
        for entry, result in zip(entries, results, strict=True)
    ]


def bulk_delete(caller: Caller, body: Any, stores: Stores) -> list[Result]:
    """One result per entry, in order: its href with ``errors``, empty when it was deleted.

    Managed workloads fail with ``method_not_allowed_error``: clients unpair their VENs then.
    """
    entries = _entries(body)
    stored = _stored(caller, entries, stores)

    def make(entry: Any) -> _Written:
        found = _found(caller, entry, stored)
        refuse_managed(found.document)
        gone = {**found.document, **caller.updated(), "deleted_at": caller.at}
        gone |= {"deleted": True, "online": False}
        return _Written(
            href=gone["href"],
            put=Put(WORKLOADS.name, found.id, gone, found.rev),
            claims=(),
            releases=tuple(WORKLOADS.claims(found.document)),
            change=_change("delete", gone, {}),
            policy_changes=(PolicyChange("workload", (gone["href"],)),),
        )

    results = _write(caller, entries, make, "workloads.bulk_delete", stores)
    return [
        {"href": _href(entry), "errors": [_error(result)] if isinstance(result, PceError) else []}
        for entry, result in zip(entries, results, strict=True)
    ]


def _write(
    caller: Caller,
    entries: Sequence[Any],
    make: Callable[[Any], _Written | None],
    event_type: str,
    stores: Stores,
) -> list[str | PceError]:
    """For each entry the href of its workload, or the error that it met."""
    results: list[str | PceError] = []
    made: list[tuple[int, _Written]] = []
    for at, entry in enumerate(entries):
        try:
            written = make(entry)
        except PceError as error:
            results.append(error)
            continue
        results.append(written.href if written else _href(entry))
        if written:
            made.append((at, written))
    for batch in _batches(made):
        try:
            _commit(caller, [written for _, written in batch], event_type, stores)
        except (Conflict, TooLarge):
            for at, written in batch:
                try:
                    _commit(caller, [written], event_type, stores)
                except ClaimTaken:
                    results[at] = Invalid(not_unique(WORKLOADS))
                except (Conflict, TooLarge) as error:
                    results[at] = error
    return results


def _batches(made: Sequence[tuple[int, _Written]]) -> Iterator[list[tuple[int, _Written]]]:
    """Entries that are written together: DynamoDB refuses a transaction that names one item twice,
    so an entry that repeats an earlier one's workload or names begins a new batch."""
    batch: list[tuple[int, _Written]] = []
    used: set[str] = set()
    for at, written in made:
        names = {written.put.id, *written.claims, *written.releases}
        if len(batch) == WRITTEN_TOGETHER or names & used:
            yield batch
            batch, used = [], set()
        batch.append((at, written))
        used |= names
    if batch:
        yield batch


def _commit(caller: Caller, written: Sequence[_Written], event_type: str, stores: Stores) -> None:
    event = caller.journal(stores, 200).event(event_type, changes=[w.change for w in written])
    reasons: dict[str, list[str]] = {}
    for policy_change in (change for w in written for change in w.policy_changes):
        reasons.setdefault(policy_change.reason, []).extend(policy_change.hrefs)
    stores.objects.commit(
        Change(
            caller.org_id,
            puts=tuple(w.put for w in written),
            claims=tuple(claim for w in written for claim in w.claims),
            releases=tuple(release for w in written for release in w.releases),
            events=(event,),
            policy_changes=tuple(PolicyChange(r, tuple(hrefs)) for r, hrefs in reasons.items()),
        )
    )


def _entries(body: Any) -> list[Any]:
    if not isinstance(body, list) or len(body) > MAX_ITEMS:
        message = f"the body must be a list of at most {MAX_ITEMS} objects"
        raise Invalid(Problem("invalid_bulk_request", message))
    return body


def _labels(
    caller: Caller, entries: Sequence[Any], stores: Stores
) -> Mapping[str, Mapping[str, Any]]:
    """All labels that the entries name, as far as they exist, by href."""
    hrefs = {
        label["href"]
        for entry in entries
        if isinstance(entry, Mapping) and isinstance(entry.get("labels"), list)
        for label in entry["labels"]
        if isinstance(label, Mapping) and isinstance(label.get("href"), str)
    }
    parsed = [p for href in hrefs if (p := parse_href(href))]
    mine = [p for p in parsed if p.org_id == caller.org_id and p.collection == "labels"]
    found = stores.objects.get_many(caller.org_id, "labels", [p.item_id for p in mine])
    return {s.document["href"]: s.document for s in found.values() if not s.document["deleted"]}


def _check_labels(document: Mapping[str, Any], labels: Mapping[str, Mapping[str, Any]]) -> None:
    missing = [r["href"] for r in document["labels"] if r["href"] not in labels]
    problems = [
        Problem("invalid_reference", f"{href} does not exist, or was deleted", href)
        for href in missing
    ] or list(one_label_per_key_problems(document, labels))
    if problems:
        raise Invalid(problems)


def _stored(caller: Caller, entries: Sequence[Any], stores: Stores) -> Mapping[str, Stored]:
    parsed = [parse_href(_href(entry)) for entry in entries]
    ids = [p.id for p in parsed if p and p.org_id == caller.org_id and p.collection == "workloads"]
    return stores.objects.get_many(caller.org_id, WORKLOADS.name, ids)


def _found(caller: Caller, entry: Any, stored: Mapping[str, Stored]) -> Stored:
    href = _href(entry)
    found = stored.get(tail(href))
    if found is None or found.document["href"] != href:
        raise not_found(WORKLOADS, href)
    refuse_deleted(WORKLOADS, found)
    return found


def _href(entry: Any) -> str:
    href = entry.get("href") if isinstance(entry, Mapping) else None
    return href if isinstance(href, str) else ""


def _change(verb: Any, document: Mapping[str, Any], changes: Mapping[str, Any]) -> ResourceChange:
    return ResourceChange(WORKLOADS.kind, WORKLOADS.in_event(document), verb, changes)


def _said(result: str | PceError, status: str, href: str | None) -> Result:
    if isinstance(result, str):
        return {"href": result, "status": status}
    failed = {"status": "validation_failure", **_error(result)}
    return failed if href is None else {"href": href, **failed}


def _error(error: PceError) -> Result:
    problem = error.problems[0]
    message = "; ".join(p.message[:MAX_QUOTED] for p in error.problems[:MAX_PROBLEMS])
    return {"token": problem.token, "message": message[:MAX_QUOTED]}
