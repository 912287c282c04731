"""Ask what the label mapping rules would do to workloads; read the answer; have it done.

A worker finds out (``run_label_mapping.py``) and leaves a file with each workload whose labels
would become others. Nothing is labelled before somebody says so, for all of them or some.
"""

import gzip
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from pce.errors import Conflict, Invalid, NotAllowed, NotFound, PceError, Problem
from pce.events.journal import ResourceChange
from pce.identifiers import tail
from pce.objects.fields import Flag, ListOf, Reference, Shape
from pce.objects.hrefs import item_id
from pce.objects.label_mapping_rule import LABEL_MAPPING_RULES
from pce.objects.policy_version import references
from pce.objects.workload import WORKLOADS
from pce.store.change import Change, Put
from pce.usecases.caller import Caller
from pce.usecases.check_references import existing
from pce.usecases.check_scope import ScopeCheck
from pce.usecases.export_collection import (
    KEPT_S,
    MAX_FILE_IN_ANSWER,
    Datafile,
    file_key,
)
from pce.usecases.stores import Stores
from pce.usecases.update_object import update
from pce.usecases.vens_in_bulk import MAX_IN_ONE_CALL, errors_by_cause, hrefs_in
from pce.usecases.write_object import Edit, commit_edits, find, refuse_deleted, until_settled

RUNS = "label_mapping_runs"
TOGETHER = 40
"""Workloads that are labelled in one transaction of at most 100 items."""

_SHAPE = Shape(
    {
        "label_mapping_rules": ListOf(Reference(LABEL_MAPPING_RULES.name), max_entries=500),
        "workloads": ListOf(Reference(WORKLOADS.name), max_entries=MAX_IN_ONE_CALL),
        "overwrite": Flag(),
    }
)
_PRIVATE = ("kept_until",)


def start_run(caller: Caller, body: Any, stores: Stores) -> dict[str, Any]:
    """A run that waits for its worker: of the rules that are named, or all that are enabled, on the
    workloads that are named, or all. Raises :class:`Invalid`, also for what is not there."""
    said = _SHAPE.clean(body)
    existing(caller, references(said), stores)
    id = str(uuid.uuid4())
    run: dict[str, Any] = {
        "href": caller.path(LABEL_MAPPING_RULES.name, "run", id),
        "label_mapping_rules": said.get("label_mapping_rules") or [],
        "workloads": said.get("workloads") or [],
        "overwrite": bool(said.get("overwrite")),
        "status": "pending",
        "requested_at": caller.at,
        "requested_by": caller.by,
        "kept_until": caller.now_s + KEPT_S,
    }
    put = Put(RUNS, id, run, ttl=run["kept_until"])
    asked = {name: {"before": None, "after": run[name]} for name in _SHAPE.fields if run[name]}
    asked["status"] = {"before": None, "after": run["status"]}
    change = ResourceChange("label_mapping_run", {"href": run["href"]}, "create", asked)
    event = caller.journal(stores, 202).event("label_mapping_rules.run", changes=[change])
    stores.objects.commit(Change(caller.org_id, puts=(put,), events=(event,)))
    stores.queues.run_label_mapping(caller.org_id, id)
    return _shown(run)


def get_run(caller: Caller, id: str, stores: Stores) -> dict[str, Any]:
    """How a run stands; when it is ``done``, how many workloads it would change. Raises
    :class:`NotFound`."""
    return _shown(_find(caller, id, stores))


def read_result(caller: Caller, id: str, stores: Stores) -> Datafile:
    """What a run found: a list of workloads, with their labels before and after; of a large one the
    way there. Raises :class:`NotFound` until it is done."""
    body = _result(caller, id, stores)
    if len(body) > MAX_FILE_IN_ANSWER:
        return Datafile(url=stores.archive.presigned_get(file_key(caller.org_id, id)))
    return Datafile(body)


def _result(caller: Caller, id: str, stores: Stores) -> bytes:
    status = _find(caller, id, stores)["status"]
    body = stores.archive.get(file_key(caller.org_id, id)) if status == "done" else None
    if body is None:
        message = f"the run {id} has no result; its status is {status}"
        raise NotFound(Problem("label_mapping_result_not_found", message))
    return body


def assign_labels(caller: Caller, id: str, body: Any, stores: Stores) -> dict[str, Any]:
    """Give workloads the labels that a run found for them: those that ``workloads`` names, or all.
    A workload whose labels became others since is left as it is, and named.

    Returns ``{"errors": [{"token", "message", "hrefs"}, ...]}``. Raises :class:`Invalid` for more
    than 1,000 workloads.
    """
    entries = msgspec.json.decode(gzip.decompress(_result(caller, id, stores)))
    found = {entry["href"]: entry for entry in entries}
    named = isinstance(body, Mapping) and "workloads" in body
    wanted = hrefs_in(body, "workloads") if named else list(found)
    if len(wanted) > MAX_IN_ONE_CALL:
        message = (
            f"the run found {len(wanted)} workloads; name at most {MAX_IN_ONE_CALL} at a time in"
            " workloads"
        )
        raise Invalid(Problem("invalid_bulk_request", message, "workloads"))
    failed: dict[tuple[str, str], list[str]] = defaultdict(list)
    known = [href for href in wanted if href in found]
    for href in sorted(set(wanted) - set(known)):
        failed["label_mapping_not_found", f"the run {id} found no other labels for it"].append(href)
    for first in range(0, len(known), TOGETHER):
        batch = [found[href] for href in known[first : first + TOGETHER]]
        try:
            _assign(caller, batch, stores)
        except PceError:
            for entry in batch:
                try:
                    until_settled(lambda e=entry: _assign(caller, [e], stores))  # type: ignore[misc]
                except (Invalid, NotFound, NotAllowed, Conflict) as error:
                    problem = error.problems[0]
                    failed[problem.token, problem.message].append(entry["href"])
    return errors_by_cause(failed)


def _assign(caller: Caller, entries: Sequence[Mapping[str, Any]], stores: Stores) -> None:
    check = ScopeCheck(caller, stores)
    edits: list[Edit] = []
    for entry in entries:
        stored = find(caller, WORKLOADS, item_id(tail(entry["href"])), stores)
        refuse_deleted(WORKLOADS, stored)
        has = [label["href"] for label in stored.document.get("labels") or ()]
        if has == entry["labels_after"]:
            continue
        if has != entry["labels_before"]:
            message = "its labels became others since the run; run again"
            raise Invalid(Problem("labels_changed", message))
        after = {**stored.document, "labels": [{"href": h} for h in entry["labels_after"]]}
        check.require(WORKLOADS, stored.document, after)
        edits.append(update(caller, WORKLOADS, stored, after, stores))
    if edits:
        commit_edits(caller, edits, "workloads.set_labels", 200, stores)


def _find(caller: Caller, id: str, stores: Stores) -> Mapping[str, Any]:
    stored = stores.objects.get(caller.org_id, RUNS, id)
    if stored is None or stored.document["kept_until"] <= caller.now_s:
        message = f"there is no run {id}; runs are kept for a day"
        raise NotFound(Problem("label_mapping_run_not_found", message))
    return stored.document


def _shown(run: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in run.items() if name not in _PRIVATE}
