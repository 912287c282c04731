"""What goes to whom, when a lane tries again, and how the archive's pieces name their place."""

import gzip
import json
from typing import Any

import pytest

from pce.identifiers import OrgId
from pce.streaming.archive_object import MAX_PIECE_LINES, pieces, place_of
from pce.streaming.destinations import wants
from pce.streaming.lanes import LONGEST_RETRY_S, Lane, Progress
from pce.streaming.records import Record

EVERYTHING: dict[str, Any] = {
    "audit_event_logger": {
        "configuration_event_included": True,
        "system_event_included": True,
        "min_severity": "informational",
    },
    "traffic_event_logger": {
        "traffic_flow_allowed_event_included": True,
        "traffic_flow_potentially_blocked_event_included": True,
        "traffic_flow_blocked_event_included": True,
    },
}


def flow(pd: int, state: str = "C") -> Record:
    return Record("flow_summary", {"pd": pd, "state": state})


def event(severity: str = "info", by: str = "user") -> Record:
    return Record("audit_event", {"severity": severity, "created_by": {by: {}}})


@pytest.mark.parametrize("pd", [0, 1, 2])
def test_flows_go_by_their_decision(pd: int) -> None:
    """Each of the three flags lets through its own decision and no other."""
    names = ("allowed", "potentially_blocked", "blocked")
    only = {"traffic_event_logger": {f"traffic_flow_{names[pd]}_event_included": True}}
    assert [wants(only, flow(each), "informational") for each in range(3)] == [
        each == pd for each in range(3)
    ]
    assert not wants({}, flow(pd), "informational")


def test_flows_of_idle_hosts_stay_out_of_syslog() -> None:
    """Snapshots, and flows whose decision nobody knows."""
    assert not wants(EVERYTHING, flow(0, "S"), "informational")
    assert not wants(EVERYTHING, flow(3), "informational")
    assert wants(EVERYTHING, flow(0, ""), "informational")


@pytest.mark.parametrize(
    ("least", "org_least", "sent"),
    [
        ("informational", "informational", ["info", "warning", "err"]),
        ("warning", "informational", ["warning", "err"]),
        ("informational", "error", ["err"]),
        ("error", "warning", ["err"]),
    ],
)
def test_events_go_by_their_severity(least: str, org_least: str, sent: list[str]) -> None:
    """The stricter of the destination's and the org's least severity."""
    logger = {**EVERYTHING["audit_event_logger"], "min_severity": least}
    found = [
        severity
        for severity in ("info", "warning", "err")
        if wants({"audit_event_logger": logger}, event(severity), org_least)
    ]
    assert found == sent


def test_events_go_by_who_did_it() -> None:
    """What people configure, and what VENs and the PCE do, are asked for apart."""
    people = {"audit_event_logger": {"configuration_event_included": True}}
    system = {"audit_event_logger": {"system_event_included": True}}
    for by in ("user", "service_account", "system", "agent"):
        person = by in ("user", "service_account")
        assert wants(people, event(by=by), "informational") is person
        assert wants(system, event(by=by), "informational") is not person


def test_a_lane_waits_longer_after_each_failure() -> None:
    """30 seconds, doubled each time, at most ten minutes; a delivery ends it."""
    lane = Progress("p", delivered=5)
    waits = []
    for attempt in range(8):
        lane = lane.failed(1_000 + attempt, "no route")
        waits.append(lane.retry_at - 1_000 - attempt)
    assert waits == [30, 60, 120, 240, 480, 600, 600, LONGEST_RETRY_S]
    assert (lane.failing_since, lane.position, lane.error) == (1_000, "p", "no route")
    assert lane.past("q", 3) == Progress("q", delivered=8)


def test_a_lane_is_found_by_its_name() -> None:
    """The name in a message is all that a worker needs."""
    lane = Lane(OrgId(7), "archive", "flows-3")
    assert Lane.named(lane.name) == lane


def test_pieces_join_into_one_file() -> None:
    """Members behind each other are a gzip file of lines, in order; each names its place."""
    documents = [{"number": number} for number in range(MAX_PIECE_LINES + 1)]
    made = list(pieces(OrgId(12), documents, 2))
    assert len(made) == 2
    lines = gzip.decompress(b"".join(made)).splitlines()
    assert [json.loads(line) for line in lines] == documents
    assert [place_of(piece) for piece in made] == [{"org_id": "12", "pd": "2"}] * 2
    [event] = pieces(OrgId(3), [{}])
    assert place_of(event) == {"org_id": "3"}
    assert list(pieces(OrgId(3), [{}])) == [event]
    assert not list(pieces(OrgId(3), []))


@pytest.mark.parametrize(
    "piece",
    [
        b"",
        b"{}",
        gzip.compress(b"{}", mtime=0),
        next(iter(pieces(OrgId(1), [{}]))).replace(b"org_id=1", b"org_id=x"),
        next(iter(pieces(OrgId(1), [{}], 3))).replace(b"pd=3", b"pd=4"),
        next(iter(pieces(OrgId(1), [{}]))).replace(b"org_id=1.", b"../../.."),
    ],
)
def test_what_names_no_place_is_refused(piece: bytes) -> None:
    """Nothing is put where its name does not say exactly."""
    with pytest.raises(ValueError, match="not a piece"):
        place_of(piece)
