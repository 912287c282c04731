"""A VEN whose token is refused gets another one by a code that an operator was given."""

import json
import time
import uuid
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from functions.ven_lifecycle.handler import handler
from pce.errors import Unauthenticated
from pce.identifiers import OrgId
from pce.runtime.wiring import Wiring
from pce.store.change import Change, PresenceChange
from pce.store.presence import token_hash
from pce.usecases import recover_authentication
from pce.usecases.record_heartbeat import record_heartbeat
from tests.fakes.api import Api, new_org
from tests.fakes.pairing import PairedVen, pair
from tests.fakes.people import member
from ven import cli
from ven.configuration import Identity
from ven.edge.files import DataDirectory
from ven_protocol.messages import Heartbeat, HostFacts, Intervals, Settings
from ven_protocol.paths import AgentToken

HEARTBEAT = Heartbeat(host=HostFacts(hostname="web-1", version="1.2.3-4"), uptime_seconds=60)


@pytest.fixture
def ven(api: Api, stores: Wiring) -> PairedVen:
    """One whose token the PCE has forgotten."""
    ven = pair(api, stores, now=int(time.time()))
    forgotten = PresenceChange(ven.id, token_hash=token_hash("another"))
    stores.objects.commit(Change(_org(ven), presence=(forgotten,)))
    with pytest.raises(Unauthenticated):
        _heartbeat(ven.token, stores)
    return ven


def _org(ven: PairedVen) -> OrgId:
    return OrgId(ven.token.org_id)


def _heartbeat(token: AgentToken, stores: Wiring) -> None:
    record_heartbeat(token, HEARTBEAT, stores, int(time.time()))


def _code(api: Api, ven: PairedVen, **more: Any) -> str:
    body = {"vens": [{"href": ven.href}], **more}
    said = api.put(f"{api.org}/vens/authentication_recovery", body, 200)
    assert said["errors"] == []
    [code] = said["recovery_codes"]
    assert code["href"] == ven.href
    return str(code["code"])


def _show(ven: PairedVen, code: str, org: int | None = None) -> dict[str, Any]:
    """What the function answers to a VEN that shows a code."""
    path = f"/ven/v1/orgs/{org or _org(ven)}/vens/{ven.id}"
    return handler(
        {
            "requestContext": {"http": {"method": "POST", "sourceIp": "192.0.2.9"}},
            "rawPath": f"{path}/recovery",
            "pathParameters": {"org_id": str(org or _org(ven)), "ven_id": str(ven.id)},
            "headers": {},
            "body": json.dumps({"code": code}),
        },
        None,
    )


def _refused(reply: dict[str, Any]) -> bool:
    tokens = [problem["token"] for problem in json.loads(reply["body"])]
    return (reply["statusCode"], tokens) == (401, ["recovery_code_refused"])


def test_a_code_gives_a_new_token_once(api: Api, stores: Wiring, ven: PairedVen) -> None:
    """The VEN stays who it is; both steps are events, and the code is kept as a hash alone."""
    code = _code(api, ven)
    [asked] = api.events("vens.authentication_recovery")
    assert asked["severity"] == "warning" and ven.workload_href in json.dumps(asked)
    stored = stores.objects.get(_org(ven), recover_authentication.CODES, str(ven.id))
    assert stored is not None and code not in json.dumps([stored.document, asked])
    reply = _show(ven, code)
    assert reply["statusCode"] == 200
    token = AgentToken.parse(json.loads(reply["body"])["agent_token"])
    assert token is not None and token.ven_id == ven.id
    _heartbeat(token, stores)
    [recovered] = api.events("agent.refresh_token")
    assert recovered["notifications"][0]["notification_type"] == "agent.authentication_recovered"
    assert recovered["action"]["src_ip"] == "192.0.2.9"
    assert _refused(_show(ven, code))
    with pytest.raises(Unauthenticated):
        _heartbeat(ven.token, stores)


def test_a_code_is_good_for_its_ven_and_its_time(api: Api, stores: Wiring, ven: PairedVen) -> None:
    """Not for another VEN or org, not when a newer one was made, not after its time."""
    old, code = _code(api, ven), _code(api, ven, expires_in_seconds=600)
    other = pair(api, stores, "web-2", now=int(time.time()))
    stranger = pair(new_org("Other"), stores, now=int(time.time()))
    for reply in (
        _show(ven, old),
        _show(ven, "nonsense"),
        _show(other, code),
        _show(stranger, code),
        _show(ven, code, org=int(_org(stranger))),
    ):
        assert _refused(reply)
    with mock.patch("functions.ven_lifecycle.handler.now_s", lambda: int(time.time()) + 601):
        assert _refused(_show(ven, code))
    assert _show(ven, code)["statusCode"] == 200


def test_two_who_show_one_code_at_once(api: Api, stores: Wiring, ven: PairedVen) -> None:
    """One gets a token."""
    code = _code(api, ven)
    read = recover_authentication.VenRecords.read
    replies: list[dict[str, Any]] = []

    def overtaken(*arguments: Any) -> Any:
        with mock.patch.object(recover_authentication.VenRecords, "read", read):
            if not replies:
                replies.append({})
                replies[0] = _show(ven, code)
        return read(*arguments)

    stored = stores.objects.get(_org(ven), recover_authentication.CODES, str(ven.id))
    with (
        mock.patch.object(recover_authentication.VenRecords, "read", overtaken),
        mock.patch.object(
            stores.objects,
            "get",
            lambda *a, get=stores.objects.get: (
                stored if a[1] == recover_authentication.CODES else get(*a)
            ),
        ),
    ):
        second = _show(ven, code)
    assert replies[0]["statusCode"] == 200
    assert _refused(second)


def test_who_may_open_a_way(api: Api, stores: Wiring, ven: PairedVen) -> None:
    """Who may edit the workload; VENs that do not exist are named."""
    path, nobody = f"{api.org}/vens/authentication_recovery", f"{api.org}/vens/{uuid.uuid4()}"
    body = {"vens": [{"href": ven.href}]}
    assert member(api, stores, "read_only").call("PUT", path, body).status == 403
    label = api.post(f"{api.org}/labels", {"key": "role", "value": "web"})
    scope = [{"label": {"href": label["href"]}}]
    scoped = member(api, stores, "workload_manager", scope)
    said = scoped.put(path, body, 200)
    assert (said["recovery_codes"], said["errors"][0]["token"]) == ([], "outside_scope")
    said = api.put(path, {"vens": [{"href": nobody}]}, 200)
    assert said["errors"][0]["hrefs"] == [nobody]
    for wrong in ({}, {**body, "expires_in_seconds": 5}, {"vens": []}):
        assert api.call("PUT", path, wrong).status == 406


def test_the_command_keeps_the_new_token(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """``ven recover`` shows the code and writes down what comes back; without a code it asks."""
    data = DataDirectory(tmp_path)
    data.save_identity(
        Identity(
            server="pce.example.com:443",
            ven_href="/orgs/1/vens/x",
            workload_href="/orgs/1/workloads/x",
            agent_token="old-token",
            settings=Settings(
                intervals=Intervals(heartbeat_s=300, flows_s=600),
                bolts_url="wss://pce.example.com/bolts",
            ),
        )
    )
    with mock.patch("ven.activation.connected") as connected:
        connected.return_value.__enter__.return_value.recover.return_value = "new-token"
        assert cli.main(["--data-dir", str(tmp_path), "recover", "--code", "c0de"]) == 0
    connected.return_value.__enter__.return_value.recover.assert_called_once_with("c0de")
    assert data.identity().agent_token == "new-token"
    assert cli.main(["--data-dir", str(tmp_path), "recover"]) == 1
    assert "VEN_RECOVERY_CODE" in capsys.readouterr().err
