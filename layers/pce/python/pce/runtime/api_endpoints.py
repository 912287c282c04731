"""What each endpoint of the management API does: call one use case, give its result a form.

``api_routes.py`` says which path and method lead here.
"""

from collections.abc import Callable, Mapping
from typing import Any

from pce.errors import NotFound, Problem
from pce.identifiers import tail
from pce.objects.collection import Collection
from pce.objects.filters import contains, matching
from pce.objects.label_group import LABEL_GROUPS, members
from pce.objects.product import PRODUCT_VERSION, health, networks
from pce.objects.rule import KINDS
from pce.objects.rule_set import RULE_SETS
from pce.objects.settings import OPTIONAL_FEATURES, Settings
from pce.runtime.api_call import (
    Call,
    Endpoint,
    accepted,
    api_path,
    created,
    gzipped,
    listed,
    no_content,
    ok,
    whole,
)
from pce.runtime.http import Reply, json_reply
from pce.usecases import (
    change_in_bulk,
    edit_rules,
    export_collection,
    read_events,
    read_hosts,
    read_objects,
)
from pce.usecases.apply_staged_policy import apply_staged_policy
from pce.usecases.change_settings import change_settings, read_settings
from pce.usecases.create_object import create_object
from pce.usecases.delete_object import delete_object
from pce.usecases.generate_pairing_key import generate_pairing_key, revoke_pairing_keys
from pce.usecases.read_objects import Page
from pce.usecases.set_keytab import read_kerberos, set_keytab
from pce.usecases.unpair_vens import unpair_vens
from pce.usecases.update_object import update_object
from pce.usecases.update_ven import update_ven

# Objects of any collection


def list_all(collection: Collection) -> Endpoint:
    """GET a collection without policy versions."""
    return lambda call: listed(
        call,
        lambda limit: read_objects.list_objects(
            call.caller, collection, call.query, call.stores, limit
        ),
    )


def get_one(collection: Collection) -> Endpoint:
    """GET an object without policy versions."""
    return lambda call: ok(
        read_objects.get_object(call.caller, collection, call.id, call.query, call.stores)
    )


def create(collection: Collection, under: str = "") -> Endpoint:
    """POST to a collection: 201 with the object as a GET would show it. ``under``: the path between
    the org and the collection."""

    def endpoint(call: Call) -> Reply:
        within = call.caller.path(under) if under else ""
        document = create_object(call.caller, collection, call.body, call.stores, within)
        id = tail(document["href"])
        if collection.provisionable:
            return created(
                read_objects.get_policy_object(call.caller, collection, "draft", id, call.stores)
            )
        if collection.name == "workloads":
            return created(read_hosts.get_workload(call.caller, id, call.stores))
        return created(read_objects.get_object(call.caller, collection, id, {}, call.stores))

    return endpoint


def update(collection: Collection, id: str = "") -> Endpoint:
    """PUT an object; ``id`` when the path has none."""

    def endpoint(call: Call) -> Reply:
        update_object(call.caller, collection, id or call.id, call.body, call.stores)
        return no_content()

    return endpoint


def delete(collection: Collection) -> Endpoint:
    """DELETE an object."""

    def endpoint(call: Call) -> Reply:
        delete_object(call.caller, collection, call.id, call.stores)
        return no_content()

    return endpoint


def list_versioned(collection: Collection) -> Endpoint:
    """GET a collection in a policy version."""
    return lambda call: listed(
        call,
        lambda limit: read_objects.list_policy_objects(
            call.caller, collection, call.version, call.query, call.stores, limit
        ),
    )


def get_versioned(collection: Collection, id: str = "") -> Endpoint:
    """GET an object in a policy version."""
    return lambda call: ok(
        read_objects.get_policy_object(
            call.caller, collection, call.version, id or call.id, call.stores
        )
    )


def nothing(call: Call) -> Reply:
    """GET a collection that clients load at their start and that is empty in this product."""
    return whole(call, [])


# Rules of a rule set


def _rule_set(call: Call, version: str) -> Mapping[str, Any]:
    return read_objects.get_policy_object(
        call.caller, RULE_SETS, version, call.path["rule_set"], call.stores
    )


def list_rules(kind: Collection) -> Endpoint:
    """GET the rules of a rule set, in a policy version."""
    return lambda call: whole(call, list(_rule_set(call, call.version)[KINDS[kind.name]]))


def _rule(call: Call, kind: Collection, version: str, id: str) -> dict[str, Any]:
    for rule in _rule_set(call, version)[KINDS[kind.name]]:
        if tail(rule["href"]) == id:
            return dict(rule)
    message = f"the rule set has no {kind.kind} {id} in {version}"
    raise NotFound(Problem(f"{kind.kind}_not_found", message))


def get_rule(kind: Collection) -> Endpoint:
    """GET one rule, in a policy version."""
    return lambda call: ok(_rule(call, kind, call.version, call.id))


def create_rule(kind: Collection) -> Endpoint:
    """POST a rule into the draft of a rule set."""

    def endpoint(call: Call) -> Reply:
        rule = edit_rules.create_rule(
            call.caller, kind, call.path["rule_set"], call.body, call.stores
        )
        return created(_rule(call, kind, "draft", tail(rule["href"])))

    return endpoint


def update_rule(kind: Collection) -> Endpoint:
    """PUT a rule in the draft of a rule set."""

    def endpoint(call: Call) -> Reply:
        edit_rules.update_rule(
            call.caller, kind, call.path["rule_set"], call.id, call.body, call.stores
        )
        return no_content()

    return endpoint


def delete_rule(kind: Collection) -> Endpoint:
    """DELETE a rule from the draft of a rule set."""

    def endpoint(call: Call) -> Reply:
        edit_rules.delete_rule(call.caller, kind, call.path["rule_set"], call.id, call.stores)
        return no_content()

    return endpoint


# Label groups


def _groups(call: Call) -> list[dict[str, Any]]:
    return read_objects.list_policy_objects(
        call.caller, LABEL_GROUPS, call.version, {}, call.stores, None
    ).documents


def list_groups_with(call: Call) -> Reply:
    """GET label_groups/{id}/member_of: the groups that contain this one."""
    read_objects.get_policy_object(call.caller, LABEL_GROUPS, call.version, call.id, call.stores)
    return whole(
        call,
        [
            group
            for group in _groups(call)
            if any(tail(inner["href"]) == call.id for inner in group["sub_groups"])
        ],
    )


def list_labels_of_group(call: Call) -> Reply:
    """GET label_groups/{id}/all_labels: with those of its sub-groups."""
    group = read_objects.get_policy_object(
        call.caller, LABEL_GROUPS, call.version, call.id, call.stores
    )
    return whole(call, members(group["href"], {g["href"]: g for g in _groups(call)}))


# Workloads and VENs


def list_workloads(call: Call) -> Reply:
    """GET workloads."""
    return _hosts(call, "workloads", read_hosts.list_workloads)


def get_workload(call: Call) -> Reply:
    """GET workloads/{id}."""
    return ok(read_hosts.get_workload(call.caller, call.id, call.stores))


def in_bulk(change: Callable[..., list[change_in_bulk.Result]], collection: Collection) -> Endpoint:
    """PUT a collection's bulk_*: one result per entry."""
    return lambda call: ok(change(call.caller, collection, call.body, call.stores))


def list_vens(call: Call) -> Reply:
    """GET vens."""
    return _hosts(call, "vens", read_hosts.list_vens)


def _hosts(call: Call, collection: str, read: Callable[..., Page]) -> Reply:
    """A list of hosts; a job of a large org is left to a worker."""
    if call.wants_job:
        path = api_path(call.request.path)
        job = export_collection.export_hosts(call.caller, path, collection, call.query, call.stores)
        if job:
            return accepted(job)
    return listed(call, lambda limit: read(call.caller, call.query, call.stores, limit))


def get_ven(call: Call) -> Reply:
    """GET vens/{id}."""
    return ok(read_hosts.get_ven(call.caller, call.id, call.stores))


def change_ven(call: Call) -> Reply:
    """PUT vens/{id}."""
    update_ven(call.caller, call.id, call.body, call.stores)
    return no_content()


def unpair(call: Call) -> Reply:
    """PUT vens/unpair, or the older workloads/unpair."""
    return ok(unpair_vens(call.caller, call.body, call.stores))


def apply_policy(call: Call) -> Reply:
    """PUT workloads/apply_policy."""
    return ok(apply_staged_policy(call.caller, call.body, call.stores))


# Pairing profiles


def create_pairing_key(call: Call) -> Reply:
    """POST pairing_profiles/{id}/pairing_key."""
    code = generate_pairing_key(call.caller, call.id, call.stores)
    return created({"activation_code": code})


def delete_pairing_keys(call: Call) -> Reply:
    """DELETE pairing_profiles/{id}/pairing_keys."""
    revoke_pairing_keys(call.caller, call.id, call.stores)
    return no_content()


# Settings


def get_settings(settings: Settings) -> Endpoint:
    """GET a page of settings."""
    return lambda call: ok(read_settings(call.caller, settings, call.stores))


def put_settings(settings: Settings) -> Endpoint:
    """PUT a page of settings."""

    def endpoint(call: Call) -> Reply:
        change_settings(call.caller, settings, call.body, call.stores)
        return no_content()

    return endpoint


def get_kerberos(call: Call) -> Reply:
    """GET settings/kerberos."""
    return ok(read_kerberos(call.caller, call.stores))


def put_kerberos(call: Call) -> Reply:
    """PUT settings/kerberos."""
    set_keytab(call.caller, call.body, call.stores)
    return no_content()


def get_optional_features(call: Call) -> Reply:
    """GET optional_features: a list."""
    return whole(call, read_settings(call.caller, OPTIONAL_FEATURES, call.stores)["features"])


def put_optional_features(call: Call) -> Reply:
    """PUT optional_features: a list that replaces the one before."""
    change_settings(call.caller, OPTIONAL_FEATURES, {"features": call.body}, call.stores)
    return no_content()


# Events, jobs, and what the PCE says of itself


def list_events(call: Call) -> Reply:
    """GET events: newest first."""

    def read(limit: int | None) -> Page:
        events = read_events.list_events(call.caller, call.query, call.stores, limit)
        return Page(events, len(events))

    return listed(call, read, read_events.DEFAULT_EVENTS)


def get_event(call: Call) -> Reply:
    """GET events/{id}."""
    return ok(read_events.get_event(call.caller, call.id, call.stores))


def list_jobs(call: Call) -> Reply:
    """GET jobs."""
    return whole(call, export_collection.list_jobs(call.caller, call.stores))


def get_job(call: Call) -> Reply:
    """GET jobs/{id}."""
    return ok(export_collection.get_job(call.caller, call.id, call.stores))


def get_datafile(call: Call) -> Reply:
    """GET datafiles/{id}: the array that the job stands for; of a large one, the way there."""
    file = export_collection.read_datafile(call.caller, call.id, call.stores)
    if file.url:
        return json_reply(302, None, {"location": file.url})
    return gzipped(file.body, call, "application/json")


def get_health(call: Call) -> Reply:
    """GET health."""
    return ok(health(call.stores.pce_fqdn, call.caller.at))


def get_product_version(call: Call) -> Reply:
    """GET product_version."""
    return ok(PRODUCT_VERSION)


def list_networks(call: Call) -> Reply:
    """GET networks."""
    found = matching(
        networks(call.caller.org_id),
        {"name": contains("name"), "data_center": contains("data_center")},
        call.query,
    )
    return whole(call, [dict(network) for network in found])


def get_network(call: Call) -> Reply:
    """GET networks/{id}."""
    for network in networks(call.caller.org_id):
        if tail(network["href"]) == call.id:
            return ok(network)
    raise NotFound(Problem("network_not_found", f"there is no network {call.id}"))
