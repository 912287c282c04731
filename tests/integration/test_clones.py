"""Two machines with one VEN's identity: noticed, told once, led apart where an org wants that."""

import math
import time
from collections.abc import Iterator
from typing import Any

import pytest

from pce.errors import NotAllowed, Unauthenticated
from pce.runtime.wiring import Wiring
from pce.usecases.reactivate_clone import reactivate_clone
from pce.usecases.record_heartbeat import record_heartbeat
from tests.fakes.api import Api, new_org
from tests.fakes.installation import Requests, installed
from tests.fakes.pairing import PairedVen, pair
from ven_protocol.messages import Heartbeat, HeartbeatReply, HostFacts, Interface, Reactivate
from ven_protocol.paths import AgentToken

ORIGINAL, CLONE = "machine-1", "machine-2"


@pytest.fixture(scope="module")
def stores() -> Iterator[Wiring]:
    with installed() as stores:
        yield stores


@pytest.fixture
def api(stores: Wiring) -> Api:
    return new_org()


@pytest.fixture
def ven(api: Api, stores: Wiring) -> PairedVen:
    paired = pair(api, stores, "web-1", now(), machine_id=ORIGINAL)
    label = api.post(f"{api.org}/labels", {"key": "role", "value": "web"})["href"]
    api.put(paired.workload_href, {"labels": [{"href": label}], "enforcement_mode": "full"})
    return paired


def now() -> int:
    """The API shows no event from before its org was made, and knows no other clock."""
    return math.ceil(time.time())


def host(machine: str, boot: str) -> HostFacts:
    return HostFacts(hostname="web-1", version="25.2.0", machine_id=machine, boot_id=boot)


def heard(ven: PairedVen, stores: Wiring, machine: str, boot: str) -> HeartbeatReply:
    message = Heartbeat(host=host(machine, boot), uptime_seconds=5)
    return record_heartbeat(ven.token, message, stores, now())


def detected(api: Api) -> list[dict[str, Any]]:
    return list(api.events("agent.clone_detected"))


def test_two_machines_that_take_turns_are_a_clone_told_once(
    api: Api, stores: Wiring, ven: PairedVen
) -> None:
    """One event that needs a person, one condition, however long they go on."""
    for _ in range(3):
        heard(ven, stores, ORIGINAL, "boot-1")
        assert not heard(ven, stores, CLONE, "boot-2").actions
    [event] = detected(api)
    assert (event["severity"], event["status"]) == ("err", None)
    [notification] = event["notifications"]
    assert notification["info"]["agent"]["href"] == ven.href
    [condition] = api.get(ven.href)["conditions"]
    assert condition["latest_event"]["notification_type"] == "agent.clone_detected"
    assert condition["latest_event"]["href"] == event["href"]
    found = api.get(f"{api.org}/vens", condition="agent.clone_detected")
    assert [one["href"] for one in found] == [ven.href]
    assert api.get(ven.workload_href)["online"], "nobody is isolated for it"


def test_a_person_takes_the_condition_away_and_a_clone_is_noticed_anew(
    api: Api, stores: Wiring, ven: PairedVen
) -> None:
    """Cleared, it stays so as long as one machine is heard."""
    for _ in range(2):
        heard(ven, stores, ORIGINAL, "boot-1")
        heard(ven, stores, CLONE, "boot-2")
    path = f"{api.org}/vens/clear_conditions"
    assert api.put(path, {"vens": [{"href": ven.href}]}, 200) == {"errors": []}
    assert api.get(ven.href)["conditions"] == []
    for boot in ("boot-2", "boot-3"):
        heard(ven, stores, CLONE, boot)
    assert api.get(ven.href)["conditions"] == []
    heard(ven, stores, CLONE, "boot-2")
    assert len(api.get(ven.href)["conditions"]) == 1
    assert len(detected(api)) == 2
    assert len(list(api.events("agents.clear_conditions"))) == 1
    unknown = {"vens": [{"href": f"{api.org}/vens/{'0' * 8}-0000-4000-8000-{'0' * 12}"}]}
    assert api.put(path, unknown, 200)["errors"]


def test_machines_that_boot_or_get_another_id_are_no_clones(
    api: Api, stores: Wiring, ven: PairedVen
) -> None:
    """Each boot is a new one, for good; so is a reinstallation. A VEN that says nothing is none."""
    for boot in ("a", "b", "c", "c", "d"):
        heard(ven, stores, ORIGINAL, boot)
    heard(ven, stores, CLONE, "e")
    heard(ven, stores, "", "")
    heard(ven, stores, CLONE, "e")
    assert not detected(api)


def test_a_heartbeat_at_rest_still_is_one_write(stores: Wiring, ven: PairedVen) -> None:
    """A boot costs one more."""
    counts = []
    for boot in ("a", "a", "a", "b", "b"):
        with Requests(stores) as requests:
            heard(ven, stores, ORIGINAL, boot)
        counts.append(requests.counts)
    assert counts[2] == counts[4] == {"UpdateItem": 1}


def test_an_org_may_want_no_detection(api: Api, stores: Wiring, ven: PairedVen) -> None:
    """As in hosts that are set back to snapshots of their memory."""
    api.put(f"{api.org}/settings", {"clone_detection_enabled": False})
    for boot in ("a", "b", "a", "b"):
        heard(ven, stores, ORIGINAL, boot)
    assert not detected(api)


def test_a_clone_becomes_a_ven_of_its_own(api: Api, stores: Wiring, ven: PairedVen) -> None:
    """Where the org wants it: the clone alone is asked, gets the original's labels and mode and a
    token of its own; the original keeps everything, and its condition is gone. A reply that was
    lost makes no second VEN."""
    api.put(f"{api.org}/settings", {"automatic_clone_reactivation": True})
    wish = Reactivate(
        host=host(CLONE, "boot-2"), interfaces=[Interface(name="eth0", address="10.0.0.8")]
    )
    heard(ven, stores, ORIGINAL, "boot-1")
    heard(ven, stores, CLONE, "boot-2")
    assert not heard(ven, stores, ORIGINAL, "boot-1").actions
    [action] = heard(ven, stores, CLONE, "boot-2").actions
    assert action.type == "reactivate"
    made = [reactivate_clone(ven.token, wish, stores, now() + again) for again in (1, 2)]
    assert made[0].ven_href == made[1].ven_href != ven.href

    workload, original = api.get(made[0].workload_href), api.get(ven.workload_href)
    for name in ("labels", "enforcement_mode", "visibility_level"):
        assert workload[name] == original[name]
    assert workload["interfaces"][0]["address"] == "10.0.0.8"
    assert api.get(ven.href)["conditions"] == []
    [activated] = api.events("agent.activate_clone")
    assert activated["resource_changes"][0]["resource"]["workload"]["href"] == workload["href"]

    first, last = (AgentToken.parse(one.agent_token) for one in made)
    assert first and last
    message = Heartbeat(host=host(CLONE, "boot-2"), uptime_seconds=5)
    record_heartbeat(last, message, stores, now() + 3)
    with pytest.raises(Unauthenticated):
        record_heartbeat(first, message, stores, now() + 3)
    assert not heard(ven, stores, ORIGINAL, "boot-1").actions


@pytest.mark.parametrize("machine", [ORIGINAL, ""])
def test_nobody_else_is_paired_in_that_way(
    api: Api, stores: Wiring, ven: PairedVen, machine: str
) -> None:
    """Not the original, nor who does not say which machine it is; nor anybody unasked."""
    with pytest.raises(NotAllowed):
        reactivate_clone(ven.token, Reactivate(host=host(CLONE, "b")), stores, now())
    api.put(f"{api.org}/settings", {"automatic_clone_reactivation": True})
    with pytest.raises(NotAllowed):
        reactivate_clone(ven.token, Reactivate(host=host(machine, "b")), stores, now())
    assert len(api.get(f"{api.org}/vens")) == 1
