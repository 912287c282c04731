"""The VEN API over real HTTPS: pairing, life signs, reports, flows, and what is refused."""

import gzip
import ipaddress
import time
import uuid

import msgspec
import pytest

from demo.operator import Operator, RequestFailed, wait_for
from tests.e2e.ven_client import VenClient, activate, problem_token
from ven_protocol.flows import FlowSummary
from ven_protocol.messages import (
    Activate,
    Deactivate,
    Goodbye,
    HostFacts,
    Interface,
    InterfacesReport,
    LostAgent,
    OpenPort,
    PolicyApplied,
    ServicesReport,
    SupportReportRequest,
    Tampering,
)

pytestmark = pytest.mark.e2e

HOST = HostFacts(hostname="nobody", version="1.0.0")


@pytest.fixture(scope="module")
def ven(operator: Operator) -> VenClient:
    return VenClient.pair(operator, "10.77.0.1")


def test_pairing_makes_a_workload(operator: Operator, ven: VenClient) -> None:
    """A paired host is a managed workload with its address, online, under one UUID with its VEN."""
    workload = operator.get(ven.workload_href)
    assert workload["hostname"] == ven.host.hostname
    assert workload["online"] is True
    assert workload["ven"]["href"] == ven.activated.ven_href
    assert [i["address"] for i in workload["interfaces"]] == ["10.77.0.1"]
    assert operator.get(ven.activated.ven_href)["status"] == "active"


def test_a_heartbeat_is_answered(ven: VenClient) -> None:
    """The reply names the policy to hold, the time, and when to call again."""
    reply = ven.heartbeat()
    assert reply["next_heartbeat_s"] >= 1
    assert reply["server_time"].endswith("Z")


def test_changed_host_facts_reach_the_workload(operator: Operator, ven: VenClient) -> None:
    """A heartbeat with another host name renames the workload."""
    renamed = msgspec.structs.replace(ven.host, hostname=f"renamed-{uuid.uuid4().hex[:6]}")
    ven.heartbeat(host=renamed)
    assert operator.get(ven.workload_href)["hostname"] == renamed.hostname
    ven.heartbeat()


def test_a_policy_is_fetched_once(ven: VenClient) -> None:
    """The whole document first; 304 while it is current."""
    etag = wait_for("a first policy", ven.heartbeat, lambda reply: reply.get("etag"))["etag"]
    reply = ven.policy()
    assert reply.status == 200 and reply.json["etag"] == etag and "document" in reply.json
    assert ven.policy(held=etag).status == 304
    reply = ven.call("POST", "policy/applied", PolicyApplied(etag=etag, rule_count=3), expect=200)
    assert reply.json["etag"] == etag
    ven.applied_etag = etag


def test_interfaces_are_stored(operator: Operator, ven: VenClient) -> None:
    """A new address of a host shows in its workload."""
    report = InterfacesReport(
        interfaces=[
            Interface(name="eth0", address="10.77.0.1", cidr_block=24, link_state="up"),
            Interface(name="eth1", address="fd77::1", cidr_block=64, link_state="up"),
        ]
    )
    for _ in range(2):  # the second report changes nothing
        ven.call("PUT", "interfaces", report, expect=204)
    addresses = [i["address"] for i in operator.get(ven.workload_href)["interfaces"]]
    assert addresses == ["10.77.0.1", "fd77::1"]


def test_interfaces_that_cannot_be_are_refused_whole(operator: Operator) -> None:
    """An address that is none, or more of them than a host has: the place is named, and what was
    reported before stays. Nobody pairs with one either."""
    ven = VenClient.pair(operator, "10.77.9.15")
    good, bad = (Interface(name="eth1", address=text) for text in ("10.77.9.16", "10.77.9.999"))
    reply = ven.call("PUT", "interfaces", InterfacesReport(interfaces=[good, bad]))
    assert (reply.status, problem_token(reply)) == (406, "invalid_address")
    assert reply.json[0]["field"] == "interfaces[1].address"
    reply = ven.call("PUT", "interfaces", InterfacesReport(interfaces=[good] * 4097))
    assert (reply.status, reply.json[0]["field"]) == (406, "interfaces")
    [shown] = operator.get(ven.workload_href)["interfaces"]
    assert shown["address"] == "10.77.9.15"
    with pytest.raises(RequestFailed, match=r"406.*invalid_address"):
        VenClient.pair(operator, "10.77.9.999")


def test_open_ports_are_stored(operator: Operator, ven: VenClient) -> None:
    """Open ports show in the single workload."""
    port = OpenPort(protocol=6, address="0.0.0.0", port=5432, process_name="postgres")
    ven.call("PUT", "services", ServicesReport(uptime_seconds=1, open_ports=[port]), expect=204)
    services = operator.get(ven.workload_href)["services"]
    assert services["open_service_ports"][0]["port"] == 5432


def test_tampering_is_an_event(operator: Operator, ven: VenClient) -> None:
    """A reverted change of the firewall table is an err event with the count."""
    ven.call("POST", "tampering", Tampering(num_reverts=2, revert_succeeded=True), expect=204)
    events = operator.events("agent.tampering")
    mine = [e for e in events if e["created_by"]["ven"]["href"] == ven.activated.ven_href]
    assert mine[0]["severity"] == "err"
    assert mine[0]["notifications"][0]["info"]["num_reverts"] == 2


def flow(ven: VenClient, source: str, count: int = 3) -> FlowSummary:
    now = int(time.time())
    return FlowSummary(
        src_ip=ipaddress.ip_address(source).packed,
        dst_ip=ipaddress.ip_address(ven.address).packed,
        proto=6,
        dst_port=5432,
        dir="I",
        state="C",
        pd=1,
        count=count,
        first=now - 60,
        last=now - 5,
    )


def test_the_same_flow_batch_twice_counts_once(operator: Operator) -> None:
    """A batch that is posted again is answered as a duplicate, and a query counts it once."""
    ven = VenClient.pair(operator, "10.77.9.1")
    flows = [flow(ven, "10.77.9.2")]
    first = ven.post_flows(0, flows, end=int(time.time()))
    assert first.status == 200, first.body
    assert (first.json["accepted"], first.json["duplicate"]) == (1, False)
    again = ven.post_flows(0, flows, end=int(time.time()))
    assert (again.json["accepted"], again.json["duplicate"]) == (0, True)
    records = operator.traffic(
        destinations={"include": [[{"workload": {"href": ven.workload_href}}]], "exclude": []}
    )
    assert [r["num_connections"] for r in records] == [3]
    assert records[0]["policy_decision"] == "potentially_blocked"
    assert records[0]["dst"]["workload"]["href"] == ven.workload_href


def test_a_flow_post_is_a_heartbeat(operator: Operator) -> None:
    """Its reply is a heartbeat's, and the VEN counts as heard."""
    ven = VenClient.pair(operator, "10.77.9.3")
    reply = ven.post_flows(0, [])
    assert reply.status == 200, reply.body
    assert reply.json["heartbeat"]["next_heartbeat_s"] >= 1


def test_a_support_report_is_uploaded(ven: VenClient) -> None:
    """The PCE gives a URL to which the report is PUT."""
    import hashlib
    import urllib.request

    report = b"not really a tar"
    asked = SupportReportRequest(size_bytes=len(report), sha256=hashlib.sha256(report).hexdigest())
    upload = ven.call("POST", "support_reports", asked, expect=201).json
    tls = None
    if upload["url"].startswith("https:"):
        import ssl

        tls = ssl.create_default_context(cafile=ven.operator.credentials.ca_file or None)
    request = urllib.request.Request(
        upload["url"], data=report, method="PUT", headers=upload["headers"]
    )
    with urllib.request.urlopen(request, context=tls) as answer:
        assert answer.status == 200


def test_suspend_and_unsuspend(operator: Operator) -> None:
    """A suspended VEN shows as such and stays online in policy."""
    ven = VenClient.pair(operator, "10.77.9.4")
    ven.call("POST", "suspend", expect=204)
    assert operator.get(ven.activated.ven_href)["status"] == "suspended"
    assert operator.get(ven.workload_href)["online"] is True
    ven.call("POST", "unsuspend", expect=204)
    assert operator.get(ven.activated.ven_href)["status"] == "active"


def test_goodbye_is_an_event(operator: Operator) -> None:
    """A VEN that stops says so; it stays online until the goodbye timer has run out."""
    ven = VenClient.pair(operator, "10.77.9.5")
    ven.call("POST", "goodbye", Goodbye(reason="stop"), expect=204)
    assert operator.get(ven.workload_href)["online"] is True
    senders = [e["created_by"]["ven"]["href"] for e in operator.events("agent.goodbye")]
    assert ven.activated.ven_href in senders


def test_a_deactivated_ven_has_no_voice(operator: Operator) -> None:
    """After deactivation the token is void and the workload is deleted, still readable by href."""
    ven = VenClient.pair(operator, "10.77.9.6")
    ven.call("POST", "deactivate", Deactivate(firewall_restore="open"), expect=204)
    assert ven.call("POST", "heartbeat", ven.heartbeat_message()).status == 401
    assert operator.get(ven.workload_href)["deleted"] is True


def test_a_token_is_refreshed(operator: Operator) -> None:
    """The new token works, and once it was used the old one does not."""
    ven = VenClient.pair(operator, "10.77.9.7")
    new = ven.call("POST", "token", expect=200).json["agent_token"]
    message = ven.heartbeat_message()
    assert ven.call("POST", "heartbeat", message).status == 200
    assert ven.call("POST", "heartbeat", message, token=new).status == 200
    assert ven.call("POST", "heartbeat", message).status == 401


def test_a_lost_agent_is_an_event(operator: Operator) -> None:
    """A VEN whose token is void can still say that it is lost, once; a person reads what to do."""
    ven = VenClient.pair(operator, "10.77.9.8")
    void = ven.activated.agent_token[:-3] + "AAA"
    for _ in range(2):
        ven.call("POST", "lost", LostAgent(hostname="h", reason="401"), token=void, expect=204)
    found = [
        event
        for event in operator.events("lost_agent.found")
        if event["notifications"][0]["info"]["hostname"] == "h"
    ]
    assert len(found) == 1
    assert "Uninstall or reinstall it" in found[0]["notifications"][0]["info"]["message"]


@pytest.mark.parametrize("code", ["", "x" * 64, "nonsense!", "a" * 300])
def test_an_unknown_activation_code_is_refused(operator: Operator, code: str) -> None:
    """401 (or 406 for what cannot be a code), with a token that says what is wrong."""
    body = msgspec.json.encode({"activation_code": code, "host": msgspec.to_builtins(HOST)})
    reply = activate(operator, body)
    if 1 <= len(code) <= 256:
        assert (reply.status, problem_token(reply)) == (401, "activation_code_unknown")
    else:
        assert (reply.status, problem_token(reply)) == (406, "invalid_field")


def pairing_code(operator: Operator, **profile: object) -> str:
    body = {"name": f"profile {uuid.uuid4().hex[:8]}", "enabled": True, **profile}
    href = operator.create(f"{operator.org}/pairing_profiles", body)["href"]
    return str(operator.create(f"{href}/pairing_key", {})["activation_code"])


def test_a_used_up_activation_code_is_refused(operator: Operator) -> None:
    """A code for one use pairs one host."""
    code = pairing_code(operator, allowed_uses_per_key=1)
    VenClient.pair(operator, "10.77.9.9", code)
    reply = activate(operator, Activate(activation_code=code, host=HOST))
    assert (reply.status, problem_token(reply)) == (401, "activation_code_used_up")


def test_an_expired_activation_code_is_refused(operator: Operator) -> None:
    """A code lives as long as its profile says."""
    code = pairing_code(operator, key_lifespan=1)
    reply = wait_for(
        "the code to expire",
        lambda: activate(operator, Activate(activation_code=code, host=HOST)),
        lambda reply: reply.status == 401,
    )
    assert problem_token(reply) == "activation_code_expired"


def test_locks_of_a_profile_hold(operator: Operator) -> None:
    """The profile's labels and mode are given; a wish counts only where it is unlocked."""
    role, other = operator.label("role", "e2e-db"), operator.label("role", "e2e-web")
    env = operator.label("env", "e2e-prod")
    profile = {"labels": [{"href": role}], "enforcement_mode": "visibility_only"}
    wish = {"labels": {"role": "e2e-web", "env": "e2e-prod"}, "enforcement_mode": "full"}
    locked = VenClient.pair(operator, "10.77.9.10", pairing_code(operator, **profile), **wish)
    workload = operator.get(locked.workload_href)
    assert [label["href"] for label in workload["labels"]] == [role]
    assert workload["enforcement_mode"] == "visibility_only"
    unlocks = {"role_label_lock": False, "env_label_lock": False, "enforcement_mode_lock": False}
    code = pairing_code(operator, **profile, **unlocks)
    free = operator.get(VenClient.pair(operator, "10.77.9.11", code, **wish).workload_href)
    assert {label["href"] for label in free["labels"]} == {other, env}
    assert free["enforcement_mode"] == "full"


def test_a_wrong_agent_token_is_401(ven: VenClient) -> None:
    """A token with another secret, another form, or none at all."""
    good = ven.activated.agent_token
    for token in (good[:-4] + "AAAA", "nonsense", "v2" + good[2:]):
        reply = ven.call("POST", "heartbeat", ven.heartbeat_message(), token=token)
        assert (reply.status, problem_token(reply)) == (401, "invalid_agent_token")


def test_another_vens_href_is_403(operator: Operator, ven: VenClient) -> None:
    """A good token opens its own VEN only, whichever org or VEN the path names."""
    other = VenClient.pair(operator, "10.77.9.12")
    reply = other.call(
        "POST", "heartbeat", ven.heartbeat_message(), token=ven.activated.agent_token
    )
    assert (reply.status, problem_token(reply)) == (403, "not_your_ven")
    path = f"/ven/v1/orgs/99/vens/{ven.ven_id}/heartbeat"
    headers = {"authorization": f"Bearer {ven.activated.agent_token}"}
    assert operator.send("POST", path, b"{}", headers).status == 403


@pytest.mark.parametrize(
    ("body", "token", "field"),
    [
        (b"{", "malformed_json", None),
        (b'{"host": {"hostname": "h", "version": 3}}', "invalid_field", "host.version"),
        (b'{"host": {"version": "1"}, "uptime_seconds": 1}', "invalid_field", "host.hostname"),
        (b'{"host": {"hostname": "h", "version": "1"}}', "invalid_field", "uptime_seconds"),
        (b"[]", "invalid_field", None),
        (b"\xff\xfe", "malformed_json", None),
    ],
)
def test_bad_bodies_name_the_field(ven: VenClient, body: bytes, token: str, field: str) -> None:
    """406 with a list of problems, each with token, message, and the field that is wrong."""
    headers = {"content-type": "application/json"}
    reply = ven.call("POST", "heartbeat", body, headers=headers)
    assert (reply.status, problem_token(reply)) == (406, token)
    assert reply.json[0].get("field") == field
    assert reply.headers["content-type"] == "application/json"


def test_a_bomb_is_refused_before_it_is_inflated(ven: VenClient) -> None:
    """20 MB of zeros in 20 kB of gzip: 413."""
    bomb = gzip.compress(bytes(20_000_000))
    headers = {"content-type": "application/octet-stream"}
    for resource in ("flows", "heartbeat"):
        reply = ven.call("POST", resource, bomb, headers=headers)
        assert (reply.status, problem_token(reply)) == (413, "body_too_large")


def test_a_body_over_the_limit_is_refused(ven: VenClient) -> None:
    """A heartbeat of 2 MB is not read."""
    headers = {"content-type": "application/json"}
    reply = ven.call("POST", "heartbeat", b" " * 2_000_000, headers=headers)
    assert (reply.status, problem_token(reply)) == (413, "body_too_large")


def test_half_a_flow_batch_changes_nothing(operator: Operator) -> None:
    """A cut body is refused whole, and the batch can still be posted."""
    ven = VenClient.pair(operator, "10.77.9.13")
    headers = {"content-type": "application/octet-stream"}
    half = gzip.compress(b"\x81\xa7version\x01")[:-4]
    assert ven.call("POST", "flows", half, headers=headers).status == 406
    assert ven.call("POST", "flows", b"\x93\x01\x02\x03", headers=headers).status == 406
    assert ven.post_flows(0, [flow(ven, "10.77.9.14")]).json["accepted"] == 1


def test_another_protocol_version_is_refused_with_the_versions(ven: VenClient) -> None:
    """A newer VEN learns which versions this PCE speaks."""
    path = f"/ven/v9/orgs/1/vens/{ven.ven_id}/heartbeat"
    reply = ven.operator.send("POST", path, b"{}", {"content-type": "application/json"})
    assert (reply.status, problem_token(reply)) == (406, "unsupported_protocol_version")
    assert reply.json[0]["supported_versions"] == [1]


def test_unknown_fields_of_a_newer_ven_are_ignored(ven: VenClient) -> None:
    """A VEN that knows more than the PCE works."""
    message = msgspec.to_builtins(ven.heartbeat_message()) | {"quantum_state": "both"}
    assert ven.call("POST", "heartbeat", message).status == 200
