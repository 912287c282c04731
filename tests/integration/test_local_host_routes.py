"""Requests find their function as they would on an HTTP API. (tests/infra compares the tables.)"""

import pytest

from pce_local.routes import RouteTable

VEN = "/ven/v1/orgs/1/vens/0190-abc"


@pytest.mark.parametrize(
    ("method", "path", "function", "parameters"),
    [
        ("POST", "/ven/v1/activate", "ven_activate", {}),
        ("POST", f"{VEN}/heartbeat", "ven_heartbeat", {"org_id": "1", "ven_id": "0190-abc"}),
        ("POST", f"{VEN}/policy/applied", "ven_policy", {"org_id": "1", "ven_id": "0190-abc"}),
        ("PUT", "/ven/v1/orgs/1/vens/a%2Fb/users", "ven_reports", {"org_id": "1", "ven_id": "a/b"}),
        # Another method, another version, another place: the greedy route takes what is left.
        ("GET", "/ven/v1/activate", "ven_version", {"proxy": "v1/activate"}),
        ("POST", "/ven/v2/activate", "ven_version", {"proxy": "v2/activate"}),
        ("POST", f"{VEN}/heartbeat/", "ven_version", {"proxy": f"{VEN[5:]}/heartbeat/"}),
        # A full path goes before a greedy one, although its second segment is a variable.
        ("GET", "/api/v2/software/ven/image", "ven_software", {"version": "v2"}),
        ("GET", "/api/v25/software/ven/image", "ven_software", {"version": "v25"}),
        ("POST", "/api/v2/software/ven/image", "api", {"proxy": "software/ven/image"}),
        ("DELETE", "/api/v2/orgs/1/labels/7", "api", {"proxy": "orgs/1/labels/7"}),
    ],
)
def test_most_specific_route_wins(method, path, function, parameters):
    """Full paths before greedy ones, the method before ANY; variables are decoded."""
    match = RouteTable().match(method, path)
    assert match is not None
    assert (match.route.function, match.parameters) == (function, parameters)


@pytest.mark.parametrize(
    "path", ["/", "/ven", "/ven/", "/api/v2/", "/api/v1/x", "/VEN/v1/activate"]
)
def test_no_route(path):
    """What nothing matches is nobody's."""
    assert RouteTable().match("GET", path) is None
