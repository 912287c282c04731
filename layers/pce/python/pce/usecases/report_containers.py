"""What a container host reports: its pods or containers. And which policies they should hold.

In this order, so that a process that dies on the way leaves nothing that the repeated report does
not repair: rows in the presence table, where a compile names targets; documents, with their entries
in the change log; the report itself, with which the VEN's next equal report is known to be none.
"""

import contextlib
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from pce.errors import Conflict, Invalid, Problem
from pce.events.journal import ResourceChange
from pce.identifiers import OrgId, tail, workload_href
from pce.objects.container_workload import COLLECTION, DEFAULT_NAMESPACE, new_profile, reported
from pce.objects.container_workload_profile import CONTAINER_WORKLOAD_PROFILES
from pce.objects.reported_interfaces import check_interfaces
from pce.presence.record import SILENT
from pce.store.change import Change, Delete, PolicyChange, Put
from pce.store.objects import Stored
from pce.store.presence import token_hash
from pce.timestamps import rfc3339
from pce.usecases.current_etag import current_etag
from pce.usecases.read_containers import join_containers
from pce.usecases.record_return import record_return_and_facts
from pce.usecases.stores import Stores
from pce.usecases.ven_records import VenRecords, ven_action
from ven_protocol.messages import ContainerPolicies, ContainerPolicy, ContainerWorkloadsReport
from ven_protocol.paths import AgentToken, container_workload_id

REPORTS = "container_workload_reports"
TOGETHER = 90
"""Documents in one transaction of at most 100 items."""


def record_container_workloads(
    token: AgentToken,
    report: ContainerWorkloadsReport,
    stores: Stores,
    now: int,
    source_ip: str = "",
) -> None:
    """Store the pods or containers of a container host; policy is computed with what changed.

    A namespace that is seen for the first time gets a profile of its own, a copy of the cluster's
    default one. Raises :class:`Invalid` for a host that is in no container cluster, and for an id
    that is there twice, or an address that is none.
    """
    records = _authenticated(token, stores, now)
    cluster = records.workload.document.get("container_cluster")
    if not cluster:
        message = (
            "this host is in no container cluster: pair it again with --container-cluster and"
            " --cluster-token"
        )
        raise Invalid(Problem("not_a_container_host", message))
    said = {str(container_workload_id(token.ven_id, c.id)): c for c in report.container_workloads}
    if len(said) < len(report.container_workloads):
        message = "container_workloads: two of them have the same id"
        raise Invalid(Problem("container_workload_not_unique", message, "container_workloads"))
    for number, pod in enumerate(report.container_workloads):
        check_interfaces(pod.interfaces, f"container_workloads[{number}].interfaces")
    former = stores.objects.get(records.org_id, REPORTS, str(token.ven_id))
    document = {
        "report": msgspec.to_builtins(report),
        "ids": sorted(said),
        "token": token_hash(token.secret).hex(),
    }
    known = former.document if former else {}
    if {name: known.get(name) for name in document} == document:
        return
    for id in said:
        stores.presence.put_container(records.org_id, uuid.UUID(id), token, now)
    namespaces = {c.namespace or DEFAULT_NAMESPACE for c in said.values()}
    profiles = _profiles(records, cluster["href"], namespaces, stores, now)
    wanted = {
        id: reported(
            records.org_id,
            token.ven_id,
            uuid.UUID(id),
            container,
            cluster["href"],
            profiles[container.namespace or DEFAULT_NAMESPACE],
        )
        for id, container in said.items()
    }
    gone = set(known.get("ids", ())) - said.keys()
    _store(records.org_id, wanted, gone, stores, now)
    event = records.journal(stores, now, ven_action("PUT", 204, source_ip)).event(
        "agent.update_running_containers",
        changes=[ResourceChange("workload", records.resource(), "update", {})],
    )
    put = Put(
        REPORTS,
        str(token.ven_id),
        {**document, "created_at": rfc3339(now)},
        former.rev if former else None,
    )
    stores.objects.commit(records.change([put], [event]))
    for id in gone:
        stores.presence.delete(records.org_id, uuid.UUID(id))


def container_policies(token: AgentToken, stores: Stores, now: int) -> ContainerPolicies:
    """Which policies the managed ones of a host's container workloads should hold.

    One write, as every sign of life; the report; a batch read of the containers, their profiles and
    the host, and one of the presence rows."""
    records = _authenticated(token, stores, now)
    report = stores.objects.get(records.org_id, REPORTS, str(token.ven_id))
    if report is None:
        return ContainerPolicies(container_workloads=[])
    stored = stores.objects.get_many(records.org_id, COLLECTION, report.document["ids"])
    documents = (each.document for each in stored.values())
    joined = join_containers(records.org_id, documents, stores)
    ids = [uuid.UUID(tail(str(each.stored["href"]))) for each in joined]
    rows = stores.presence.get_many(records.org_id, ids)
    found = []
    for container in report.document["report"]["container_workloads"]:
        row = rows.get(container_workload_id(token.ven_id, container["id"]))
        if row is not None:
            etag = current_etag(row, row.applied_etag, stores)
            found.append(ContainerPolicy(id=container["id"], etag=etag))
    return ContainerPolicies(container_workloads=found)


def forget_containers(org_id: OrgId, ven_id: uuid.UUID, stores: Stores, now: int) -> None:
    """A container host leaves: nobody speaks for its container workloads any more. Safe to
    repeat."""
    report = stores.objects.get(org_id, REPORTS, str(ven_id))
    if report is None:
        return
    ids = report.document["ids"]
    for id in ids:
        stores.presence.delete(org_id, uuid.UUID(id))
    _store(org_id, {}, ids, stores, now)
    delete = Delete(REPORTS, str(ven_id), report.rev)
    stores.objects.commit(Change(org_id, deletes=(delete,)))


def _authenticated(token: AgentToken, stores: Stores, now: int) -> VenRecords:
    before = stores.presence.sign_of_life(token, now)
    if before.flags & SILENT:
        record_return_and_facts(before, stores, now)
    return VenRecords.read(stores, before.org_id, before.ven_id)


def _profiles(
    records: VenRecords, cluster_href: str, namespaces: Iterable[str], stores: Stores, now: int
) -> dict[str, str]:
    """Namespace to the href of its profile; made where there is none."""
    collection = CONTAINER_WORKLOAD_PROFILES
    of_cluster = [
        stored.document
        for stored in stores.objects.all_of(records.org_id, collection.name)
        if stored.document["href"].startswith(f"{cluster_href}/")
    ]
    known = {p["namespace"]: str(p["href"]) for p in of_cluster if p.get("namespace")}
    template = next((p for p in of_cluster if p.get("is_default")), None)
    if template is None:
        message = f"{cluster_href} was deleted; pair this host again with another cluster"
        raise Invalid(Problem("container_cluster_not_found", message))
    for namespace in sorted(set(namespaces) - known.keys()):
        # Made from the namespace: of two hosts that see it first, one makes it.
        id = str(uuid.uuid5(uuid.UUID(tail(cluster_href)), namespace))
        at = {"created_at": rfc3339(now), "updated_at": rfc3339(now)}
        by = {"href": records.ven.document["href"]}
        profile = new_profile(template, namespace)
        href = f"{cluster_href}/{collection.name}/{id}"
        profile = {"href": href, **profile, **at, "created_by": by, "updated_by": by}
        event = records.journal(stores, now).event(
            "container_workload_profile.create",
            changes=[ResourceChange(collection.kind, collection.in_event(profile), "create", {})],
        )
        with contextlib.suppress(Conflict):  # another host was faster
            stores.objects.commit(records.change([Put(collection.name, id, profile)], [event]))
        known[namespace] = href
    return known


def _store(
    org_id: OrgId,
    wanted: Mapping[str, dict[str, Any]],
    gone: Iterable[str],
    stores: Stores,
    now: int,
) -> None:
    """Write the documents that became others and delete those that are gone."""
    stored = stores.objects.get_many(org_id, COLLECTION, sorted({*wanted, *gone}))
    changes: list[Put | Delete] = []
    for id, document in sorted(wanted.items()):
        before = stored.get(id)
        if before is None or any(before.document.get(n) != v for n, v in document.items()):
            changes.append(Put(COLLECTION, id, _dated(before, document, now), _rev(before)))
    changes += [Delete(COLLECTION, id, stored[id].rev) for id in sorted(gone) if id in stored]
    for at in range(0, len(changes), TOGETHER):
        some = changes[at : at + TOGETHER]
        hrefs = tuple(workload_href(org_id, change.id) for change in some)
        stores.objects.commit(
            Change(
                org_id,
                puts=tuple(change for change in some if isinstance(change, Put)),
                deletes=tuple(change for change in some if isinstance(change, Delete)),
                policy_changes=(PolicyChange("containers", hrefs),),
            )
        )


def _dated(before: Stored | None, document: Mapping[str, Any], now: int) -> dict[str, Any]:
    at = rfc3339(now)
    created = before.document["created_at"] if before else at
    return {**document, "created_at": created, "updated_at": at}


def _rev(before: Stored | None) -> str | None:
    return before.rev if before else None
