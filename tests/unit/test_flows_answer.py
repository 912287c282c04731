"""``pce.flows.answer`` and ``records``: what clients get, by example."""

import csv
import io
import uuid

import pytest

from pce.errors import Invalid
from pce.flows.answer import run_query
from pce.flows.batch import pack
from pce.flows.directory import Label, Workload
from pce.flows.query import validate_query
from pce.flows.records import csv_text, record
from pce.identifiers import OrgId
from tests.property.flow_batches import HEARTBEAT
from ven_protocol.flows import FlowSummary, decode_batch, encode_batch

T = 1_800_000_000
WEB, DB, STRANGER = bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2]), bytes([203, 0, 113, 9])
WEB_1 = Workload(uuid.UUID(int=1), "web-1", (Label("1", "app", "shop"), Label("3", "role", "web")))
DB_1 = Workload(uuid.UUID(int=2), "db-1", (Label("1", "app", "shop"),))
DIRECTORY = {WEB: WEB_1, DB: DB_1}


class Nothing:
    """An org without objects."""

    def label_ids(self, href):
        return None

    def workload_id(self, href):
        return None

    def ip_list(self, href):
        return None


def flow(**parts):
    usual = {
        "src_ip": WEB,
        "dst_ip": DB,
        "proto": 6,
        "dst_port": 5432,
        "dir": "I",
        "state": "A",
        "pd": 0,
        "first": T + 1,
        "last": T + 9,
    }
    return FlowSummary(**{**usual, **parts})


def stored(*flows, start=T, reporter=2, directory=DIRECTORY):
    batch = decode_batch(encode_batch(start, start, start + 600, HEARTBEAT, flows))
    return pack(batch, uuid.UUID(int=reporter), directory)


def records(*bodies, **document):
    answer = run_query(validate_query(document), bodies, Nothing())
    return [record(found, OrgId(1)) for found in answer.flows]


def test_a_whole_record():
    """Every attribute in the form and under the name that clients read."""
    body = stored(
        flow(
            pd=2,
            pd_qualifier=2,
            count=3,
            process="/usr/bin/postgres",
            user="postgres",
            service="pg",
            fqdn="db.example.com",
            tbi=50,
            tbo=60,
            dbi=5,
            dbo=6,
            tdms=7000,
            ddms=700,
        )
    )
    href = "/orgs/1/workloads/00000000-0000-0000-0000-00000000000"
    app = {"href": "/orgs/1/labels/1", "key": "app", "value": "shop"}
    role = {"href": "/orgs/1/labels/3", "key": "role", "value": "web"}
    answer = run_query(validate_query({}), [body], Nothing())
    facts = {WEB_1.id: {"os_type": "linux", "name": "Web", "enforcement_mode": None}}
    assert record(answer.flows[0], OrgId(1), lambda id: facts.get(id, {})) == {
        "src": {
            "ip": "10.0.0.1",
            "workload": {
                "href": f"{href}1",
                "hostname": "web-1",
                "name": "Web",
                "os_type": "linux",
                "managed": True,
                "labels": [app, role],
            },
        },
        "dst": {
            "ip": "10.0.0.2",
            "fqdn": "db.example.com",
            "workload": {
                "href": f"{href}2",
                "hostname": "db-1",
                "name": "db-1",
                "managed": True,
                "labels": [app],
            },
        },
        "service": {
            "port": 5432,
            "proto": 6,
            "process_name": "/usr/bin/postgres",
            "windows_service_name": "pg",
            "user_name": "postgres",
        },
        "num_connections": 3,
        "state": "active",
        "policy_decision": "blocked",
        "boundary_decision": "blocked_by_override_deny",
        "flow_direction": "inbound",
        "transmission": "unicast",
        "timestamp_range": {
            "first_detected": "2027-01-15T08:00:01.000Z",
            "last_detected": "2027-01-15T08:00:09.000Z",
        },
        "dst_bi": 5,
        "dst_bo": 6,
        "dst_dbi": 5,
        "dst_dbo": 6,
        "dst_tbi": 50,
        "dst_tbo": 60,
        "tdms": 7000,
        "ddms": 700,
    }


def test_a_bare_record():
    """What is not known is not there."""
    [document] = records(
        stored(flow(src_ip=STRANGER, proto=1, dst_port=0, icmp_type=8, icmp_code=0, state="", pd=3))
    )
    assert document["src"] == {"ip": "203.0.113.9"}
    assert document["service"] == {"port": 0, "proto": 1}
    assert (document["icmp_type"], document["icmp_code"]) == (8, 0)
    assert (document["state"], document["policy_decision"]) == ("unknown", "unknown")
    assert not {"dst_bi", "tdms", "boundary_decision"} & set(document)


def test_the_two_hosts_of_a_connection_are_kept_apart():
    """Each reports what its own firewall did; they differ in direction and are never added up."""
    here = stored(flow(dir="I", count=2))
    there = stored(flow(dir="O", count=2), reporter=1)
    found = records(here, there)
    assert sorted(r["flow_direction"] for r in found) == ["inbound", "outbound"]
    assert [r["num_connections"] for r in found] == [2, 2]


def test_totals_of_a_long_connection():
    """A connection that had moved 100 bytes before, and 10 in each of three windows: the deltas are
    30, and the total is 130 and not 110 + 120 + 130. A window in which nothing was counted does
    not hide what came before."""
    bodies = [
        stored(flow(), flow(dst_port=1, tbi=1, tbo=1, dbi=1, dbo=1), start=T),
        *(
            stored(
                flow(tbi=total, tbo=0, dbi=10, dbo=0, first=T, last=T + 600 * number + 5),
                start=T + 600 * number,
            )
            for number, total in enumerate((110, 120, 130), start=1)
        ),
    ]
    found = next(r for r in records(*bodies) if r["service"]["port"] == 5432)
    assert (found["dst_dbi"], found["dst_tbi"]) == (30, 130)
    assert found["num_connections"] == 4


def test_labels_are_those_of_the_time():
    """A workload that changed its labels has two records: who it was then, and who it was later."""
    moved = {**DIRECTORY, WEB: Workload(WEB_1.id, "web-1", (Label("9", "app", "crm"),))}
    found = records(stored(flow()), stored(flow(), start=T + 600, directory=moved))
    apps = [[label["value"] for label in r["src"]["workload"]["labels"]] for r in found]
    assert sorted(apps) == [["crm"], ["shop", "web"]]


def test_the_limit_keeps_the_latest():
    """``max_results`` keeps what was seen last, and says how many there were."""
    body = stored(*(flow(dst_port=port, last=T + port) for port in range(1, 9)))
    answer = run_query(validate_query({"max_results": 2}), [body], Nothing())
    assert [found.profile.port for found in answer.flows] == [8, 7]
    assert answer.matches == 8


def test_unknown_hrefs_are_refused():
    """One problem for each, before anything is read."""
    query = validate_query(
        {
            "sources": {"include": [[{"label": {"href": "/orgs/2/labels/1"}}]]},
            "destinations": {
                "exclude": [{"ip_list": {"href": "/orgs/2/sec_policy/draft/ip_lists/1"}}]
            },
        }
    )
    with pytest.raises(Invalid) as caught:
        run_query(query, iter([b"not read"]), Nothing())
    assert [problem.field for problem in caught.value.problems] == ["sources", "destinations"]


def test_csv():
    """One line of the known titles, one line a record; no field is run as a formula."""
    documents = records(stored(flow(process="=cmd()", tbi=5, tbo=6, dbi=5, dbo=6, state="T")))
    documents[0]["draft_policy_decision"] = "blocked_no_rule"
    [row] = csv.DictReader(io.StringIO(csv_text(documents, draft=True)))
    assert row == {
        "Source IP": "10.0.0.1",
        "Source Hostname": "web-1",
        "Source Name": "web-1",
        "Source Application": "shop",
        "Source Environment": "",
        "Source Location": "",
        "Source Role": "web",
        "Source Managed": "true",
        "Destination IP": "10.0.0.2",
        "Destination Hostname": "db-1",
        "Destination Name": "db-1",
        "Destination Application": "shop",
        "Destination Environment": "",
        "Destination Location": "",
        "Destination Role": "",
        "Destination Managed": "true",
        "Destination FQDN": "",
        "Port": "5432",
        "Protocol": "TCP",
        "Process": "'=cmd()",
        "User": "",
        "Connections": "1",
        "State": "timed out",
        "Policy Decision": "allowed",
        "Flow Direction": "inbound",
        "First Detected": "2027-01-15T08:00:01.000Z",
        "Last Detected": "2027-01-15T08:00:09.000Z",
        "Bytes In": "5",
        "Bytes Out": "6",
        "Draft Policy Decision": "blocked_no_rule",
    }
    assert "Draft Policy Decision" not in csv_text([])
