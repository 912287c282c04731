"""Support reports, from an operator's request to the download."""

import json
import urllib.request
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from functions.ven_reports.handler import handler as ven_reports
from pce.runtime.wiring import Wiring
from pce.usecases.record_heartbeat import record_heartbeat
from pce.usecases.request_support_reports import MAX_PENDING
from tests.fakes.api import Api, new_org
from tests.fakes.installation import installed
from tests.fakes.pairing import PairedVen, pair
from ven_protocol.limits import MAX_SUPPORT_REPORT_BYTES
from ven_protocol.messages import Action, Heartbeat, HostFacts

NOW = 1_800_000_000
REPORT = b"\x1f\x8bwhat support needs to see"


@pytest.fixture(scope="module")
def stores() -> Iterator[Wiring]:
    with installed() as stores:
        yield stores


def actions(ven: PairedVen, stores: Wiring, **more: Any) -> list[Action]:
    facts = HostFacts(hostname="web-1", version="1.2.3-4")
    message = Heartbeat(host=facts, uptime_seconds=7, **more)
    return record_heartbeat(ven.token, message, stores, NOW).actions


def asked(api: Api, *vens: PairedVen) -> dict[str, Any]:
    body = {"vens": [{"href": ven.href} for ven in vens]}
    return api.post(f"{api.org}/support_bundle_requests", body)


def ask_where(ven: PairedVen, size_bytes: int, action_id: str = "") -> dict[str, Any]:
    """What the VEN's function answers."""
    path = f"/ven/v1{ven.href}/support_reports"
    body = {"size_bytes": size_bytes, "sha256": "0" * 64, "action_id": action_id}
    reply = ven_reports(
        {
            "rawPath": path,
            "headers": {"authorization": f"Bearer {ven.token}"},
            "pathParameters": {
                "org_id": str(ven.token.org_id),
                "ven_id": str(ven.id),
            },
            "body": json.dumps(body),
            "requestContext": {"http": {"method": "POST", "path": path, "sourceIp": "192.0.2.9"}},
        },
        None,
    )
    return {"status": reply["statusCode"], "body": json.loads(reply["body"] or "null")}


def put(where: dict[str, Any], content: bytes) -> int:
    request = urllib.request.Request(where["url"], content, where["headers"], method="PUT")
    with urllib.request.urlopen(request, timeout=10) as reply:
        return reply.status


def test_a_report_from_the_request_to_the_download(api: Api, stores: Wiring) -> None:
    """Asked for, told to the VEN, uploaded to a presigned address, downloaded through another."""
    ven = pair(api, stores)
    request = asked(api, ven)
    assert request["status"] == "requested" and request["vens"] == [{"href": ven.href}]
    [action] = actions(ven, stores)
    assert action.type == "support_report"
    where = ask_where(ven, len(REPORT), action.id)["body"]
    assert put(where, REPORT) == 200
    [entry] = api.get(request["href"])["result"]["support_reports"]
    assert (entry["status"], entry["ven"]["href"]) == ("uploading", ven.href)
    assert actions(ven, stores, done_actions=[action.id]) == []
    shown = api.get(request["href"])
    assert shown["status"] == "done"
    assert api.get(f"{api.org}/support_bundle_requests") == [shown]
    report = shown["result"]["support_reports"][0]["support_report"]["href"]
    assert api.get(report)["size_bytes"] == len(REPORT)
    answer = api.call("GET", f"{report}/download")
    assert answer.status == 302
    with urllib.request.urlopen(answer.headers["location"], timeout=10) as reply:
        assert reply.read() == REPORT
        assert "attachment" in reply.headers["content-disposition"]


def test_a_report_that_cannot_be_made_is_told(api: Api, stores: Wiring) -> None:
    """The request says which VEN and why; so does an event."""
    good, bad = pair(api, stores, "good"), pair(api, stores, "bad")
    request = asked(api, good, bad)
    for ven, failed in ((good, {}), (bad, {"why": "the disk is full"})):
        [action] = actions(ven, stores)
        failures = dict.fromkeys([action.id], failed["why"]) if failed else {}
        actions(ven, stores, done_actions=[action.id], failed_actions=failures)
    shown = api.get(request["href"])
    assert shown["status"] == "failed"
    by_ven = {entry["ven"]["href"]: entry for entry in shown["result"]["support_reports"]}
    assert by_ven[good.href]["status"] == "done"
    assert by_ven[bad.href]["message"] == "the disk is full"


def test_a_report_over_the_cap_is_refused_and_says_so(api: Api, stores: Wiring) -> None:
    """Before anything is stored."""
    ven = pair(api, stores)
    assert ask_where(ven, MAX_SUPPORT_REPORT_BYTES)["status"] == 201
    refused = ask_where(ven, MAX_SUPPORT_REPORT_BYTES + 1)
    assert refused["status"] == 406
    assert refused["body"][0]["field"] == "size_bytes"
    assert str(MAX_SUPPORT_REPORT_BYTES) in refused["body"][0]["message"]
    assert len(api.get(f"{api.org}/support_reports")) == 1


def test_reports_are_asked_for_again_and_not_without_end(api: Api, stores: Wiring) -> None:
    """Each request is an action of its own; too many at once are refused, whole."""
    ven, other = pair(api, stores), pair(api, stores, "other")
    for _ in range(MAX_PENDING):
        asked(api, ven)
    assert len({action.id for action in actions(ven, stores)}) == MAX_PENDING
    body = {"vens": [{"href": other.href}, {"href": ven.href}]}
    answer = api.call("POST", f"{api.org}/support_bundle_requests", body)
    assert (answer.status, answer.tokens) == (406, ["too_many_support_report_requests"])
    assert ven.href in answer.json[0]["message"]
    assert actions(other, stores) == []


def test_a_request_can_be_withdrawn(api: Api, stores: Wiring) -> None:
    """The VEN is not told any more; what it still uploads is kept as nobody's wish."""
    ven = pair(api, stores)
    request = asked(api, ven)
    [action] = actions(ven, stores)
    api.delete(request["href"])
    assert actions(ven, stores) == []
    assert ask_where(ven, 5, action.id)["status"] == 201
    assert api.call("GET", request["href"]).status == 404


def test_another_orgs_reports_do_not_exist(api: Api, stores: Wiring) -> None:
    """Neither requests nor reports, nor their downloads, nor VENs to ask."""
    ven = pair(api, stores)
    request = asked(api, ven)
    ask_where(ven, 5)
    [report] = api.get(f"{api.org}/support_reports")
    stranger = new_org("stranger")
    for href in (request["href"], report["href"], f"{report['href']}/download"):
        assert stranger.call("GET", href).status == 403
        own = href.replace(api.org, stranger.org, 1)
        assert stranger.call("GET", own).status == 404
    body = {"vens": [{"href": ven.href}]}
    answer = stranger.call("POST", f"{stranger.org}/support_bundle_requests", body)
    assert (answer.status, answer.tokens) == (406, ["ven_not_found"])


def test_unknown_requests_are_404(shared_api: Api) -> None:
    """By any name."""
    for id in (str(uuid.uuid4()), "x"):
        assert shared_api.call("GET", f"{shared_api.org}/support_reports/{id}").status == 404
        path = f"{shared_api.org}/support_bundle_requests/{id}"
        assert shared_api.call("DELETE", path).status == 404
