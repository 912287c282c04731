"""``pce.flows.query``: every form in which clients ask, and what is refused."""

import pytest

from pce.errors import Invalid
from pce.flows.query import MAX_ACTORS, MAX_RESULTS, Actor, Query, ServiceFilter, validate_query

JAN_31 = 1_769_817_600  # 2026-01-31T00:00:00Z


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"query_name": "", "data_sources": ["x"], "aggregate_flows_across_days": True},
        {"start_date": "", "end_date": None},
        {"start_date": "0001-01-01T00:00:00Z", "end_date": "0001-01-01T00:00:00Z"},
        {"sources": {"include": [], "exclude": []}, "destinations": {"include": [[]]}},
        {"sources": {"include": [[], [{"actors": "ams"}]]}},
        {"sources": None, "destinations": {"include": None}, "services": {"include": None}},
        {"services": {"include": [{}], "exclude": []}},
        {"policy_decisions": [], "boundary_decisions": []},
        {"exclude_workloads_from_ip_list_query": True, "sources_destinations_query_op": "and"},
        {"max_results": MAX_RESULTS},
    ],
)
def test_what_restricts_nothing(document):
    """Absent, null, empty and the defaults all mean everything."""
    assert validate_query(document) == Query()


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("2026-01-31T12:00:00Z", JAN_31 + 43_200, JAN_31 + 43_200),
        ("2026-01-31T12:00:00.123456789Z", JAN_31 + 43_200, JAN_31 + 43_200),
        ("2026-01-31T12:00:00+02:00", JAN_31 + 36_000, JAN_31 + 36_000),
        ("2026-01-31T12:00:00", JAN_31 + 43_200, JAN_31 + 43_200),
        ("2026-01-31", JAN_31, JAN_31 + 86_399),
    ],
)
def test_times(text, start, end):
    """RFC 3339 up to nanoseconds; a bare date begins and ends with its day."""
    assert validate_query({"start_date": text}).start == start
    assert validate_query({"end_date": text}).end == end


def test_actors():
    """Every form of an actor, and both of an address."""
    query = validate_query(
        {
            "sources": {
                "include": [
                    [{"label": {"href": "/orgs/1/labels/7"}}, {"label_group": {"href": "g"}}],
                    [{"workload": {"href": "w", "name": "ignored"}}],
                    [{"ip_address": "10.0.0.1"}],
                    [{"ip_address": {"value": "10.0.0.0/8"}}],
                ]
            },
            "destinations": {
                "include": [[{"fqdn": "a.example.com"}, {"actors": "ams"}]],
                "exclude": [{"ip_list": {"href": "l"}}, {"transmission": "broadcast"}],
            },
            "sources_destinations_query_op": "or",
            "exclude_workloads_from_ip_list_query": False,
        }
    )
    assert query.sources.include == (
        (Actor("label", "/orgs/1/labels/7"), Actor("label_group", "g")),
        (Actor("workload", "w"),),
        (Actor("ip_address", "10.0.0.1"),),
        (Actor("ip_address", "10.0.0.0/8"),),
    )
    assert query.destinations.include == ((Actor("fqdn", "a.example.com"), Actor("actors", "ams")),)
    assert query.destinations.exclude == (Actor("ip_list", "l"), Actor("transmission", "broadcast"))
    assert query.either_side
    assert query.ip_lists_hold_workloads


def test_services_and_decisions():
    """Services keep every attribute that a client may say; decisions are sets."""
    service = {"port": 1, "to_port": 9, "proto": 6, "process_name": "p", "icmp_type": 8}
    query = validate_query(
        {
            "services": {"include": [service], "exclude": [{"windows_service_name": "s"}]},
            "policy_decisions": ["allowed", "unknown"],
            "boundary_decisions": ["blocked_non_illumio_rule"],
            "max_results": 0,
        }
    )
    assert query.services == (ServiceFilter(1, 9, 6, "p", None, 8, None),)
    assert query.services_excluded == (ServiceFilter(windows_service_name="s"),)
    assert query.decisions == {"allowed", "unknown"}
    assert query.boundary_decisions == {"blocked_non_illumio_rule"}
    assert query.max_results == 0


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ([], None),
        ("", None),
        ({"start_date": "yesterday"}, "start_date"),
        ({"start_date": 7}, "start_date"),
        ({"start_date": "2026-02-01", "end_date": "2026-01-01"}, "end_date"),
        ({"policy_decisions": ["denied"]}, "policy_decisions[0]"),
        ({"max_results": MAX_RESULTS + 1}, "max_results"),
        ({"max_results": -1}, "max_results"),
        ({"sources_destinations_query_op": "xor"}, "sources_destinations_query_op"),
        ({"sources": {"include": [{"actors": "ams"}]}}, "sources.include[0]"),
        ({"sources": {"include": [[{}]]}}, "sources.include[0][0]"),
        ({"sources": {"include": [[{"virtual_service": {"href": "v"}}]]}}, "sources.include[0][0]"),
        (
            {"sources": {"exclude": [{"actors": "ams", "ip_address": "10.0.0.1"}]}},
            "sources.exclude[0]",
        ),
        ({"sources": {"exclude": [{"ip_address": "10.0.0"}]}}, "sources.exclude[0]"),
        ({"sources": {"include": [[{"fqdn": "x"}]]}}, "sources.include[0][0]"),
        ({"sources": {"exclude": [{"transmission": "unicast"}]}}, "sources.exclude[0]"),
        (
            {"destinations": {"include": [[{"transmission": "unicast"}]]}},
            "destinations.include[0][0]",
        ),
        ({"sources": {"include": [[{"label": {}}]]}}, "sources.include[0][0].label"),
        ({"services": {"include": [{"port": 65_536}]}}, "services.include[0].port"),
        ({"services": {"include": [{"to_port": 3}]}}, "services.include[0].to_port"),
        ({"services": {"exclude": [{"port": 9, "to_port": 3}]}}, "services.exclude[0].to_port"),
        ({"sources": {"exclude": [{"actors": "ams"}] * (MAX_ACTORS + 1)}}, "sources"),
    ],
)
def test_refused(document, field):
    """Each fault is named by the path of the attribute."""
    with pytest.raises(Invalid) as caught:
        validate_query(document)
    assert [problem.field for problem in caught.value.problems] == [field]
    assert {problem.token for problem in caught.value.problems} == {"invalid_traffic_query"}


def test_all_faults_at_once():
    """Values that make no sense are all named in one answer."""
    with pytest.raises(Invalid) as caught:
        validate_query({"start_date": "x", "end_date": "y", "max_results": MAX_RESULTS + 1})
    fields = [problem.field for problem in caught.value.problems]
    assert fields == ["start_date", "end_date", "max_results"]
