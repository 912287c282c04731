"""Maintenance tokens: issued by the PCE, checked by the VEN alone, refused and told otherwise."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pce.runtime.wiring import Wiring
from pce.usecases.issue_maintenance_token import MAX_WAITING
from pce.usecases.record_heartbeat import record_heartbeat
from pce.usecases.record_reports import record_tampering
from pce.usecases.sweep_presence import sweep_presence
from tests.fakes.api import Api, new_org
from tests.fakes.installation import fake_aws
from tests.fakes.pairing import PairedVen, pair
from tests.fakes.pce import FakePce, fake_pce, wait_until
from ven.activation import become_ven
from ven.configuration import Server
from ven.edge.files import DataDirectory
from ven.edge.host import host_facts
from ven.edge.simulated import SimulatedKernel
from ven_protocol.maintenance import Accepted, digest_of, new_token
from ven_protocol.messages import (
    Action,
    Heartbeat,
    HeartbeatReply,
    HostFacts,
    Intervals,
    Tampering,
)

SOON = int(time.time()) + 5

# The PCE


def heartbeat(ven: PairedVen, stores: Wiring, **more: Any) -> HeartbeatReply:
    facts = HostFacts(hostname="web-1", version="1.2.3-4")
    message = Heartbeat(host=facts, uptime_seconds=7, settings_digest="another", **more)
    return record_heartbeat(ven.token, message, stores, SOON)


def test_a_token_is_shown_once_and_its_digest_told(api: Api, stores: Wiring) -> None:
    """The VEN gets what it needs to check it; the token itself is in no table and no event."""
    ven = pair(api, stores)
    issued = api.post(f"{ven.href}/maintenance_token", {"expires_in_seconds": 600})
    [action] = heartbeat(ven, stores).actions
    accepted = Accepted.parse(action.params["accept"])
    assert accepted is not None
    assert accepted.opens(issued["token"], SOON)
    assert not accepted.opens(issued["token"], accepted.expires_at)
    assert not accepted.opens(new_token(), SOON)
    assert abs(accepted.expires_at - time.time() - 600) < 60  # by the clock of the API
    assert heartbeat(ven, stores, done_actions=[action.id]).actions == []
    assert len(list(api.events("agent.generate_maintenance_token"))) == 1
    for table in ("objects", "events", "presence"):
        items = fake_aws().client("dynamodb").scan(TableName=table)["Items"]
        assert issued["token"] not in str(items)


def test_the_org_asks_for_tokens_and_its_vens_learn_of_it(api: Api, stores: Wiring) -> None:
    """Those that are paired with the next sweep and heartbeat, new ones when they pair."""
    ven = pair(api, stores)
    api.put(f"{api.org}/settings", {"ven_maintenance_token_required": True})
    for expected in (False, True):
        settings = heartbeat(ven, stores).settings
        assert settings is not None and settings.maintenance_token_required is expected
        sweep_presence(stores, SOON, 60)
    api.put(f"{api.org}/settings", {"ven_maintenance_token_required": False})
    sweep_presence(stores, SOON, 60)
    settings = heartbeat(ven, stores).settings
    assert settings is not None and settings.maintenance_token_required is False


@pytest.mark.parametrize("seconds", [59, 7 * 86_400 + 1, -1, 0, True, "600", None, 1.5])
def test_the_time_of_a_token_is_bounded(api: Api, stores: Wiring, seconds: object) -> None:
    """A minute to a week."""
    ven = pair(api, stores)
    body = {"expires_in_seconds": seconds}
    answer = api.call("POST", f"{ven.href}/maintenance_token", body)
    assert (answer.status, answer.tokens) == (406, ["invalid_attribute"])


def test_tokens_do_not_pile_up_for_a_ven_that_is_away(api: Api, stores: Wiring) -> None:
    """It could not know them anyhow."""
    ven = pair(api, stores)
    for _ in range(MAX_WAITING):
        api.post(f"{ven.href}/maintenance_token", {})
    answer = api.call("POST", f"{ven.href}/maintenance_token", {})
    assert (answer.status, answer.tokens) == (406, ["too_many_maintenance_tokens"])


def test_nobody_gets_a_token_for_another_orgs_ven(api: Api, stores: Wiring) -> None:
    """By its own href or under the caller's org."""
    ven, stranger = pair(api, stores), new_org("stranger")
    assert stranger.call("POST", f"{ven.href}/maintenance_token", {}).status == 403
    own = ven.href.replace(api.org, stranger.org, 1)
    assert stranger.call("POST", f"{own}/maintenance_token", {}).status == 404
    assert heartbeat(ven, stores).actions == []


def test_a_refused_command_is_an_event(api: Api, stores: Wiring) -> None:
    """Of severity err, told apart from changes to the firewall."""
    ven = pair(api, stores)
    said = Tampering(
        kind="agent", num_reverts=0, revert_succeeded=True, detail="ven stop: no token"
    )
    record_tampering(ven.token, said, stores, int(time.time()) + 1)
    [event] = wait_until("the event", lambda: list(api.events("agent.tampering")))
    assert event["severity"] == "err"
    [notification] = event["notifications"]
    assert notification["notification_type"] == "agent.maintenance_token_refused"
    assert notification["info"]["detail"] == "ven stop: no token"


# The VEN


@pytest.fixture
def pce(tmp_path: Path) -> Iterator[FakePce]:
    with fake_pce(tmp_path) as running:
        running.intervals = Intervals(heartbeat_s=1, flows_s=600)
        running.token_required = True
        yield running


@pytest.fixture
def data(tmp_path: Path, pce: FakePce) -> DataDirectory:
    found = DataDirectory(tmp_path / "ven")
    server, ca_file = Server.parse(pce.server), Path(pce.ca_file)
    become_ven(found, SimulatedKernel("web"), host_facts("web"), server, pce.code, ca_file)
    return found


def ven(data: DataDirectory, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ven", "--data-dir", str(data.path), "--simulate", *words]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, env=environment, check=False
    )


def test_local_commands_need_the_token_also_without_the_pce(
    pce: FakePce, data: DataDirectory
) -> None:
    """Without one, with a wrong one and with one that has expired: refused, told, and the VEN goes
    on. With the good one it stops, though the PCE does not answer."""
    token, old = new_token(), new_token()
    accepted = Accepted(digest_of(token), int(time.time()) + 600)
    pce.actions = [
        Action(id="t", type="maintenance_token", params={"accept": str(accepted)}),
        Action(
            id="o", type="maintenance_token", params={"accept": str(Accepted(digest_of(old), 1))}
        ),
    ]
    try:
        assert ven(data, "start").returncode == 0
        wait_until("the token told", lambda: not pce.actions)
        for words in (
            ["stop"],
            ["--maintenance-token", new_token(), "suspend"],
            ["--maintenance-token", old, "unpair", "open"],
            ["restart"],
        ):
            refused = ven(data, *words)
            assert refused.returncode == 1 and "maintenance token" in refused.stderr
        assert data.running_pid() and not data.suspended
        said = [report.detail for report in pce.tampering()]
        assert [detail.split(":")[0] for detail in said] == [
            "ven stop", "ven suspend", "ven unpair", "ven restart",
        ]  # fmt: skip
        assert token not in (data.path / "maintenance.json").read_text()
        pce.say = dict.fromkeys(("heartbeat", "goodbye", "tampering"), 503)
        stopped = ven(data, "--maintenance-token", token, "stop")
        assert stopped.returncode == 0, stopped.stderr
        assert data.running_pid() is None
    finally:
        if pid := data.running_pid():
            os.kill(pid, 9)


def test_commands_that_weaken_nothing_need_no_token(pce: FakePce, data: DataDirectory) -> None:
    """Looking is free."""
    for word in ("status", "workloads", "version"):
        assert "maintenance" not in ven(data, word).stderr
