"""Pair a machine: an activation code becomes a VEN, its workload and an agent token."""

import hmac
import re
import uuid
from collections.abc import Mapping
from typing import Any

from pce.errors import Invalid, Problem, Unauthenticated
from pce.events.journal import ResourceChange, ven_actor
from pce.identifiers import INSTALLATION, OrgId, ven_href, workload_href
from pce.objects.container_cluster import CONTAINER_CLUSTERS
from pce.objects.container_cluster import token_hash as cluster_token_hash
from pce.objects.hrefs import item_id
from pce.objects.reported_interfaces import check_interfaces
from pce.objects.ven import new_ven
from pce.objects.workload import new_managed_workload
from pce.pairing.activation import Grant, check_key, code_hash, grant, used_up
from pce.presence.heartbeat import with_clocks
from pce.presence.record import Clocks, VenType
from pce.presence.timers import TimerSettings
from pce.store.change import Change, PolicyChange, PresenceChange, Put
from pce.store.objects import Stored
from pce.store.presence import token_hash
from pce.usecases.run_label_mapping import labels_on_activation
from pce.usecases.stores import Stores, journal
from pce.usecases.ven_records import ven_action
from ven_protocol.messages import Activate, Activated
from ven_protocol.paths import AgentToken

_CODE = re.compile(r"[0-9A-Za-z_-]{16,256}")


def activate_ven(wish: Activate, stores: Stores, now: int, source_ip: str = "") -> Activated:
    """Pair one machine.

    A use of the code is taken first, by a conditional counter that any number of machines can
    share; then everything else is written in one transaction, and if that fails the use is given
    back. A process that dies in between loses a use; a code is never used more often than it
    allows. Raises :class:`Unauthenticated` with ``activation_code_unknown``, ``_expired``,
    ``_used_up`` or ``_disabled``; :class:`Invalid` for a wished label that does not exist and an
    address that is none.
    """
    key, profile = _key_and_profile(wish.activation_code, stores, now)
    limit: int | None = key.document.get("max_uses")
    if not stores.objects.count_up(INSTALLATION, "pairing_keys", key.id, limit):
        raise used_up(limit or 0)
    try:
        return _activate(wish, key, profile, stores, now, source_ip)
    except Exception:
        stores.objects.count_down(INSTALLATION, "pairing_keys", key.id)
        raise


def _activate(
    wish: Activate, key: Stored, profile: Stored, stores: Stores, now: int, source_ip: str
) -> Activated:
    check_interfaces(wish.interfaces)
    org_id = OrgId(key.document["org_id"])
    labels = stores.objects.all_of(org_id, "labels")
    keys = {label.document["href"]: label.document["key"] for label in labels}
    granted = grant(profile.document, wish, keys)
    label_hrefs = granted.label_hrefs + _wished(granted, labels)

    cluster = cluster_of(org_id, wish, stores)
    ven_id = uuid.uuid4()
    token = AgentToken.new(org_id, ven_id)
    agent_id = stores.objects.next_id(org_id, "agents")
    host, interfaces = wish.host, wish.interfaces
    workload = new_managed_workload(
        org_id=org_id,
        ven_id=ven_id,
        host=host,
        interfaces=interfaces,
        label_hrefs=label_hrefs,
        enforcement_mode=granted.enforcement_mode,
        visibility_level=granted.visibility_level,
        ven_type=wish.ven_type,
        cluster=cluster,
        agent_id=agent_id,
        now=now,
    )
    ven = new_ven(
        org_id=org_id,
        ven_id=ven_id,
        host=host,
        ven_type=wish.ven_type,
        machine_id=wish.machine_id,
        pairing_profile_href=profile.document["href"],
        agent_id=agent_id,
        now=now,
    )
    settings = stores.objects.get(org_id, "settings", "org")
    if settings and settings.document.get("automatic_label_application_on_ven_activation"):
        mapped = labels_on_activation(org_id, workload, labels, stores)
        label_hrefs = tuple(mapped)
        workload["labels"] = [{"href": href} for href in mapped]
    write = journal(
        stores,
        org_id,
        ven_actor(org_id, ven_id, host.hostname, agent_id),
        now,
        ven_action("POST", 201, source_ip),
    )
    resource = {"href": workload["href"], "name": None, "hostname": host.hostname}
    created = ResourceChange(
        "workload",
        resource,
        "create",
        {"hostname": {"before": None, "after": host.hostname}},
    )
    clocks = _clocks(org_id, wish.ven_type, label_hrefs, stores)
    stores.objects.commit(
        Change(
            org_id,
            puts=(
                Put("workloads", str(ven_id), workload),
                Put("vens", str(ven_id), ven),
                # Older clients know a VEN by a number.
                Put("agents", item_id(str(agent_id)), {"ven_id": str(ven_id)}),
            ),
            presence=(
                PresenceChange(
                    ven_id,
                    create_at=now,
                    token_hash=token_hash(token.secret),
                    ven_type=wish.ven_type,
                    clocks=clocks,
                ),
            ),
            events=(write.event("agent.activate", changes=[created]),),
            policy_changes=(PolicyChange("activate", (workload["href"],)),),
        )
    )
    return Activated(
        org_id=org_id,
        ven_href=ven_href(org_id, ven_id),
        workload_href=workload_href(org_id, ven_id),
        agent_token=str(token),
        settings=with_clocks(stores.ven_settings, clocks),
        etag="",
    )


def _clocks(
    org_id: OrgId, ven_type: VenType, labels: tuple[str, ...], stores: Stores
) -> Clocks | None:
    """What the org's settings say for it. Two reads."""
    stored = stores.objects.get(org_id, "settings", "workloads")
    org = stores.objects.get(org_id, "settings", "org")
    intervals = stores.ven_settings.intervals
    settings = TimerSettings(
        stored.document if stored else {},
        intervals.heartbeat_s,
        intervals.flows_s,
        bool(org and org.document.get("ven_maintenance_token_required")),
    )
    return settings.timers_for(ven_type, labels).clocks


def _key_and_profile(code: str, stores: Stores, now: int) -> tuple[Stored, Stored]:
    """The code's record and its pairing profile, checked."""
    key = None
    if _CODE.fullmatch(code.strip()):
        key = stores.objects.get(INSTALLATION, "pairing_keys", code_hash(code))
    profile = None
    if key is not None:
        profile = stores.objects.get(
            OrgId(key.document["org_id"]), "pairing_profiles", key.document["profile_id"]
        )
    check_key(key.document if key else None, profile.document if profile else None, now)
    if key is None or profile is None:
        raise AssertionError("check_key refuses a code without record or profile")
    return key, profile


def cluster_of(org_id: OrgId, wish: Activate, stores: Stores) -> dict[str, Any] | None:
    """Href and name of the container cluster that a container host proves to belong to; None for
    other VENs. Raises :class:`Unauthenticated` for a wrong id or token, and :class:`Invalid` when
    only one of type and cluster was said."""
    said = wish.container_cluster
    if (said is None) != (wish.ven_type != "containerized"):
        message = "a VEN of type containerized needs a container_cluster, and no other type has one"
        raise Invalid(Problem("container_cluster_required", message, "container_cluster"))
    if said is None:
        return None
    stored = stores.objects.get(org_id, CONTAINER_CLUSTERS.name, said.id)
    known = str(stored.document["token_hash"]) if stored else ""
    if stored is None or not hmac.compare_digest(cluster_token_hash(said.token), known):
        message = "there is no container cluster with this id and token; see where it was created"
        problem = Problem("invalid_cluster_token", message, "container_cluster")
        raise Unauthenticated(problem)
    return {"href": stored.document["href"], "name": stored.document["name"]}


def _wished(granted: Grant, labels: list[Stored]) -> tuple[str, ...]:
    hrefs = []
    for key, value in granted.wished_labels.items():
        for label in labels:
            document: Mapping[str, Any] = label.document
            named = (document["key"], document["value"]) == (key, value)
            if named and not document.get("deleted"):
                hrefs.append(str(document["href"]))
                break
        else:
            message = f"there is no label {key}={value}; create it before pairing with it"
            raise Invalid(Problem("label_not_found", message, f"labels.{key}"))
    return tuple(hrefs)
