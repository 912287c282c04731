"""What the endpoints do that every collection has: list, create, get, update, delete; in bulk.

``api_routes.py`` says which path and method lead here.
"""

from collections.abc import Callable

from pce.identifiers import tail
from pce.objects.collection import Collection
from pce.runtime.api_call import Call, Endpoint, created, listed, no_content, ok, whole
from pce.runtime.http import Reply
from pce.usecases import change_in_bulk, read_hosts, read_objects
from pce.usecases.create_object import create_object
from pce.usecases.delete_object import delete_object
from pce.usecases.update_object import update_object


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


def in_bulk(change: Callable[..., list[change_in_bulk.Result]], collection: Collection) -> Endpoint:
    """PUT a collection's bulk_*: one result per entry."""
    return lambda call: ok(change(call.caller, collection, call.body, call.stores))


def nothing(call: Call) -> Reply:
    """GET a collection that clients load at their start and that is empty in this product."""
    return whole(call, [])
