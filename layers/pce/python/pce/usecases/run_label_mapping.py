"""Find out what the label mapping rules would do: the worker's part of ``map_labels.py``; and what
they give a VEN that is being activated."""

import gzip
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import msgspec

from pce.errors import Conflict
from pce.identifiers import OrgId, tail
from pce.objects.hrefs import item_id
from pce.objects.label_mapping import asks_services, facts_of, labels_for
from pce.objects.workload import WORKLOADS
from pce.store.change import Change, Put
from pce.store.objects import Stored
from pce.timestamps import rfc3339
from pce.usecases.export_collection import file_key
from pce.usecases.map_labels import RUNS
from pce.usecases.order_mapping_rules import ordered_rules
from pce.usecases.stores import Stores

BATCH = 1_000
"""Workloads whose reports of services are read together: ten requests, some MB."""

Document = Mapping[str, Any]


def run_label_mapping(
    org_id: OrgId, run_id: str, stores: Stores, clock: Callable[[], float]
) -> None:
    """Bring a run to its end. Safe to repeat: one that is done or gone is left alone.

    One that cannot be done becomes ``failed``, and what went wrong is raised. Cost: 256 queries for
    the workloads of an org; where a rule asks for processes or ports a batch read per 100; half a
    microsecond of a core for each rule and workload.
    """
    stored = stores.objects.get(org_id, RUNS, run_id)
    if stored is None or stored.document["status"] == "done":
        return
    run = stored.document
    try:
        seen, found = _found(org_id, run, stores)
        body = gzip.compress(msgspec.json.encode(found), compresslevel=3)
        stores.archive.put(file_key(org_id, run_id), body, "application/gzip")
    except Exception as error:
        said = {"status": "failed", "message": f"our fault: {type(error).__name__}"}
        _finish(org_id, stored, {**run, **said}, stores)
        raise
    done = {"status": "done", "terminated_at": rfc3339(clock())}
    counts = {"workloads_seen": seen, "workloads_to_label": len(found)}
    _finish(org_id, stored, {**run, **done, **counts}, stores)


def labels_on_activation(
    org_id: OrgId, workload: Document, labels: Iterable[Stored], stores: Stores
) -> list[str]:
    """Hrefs of the labels of a workload that is new, with those that enabled rules add; what its
    pairing profile gave stays. Two requests."""
    current = [label["href"] for label in workload["labels"]]
    rules = [rule for rule in ordered_rules(org_id, stores) if rule["enabled"]]
    return labels_for(rules, facts_of(workload), current, _keys(labels))


def _keys(labels: Iterable[Stored]) -> dict[str, str]:
    """Key of each label that exists."""
    known = [label.document for label in labels]
    return {label["href"]: label["key"] for label in known if not label.get("deleted")}


def _found(org_id: OrgId, run: Document, stores: Stores) -> tuple[int, list[dict[str, Any]]]:
    named = {rule["href"] for rule in run["label_mapping_rules"]}
    rules = [
        rule
        for rule in ordered_rules(org_id, stores)
        if rule["enabled"] and (not named or rule["href"] in named)
    ]
    keys = _keys(stores.objects.all_of(org_id, "labels"))
    needs_services = any(asks_services(rule["expression"]) for rule in rules)
    seen, found = 0, []
    for batch in _batches(_workloads(org_id, run, stores)):
        ids = [tail(workload["href"]) for workload in batch] if needs_services else []
        reports = stores.objects.get_many(org_id, "service_reports", ids)
        for workload in batch:
            seen += 1
            report = reports.get(tail(workload["href"]))
            facts = facts_of(workload, report.document["report"] if report else None)
            before = [label["href"] for label in workload.get("labels") or ()]
            after = labels_for(rules, facts, before, keys, overwrite=run["overwrite"])
            if after != before:
                found.append(
                    {
                        "href": workload["href"],
                        "name": workload.get("name"),
                        "hostname": workload.get("hostname"),
                        "labels_before": before,
                        "labels_after": after,
                    }
                )
    return seen, found


def _workloads(org_id: OrgId, run: Document, stores: Stores) -> Iterator[Document]:
    ids = [item_id(tail(workload["href"])) for workload in run["workloads"]]
    stored = (
        stores.objects.get_many(org_id, WORKLOADS.name, ids).values()
        if ids
        else stores.objects.one_by_one(org_id, WORKLOADS.name)
    )
    return (one.document for one in stored if not one.document.get("deleted"))


def _batches(workloads: Iterator[Document]) -> Iterator[Sequence[Document]]:
    while batch := list(islice(workloads, BATCH)):
        yield batch


def _finish(org_id: OrgId, stored: Stored, run: Document, stores: Stores) -> None:
    put = Put(RUNS, stored.id, run, stored.rev, ttl=run["kept_until"])
    try:
        stores.objects.commit(Change(org_id, puts=(put,)))
    except Conflict:
        return  # another worker was faster
