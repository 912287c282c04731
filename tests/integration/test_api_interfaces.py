"""Interfaces of an unmanaged workload: added, changed and removed one by one."""

import pytest

from tests.fakes.api import Api


@pytest.fixture
def workload(api: Api) -> str:
    interface = {"name": "eth0", "address": "10.0.0.1"}
    return api.post(f"{api.org}/workloads", {"name": "w", "interfaces": [interface]})["href"]


def test_an_interface_comes_and_goes(api: Api, workload: str) -> None:
    """201 with the interface, 204, 204; each is an event of the workload."""
    made = api.post(f"{workload}/interfaces", {"name": "eth1", "address": "10.0.0.2"})
    assert (made["href"], made["loopback"]) == (f"{workload}/interfaces/eth1", False)
    api.put(made["href"], {"cidr_block": 24})
    assert api.get(made["href"])["cidr_block"] == 24
    api.delete(made["href"])
    assert [i["name"] for i in api.get(f"{workload}/interfaces")] == ["eth0"]
    assert api.call("DELETE", made["href"]).tokens == ["interface_not_found"]
    assert len(list(api.events("workload.update"))) == 3


def test_a_name_may_have_several_addresses(api: Api, workload: str) -> None:
    """The same name with the same address is refused; which one a change means must be said."""
    path = f"{workload}/interfaces"
    assert api.call("POST", path, {"name": "eth0", "address": "10.0.0.1"}).status == 406
    api.post(path, {"name": "eth0", "address": "2001:db8::1"})
    assert api.call("PUT", f"{path}/eth0", {"link_state": "up"}).tokens == ["ambiguous_interface"]
    api.put(f"{path}/eth0", {"address": "2001:db8::1", "link_state": "up"})
    assert [i["link_state"] for i in api.get(path)] == [None, "up"]
    api.delete(f"{path}/eth0")
    assert api.get(path) == []


@pytest.mark.parametrize("body", [{"name": "eth1"}, {"name": "e", "address": "x"}, [], "x", None])
def test_what_is_no_interface_is_refused(api: Api, workload: str, body: object) -> None:
    """406, and the workload is as it was."""
    before = api.get(workload)
    assert api.call("POST", f"{workload}/interfaces", body).status == 406
    assert api.get(workload) == before


def test_a_name_may_hold_any_character(api: Api, workload: str) -> None:
    """Names with slashes and spaces come percent-encoded in the path."""
    api.post(f"{workload}/interfaces", {"name": "Ethernet 1/2", "address": "10.0.0.3"})
    assert api.get(f"{workload}/interfaces/Ethernet%201%2F2")["address"] == "10.0.0.3"
