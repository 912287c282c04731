"""What the endpoints of switches, their ports and their enforcement instructions do."""

from collections.abc import Mapping
from typing import Any

from pce.identifiers import tail
from pce.objects.network_device import NETWORK_DEVICES
from pce.objects.network_endpoint import NETWORK_ENDPOINTS
from pce.objects.network_enforcement_node import NETWORK_ENFORCEMENT_NODES
from pce.runtime.api_call import Call, created, gzipped, listed, no_content, ok
from pce.runtime.http import Reply, json_reply
from pce.usecases import instruct_devices, read_objects
from pce.usecases.create_object import create_object
from pce.usecases.delete_object import delete_object
from pce.usecases.read_objects import Page
from pce.usecases.update_object import update_object
from pce.usecases.write_object import not_found


def list_devices(call: Call) -> Reply:
    """GET the network devices of a node."""
    query = {**call.query, "network_enforcement_node": _node(call)["href"]}
    return listed(
        call,
        lambda limit: read_objects.list_objects(
            call.caller, NETWORK_DEVICES, query, call.stores, limit
        ),
    )


def create_device(call: Call) -> Reply:
    """POST a network device of a node."""
    body = _with(call.body, network_enforcement_node=_node(call))
    device = create_object(call.caller, NETWORK_DEVICES, body, call.stores)
    return created(_device(call, tail(device["href"])))


def list_endpoints(call: Call) -> Reply:
    """GET the ports of a network device."""
    under = _device(call, call.path["device"])["href"]

    def page(limit: int | None) -> Page:
        return read_objects.list_objects(
            call.caller, NETWORK_ENDPOINTS, call.query, call.stores, limit, under
        )

    return listed(call, page)


def create_endpoint(call: Call) -> Reply:
    """POST a port of a network device."""
    device = _device(call, call.path["device"])
    body = _with(call.body, network_device=device)
    endpoint = create_object(
        call.caller, NETWORK_ENDPOINTS, body, call.stores, under=device["href"]
    )
    return created(_endpoint(call, tail(endpoint["href"])))


def get_endpoint(call: Call) -> Reply:
    """GET one port."""
    return ok(_endpoint(call, call.id))


def update_endpoint(call: Call) -> Reply:
    """PUT one port."""
    _endpoint(call, call.id)
    update_object(call.caller, NETWORK_ENDPOINTS, call.id, call.body, call.stores)
    return no_content()


def delete_endpoint(call: Call) -> Reply:
    """DELETE one port."""
    _endpoint(call, call.id)
    delete_object(call.caller, NETWORK_ENDPOINTS, call.id, call.stores)
    return no_content()


def request_instructions(call: Call) -> Reply:
    """POST network_devices/{device}/enforcement_instructions_request: 200 with the device."""
    event = "network_device.request_enforcement_instructions"
    ids = [call.path["device"]]
    instruct_devices.request_instructions(call.caller, ids, call.stores, event)
    return ok(_device(call, ids[0]))


def acknowledge_instructions(call: Call) -> Reply:
    """POST network_devices/{device}/enforcement_instructions_applied: 200 with the device."""
    event = "network_device.ack_enforcement_instructions_applied"
    ids = [call.path["device"]]
    instruct_devices.acknowledge_instructions(call.caller, ids, call.stores, event)
    return ok(_device(call, ids[0]))


def request_instructions_of_many(call: Call) -> Reply:
    """POST network_devices/multi_enforcement_instructions_request: 200 with the devices."""
    event = "network_devices.request_multi_enforcement_instructions"
    ids = instruct_devices.device_ids(call.caller, call.body)
    instruct_devices.request_instructions(call.caller, ids, call.stores, event)
    return ok({"network_devices": [_device(call, id) for id in ids]})


def acknowledge_instructions_of_many(call: Call) -> Reply:
    """POST network_devices/multi_enforcement_instructions_applied: 200 with the devices."""
    event = "network_devices.ack_multi_enforcement_instructions_applied"
    ids = instruct_devices.device_ids(call.caller, call.body)
    instruct_devices.acknowledge_instructions(call.caller, ids, call.stores, event)
    return ok({"network_devices": [_device(call, id) for id in ids]})


def get_instructions(call: Call) -> Reply:
    """GET network_devices/{device}/enforcement_instructions: as they were made last."""
    file = instruct_devices.read_instructions(call.caller, call.path["device"], call.stores)
    if file.url:
        return json_reply(302, None, {"location": file.url})
    return gzipped(file.body, call, "application/json")


def _node(call: Call) -> dict[str, Any]:
    """The node in the path. Raises :class:`NotFound`."""
    return read_objects.get_object(
        call.caller, NETWORK_ENFORCEMENT_NODES, call.path["node"], {}, call.stores
    )


def _device(call: Call, id: str) -> dict[str, Any]:
    """A network device. Raises :class:`NotFound`."""
    return read_objects.get_object(call.caller, NETWORK_DEVICES, id, {}, call.stores)


def _endpoint(call: Call, id: str) -> dict[str, Any]:
    """A port of the device in the path. Raises :class:`NotFound` for one of another."""
    endpoint = read_objects.get_object(call.caller, NETWORK_ENDPOINTS, id, {}, call.stores)
    if tail(endpoint["network_device"]["href"]) != call.path["device"]:
        raise not_found(NETWORK_ENDPOINTS, id)
    return endpoint


def _with(body: Any, **holder: Mapping[str, Any]) -> Any:
    """A body that says where its object lies, as the path does."""
    if not isinstance(body, Mapping):
        return body
    return {**body, **{name: {"href": found["href"]} for name, found in holder.items()}}
