"""Syslog destinations with something special about them, from the post to a real rsyslog."""

import pycef
import pytest

from pce.identifiers import OrgId
from pce.runtime.wiring import Wiring
from tests.fakes.api import Api
from tests.fakes.syslog_receiver import SyslogReceiver
from tests.integration.test_streaming import (
    EVENTS,
    LATER,
    all_lanes,
    delivery,
    lane,
    make_destination,
    paired,
    post,
    processes,
    rsyslog,
    run,
)

__all__ = ["rsyslog"]


def test_a_destination_whose_certificate_is_wrong(
    api: Api, stores: Wiring, rsyslog: SyslogReceiver
) -> None:
    """Nothing is sent to it, its ``delivery`` says why, and it gets everything once its authority
    is known."""
    remote = {"address": "::1", "tls_enabled": True, "tls_verify_cert": True}
    destination = make_destination(api, rsyslog.tls, **remote)
    ven = paired(api, stores, "web-1")
    post(ven, stores, 1)
    before = len(rsyslog.raw)
    assert any("not trusted" in why for why in run(stores, all_lanes(api, destination)))
    shown = delivery(api, stores, destination, LATER)
    assert "tls_ca_bundle" in shown["last_error"] and shown["records_delivered"] == 0
    assert len(rsyslog.raw) == before
    remote |= {"port": rsyslog.tls, "protocol": 6, "tls_ca_bundle": rsyslog.ca_bundle}
    api.put(destination["href"], {"remote_syslog": remote})
    assert run(stores, all_lanes(api, destination), LATER + 1) == [""] * 5
    count = delivery(api, stores, destination, LATER + 1)["records_delivered"]
    texts = [m.text for m in rsyslog.messages(before + count)[before:] if "collector" in m[0]]
    assert processes(texts, ven) == [1]


@pytest.mark.parametrize("format", ["CEF", "LEEF"])
def test_other_formats_through_rsyslog(
    api: Api, stores: Wiring, rsyslog: SyslogReceiver, format: str
) -> None:
    """What a receiver writes down is still what a public parser reads: flows and events."""
    api.put(f"{api.org}/settings/events", {"format": format})
    destination = make_destination(api, rsyslog.tcp)
    ven = paired(api, stores, "web-1")
    post(ven, stores, 1)
    before = len(rsyslog.raw)
    assert run(stores, all_lanes(api, destination)) == [""] * 5
    count = api.get(destination["href"])["delivery"]["records_delivered"]
    texts = [message.text for message in rsyslog.messages(before + count)[before:]]
    assert len(texts) == count and all(text.startswith(f"{format}:") for text in texts)
    kinds = [_kind_of(text, format) for text in texts]
    assert kinds.count("flow_summary") == 1
    assert kinds.count("audit_events") == count - 1 > 0


def _kind_of(line: str, format: str) -> str:
    if format == "CEF":
        return str(pycef.parse(line)["cat"])
    fields = dict(field.split("=", 1) for field in line.split("|", 6)[6].split("\t"))
    return fields["cat"]


def test_a_destination_that_is_removed_with_a_backlog(
    api: Api, stores: Wiring, rsyslog: SyslogReceiver
) -> None:
    """What waited for it goes nowhere, a worker that was on its way finds nothing to do, and the
    others lose nothing."""
    gone, stays = make_destination(api, 9), make_destination(api, rsyslog.tcp)
    ven = paired(api, stores, "web-1")
    post(ven, stores, 1)
    assert any(run(stores, all_lanes(api, gone)))
    api.delete(gone["href"])
    before = len(rsyslog.raw)
    assert run(stores, all_lanes(api, gone), LATER + 1) == [""] * 5
    assert len(rsyslog.raw) == before
    assert run(stores, all_lanes(api, stays), LATER + 1) == [""] * 5
    count = api.get(stays["href"])["delivery"]["records_delivered"]
    texts = [m.text for m in rsyslog.messages(before + count)[before:] if "collector" in m[0]]
    assert processes(texts, ven) == [1]
    left = {one.destination for one in stores.lanes.of_org(OrgId(api.created["org_id"]))}
    assert left == {lane(api, stays, EVENTS).destination}
