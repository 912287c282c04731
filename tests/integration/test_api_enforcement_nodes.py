"""Network enforcement nodes, switches, their ports, and what the ports should let through."""

import pytest

from pce.runtime.wiring import Wiring
from tests.fakes.api import Api, new_org
from tests.fakes.estate import OrgEstate

PORT = {"name": "GigabitEthernet1/0/11", "endpoint_type": "switch_port"}


@pytest.fixture
def estate(api: Api, stores: Wiring) -> OrgEstate:
    return OrgEstate(api, stores)


def node(api: Api, name: str = "nen-1") -> str:
    body = {"name": name, "hostname": f"{name}.example.com"}
    return str(api.post(f"{api.org}/network_enforcement_nodes", body)["href"])


def switch(api: Api, under: str, name: str = "sw-1") -> str:
    return str(api.post(f"{under}/network_devices", {"name": name})["href"])


def port(api: Api, device: str, *workloads: str, name: str = PORT["name"]) -> str:
    """As clients send it: what the port is under ``config``."""
    body = {"config": {**PORT, "name": name}, "workloads": [{"href": w} for w in workloads]}
    return str(api.post(f"{device}/network_endpoints", body)["href"])


def test_scripts_register_switches_and_their_ports(api: Api) -> None:
    """The calls of public scripts and clients, one after the other, with what they read back."""
    nen = node(api)
    [listed] = api.get(f"{api.org}/network_enforcement_nodes")
    assert (listed["href"], listed["name"], listed["network_devices"]) == (nen, "nen-1", [])
    flat = {
        "name": "API_CISCO_SW_01",
        "description": "lab",
        "device_type": "switch",
        "manufacturer": "Cisco",
        "model": "Nexus",
        "ip_address": "192.0.2.1",
    }
    device = api.post(f"/{nen}/network_devices", flat)
    assert device["config"] == {**flat, "rules_format": "json"}
    assert device["supported_endpoint_type"] == "switch_port"
    assert device["network_enforcement_node"] == {"href": nen}
    # Clients wait until this is null.
    assert device["enforcement_instructions_generation_in_progress"] is None
    [found] = api.get(f"{api.org}/network_devices", max_results="200000")
    assert found["config"]["name"] == "API_CISCO_SW_01"
    workload = api.post(f"{api.org}/workloads", {"name": "umwl-cisco-iot-11"})["href"]
    endpoint = port(api, device["href"], workload)
    [shown] = api.get(f"{device['href']}/network_endpoints")
    assert shown["href"] == endpoint and endpoint.startswith(f"{device['href']}/")
    assert shown["config"] == {**PORT, "traffic_flow_id": None, "workload_discovery": False}
    assert (shown["status"], shown["workloads"]) == ("unmonitored", [{"href": workload}])
    assert shown["network_device"] == {"href": device["href"]}
    assert api.get(f"{api.org}/network_endpoints", workload=workload) == [shown]
    assert api.get(device["href"])["network_endpoints"] == [{"href": endpoint}]
    [listed] = api.get(f"{api.org}/network_enforcement_nodes", hostname="nen-1")
    assert (listed["network_devices"], listed["network_devices_count"]) == (
        [{"href": device["href"]}],
        1,
    )


def test_a_port_changes_in_part(api: Api) -> None:
    """What a PUT does not say stays, inside ``config`` too; what is used stays as well."""
    nen = node(api)
    device = switch(api, nen)
    endpoint = port(api, device)
    api.put(endpoint, {"config": {"traffic_flow_id": "11"}})
    shown = api.get(endpoint)
    assert shown["config"]["traffic_flow_id"] == "11" and shown["config"]["name"] == PORT["name"]
    api.put(device, {"config": {"model": "Nexus"}, "description": "moved"})
    config = api.get(device)["config"]
    assert (config["name"], config["model"], config["description"]) == ("sw-1", "Nexus", "moved")
    for used, token in (
        (nen, "network_enforcement_node_in_use"),
        (device, "network_device_in_use"),
    ):
        assert api.call("DELETE", used).tokens == [token]
    for gone in (endpoint, device, nen):
        api.delete(gone)
        assert api.call("GET", gone).status == 404


def test_what_makes_no_sense_is_refused(api: Api) -> None:
    """Names what is wrong; nothing is stored."""
    nen = node(api)
    device, other = switch(api, nen), switch(api, nen, "sw-2")
    endpoint = port(api, device)
    ports, devices = f"{device}/network_endpoints", f"{api.org}/network_devices"
    for path, body, token in (
        (ports, {}, "required_attribute_missing"),
        (ports, {"config": "port 1"}, "invalid_attribute"),
        (ports, {"config": {**PORT, "endpoint_type": "vlan"}}, "invalid_attribute"),
        (ports, {"config": PORT}, "network_endpoint_not_unique"),
        (ports, {"name": "x", "workloads": [{"href": "/orgs/1/workloads/x"}]}, "invalid_reference"),
        (devices, {"name": "sw-3"}, "required_attribute_missing"),
        (devices, {"name": "sw-1", "network_enforcement_node": {"href": nen}}, "network_device_n"),
        (f"{nen}/network_devices", {"name": "r", "device_type": "router"}, "invalid_attribute"),
        (f"{devices}/multi_enforcement_instructions_request", {}, "invalid_attribute"),
        (f"{device}/enforcement_instructions_applied", {}, "no_enforcement_instructions"),
    ):
        answer = api.call("POST", path, body)
        assert answer.status == 406 and answer.tokens[0].startswith(token), (path, body)
    assert len(api.get(ports)) == 1 and len(api.get(devices)) == 2
    elsewhere = endpoint.replace(device, other)
    for method in ("GET", "PUT", "DELETE"):
        assert api.call(method, elsewhere, {}).status == 404
    moved = api.call("PUT", endpoint, {"network_device": {"href": other}})
    assert moved.tokens == ["network_endpoint_network_device_immutable"]
    assert api.call("GET", f"{device}/enforcement_instructions").status == 404
    stranger = new_org("Other")
    listed = {"network_devices": [{"href": device}]}
    path = f"{stranger.org}/network_devices/multi_enforcement_instructions_request"
    assert stranger.call("POST", path, listed).tokens == ["invalid_attribute"]


def test_instructions_say_what_a_ven_would_enforce(estate: OrgEstate) -> None:
    """For the workloads behind each port, by active policy, with every peer's address."""
    api = estate.api
    web, plc = estate.label("role", "web"), estate.label("role", "plc")
    estate.host("web-1", "10.0.0.1", role=web)
    machine = estate.unmanaged("plc-1", "10.0.9.1", role=plc)
    idle = estate.unmanaged("plc-2", "10.0.9.2", role=plc)
    api.put(machine, {"enforcement_mode": "full"})
    api.put(idle, {"enforcement_mode": "visibility_only"})
    rules = estate.rule_set("plant")
    allowed = estate.allow(rules, [{"label": plc}], [{"label": web}])
    denied = estate.deny(rules, [{"label": plc}], [{"actors": "ams"}])
    api.provision()
    device = switch(api, node(api))
    endpoints = [port(api, device, machine, idle), port(api, device, name="empty")]
    shown = api.post(f"{device}/enforcement_instructions_request", {}, 200)
    assert shown["enforcement_instructions_data_timestamp"]
    assert shown["enforcement_instructions_ack_href"] is None
    said = api.get(shown["enforcement_instructions_data_href"])
    assert said["policy_version"] == 2 and said["network_device"]["name"] == "sw-1"
    first, second = said["network_endpoints"]
    assert [first["href"], second["href"]] == endpoints and second["workloads"] == []
    full, watched = first["workloads"]
    assert (full["href"], full["addresses"]) == (machine, ["10.0.9.1"])
    assert (full["enforcement_mode"], full["default_action"]) == ("full", "block")
    assert (watched["enforcement_mode"], watched["default_action"]) == ("visibility_only", "allow")
    lines = [
        (r["href"], r["action"], r["direction"], r["services"][0]["port"]) for r in full["rules"]
    ]
    assert lines == [
        (allowed.replace("/draft/", "/active/"), "allow", "inbound", 443),
        (denied.replace("/draft/", "/active/"), "block", "inbound", 443),
        (denied.replace("/draft/", "/active/"), "block", "outbound", 443),
    ]
    assert [rule["action"] for rule in watched["rules"]] == ["allow"]  # nothing blocks there
    [peers] = full["rules"][0]["peers"]
    assert said["address_sets"][peers] == {"addresses": ["10.0.0.1"], "fqdns": []}
    applied = api.post(f"{device}/enforcement_instructions_applied", {}, 200)
    assert applied["enforcement_instructions_ack_timestamp"]
    [event] = api.events("network_device.ack_enforcement_instructions_applied")
    [change] = event["resource_changes"]
    assert change["resource"]["network_device"]["href"] == device


def test_instructions_of_many_devices(api: Api) -> None:
    """In one call and one event; one that is not there refuses the call."""
    nen = node(api)
    devices = [switch(api, nen, f"sw-{n}") for n in range(3)]
    path = f"{api.org}/network_devices/multi_enforcement_instructions"
    body = {"network_devices": [{"href": device} for device in devices]}
    made = api.post(f"{path}_request", body, 200)["network_devices"]
    assert [device["href"] for device in made] == devices
    assert all(api.get(d["enforcement_instructions_data_href"]) for d in made)
    missing = {"network_devices": [*body["network_devices"], {"href": f"{devices[0]}x"}]}
    assert api.call("POST", f"{path}_applied", missing).status == 404
    assert api.get(devices[0])["enforcement_instructions_ack_timestamp"] is None
    api.post(f"{path}_applied", body, 200)
    [event] = api.events("network_devices.ack_multi_enforcement_instructions_applied")
    assert len(event["resource_changes"]) == 3


def test_a_load_balancers_credentials_are_not_kept(api: Api) -> None:
    """Nobody here would use them; what is said beside them is."""
    config = {"host": "192.0.2.6", "port": 443, "username": "admin", "credential": "s3cret"}
    body = {"name": "f5", "devices": [{"config": config}]}
    answer = api.call("POST", f"{api.org}/slbs", body)
    assert answer.json["devices"] == [{"config": {"host": "192.0.2.6", "port": 443}}]
    [event] = api.events("slb.create")
    assert b"s3cret" not in answer.raw and "s3cret" not in str(event)
