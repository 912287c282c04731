"""What holds for every endpoint: statuses, headers, limits, jobs, bad input."""

import json

import pytest

from tests.fakes.api import Api


@pytest.fixture
def labels(api: Api) -> list[str]:
    """Three labels."""
    return [
        api.post(f"{api.org}/labels", {"key": "role", "value": value})["href"]
        for value in ("web", "web-2", "db")
    ]


@pytest.mark.parametrize(
    "path",
    [
        "/labels",
        "/label_dimensions",
        "/workloads",
        "/vens",
        "/pairing_profiles",
        "/events",
        "/jobs",
        "/networks",
        "/security_principals",
        "/traffic_flows/async_queries",
        "/sec_policy",
        "/sec_policy/draft/ip_lists",
        "/sec_policy/active/services",
        "/sec_policy/1/rule_sets",
        "/sec_policy/draft/label_groups",
        "/sec_policy/draft/enforcement_boundaries",
        "/sec_policy/draft/virtual_services",
        "/sec_policy/draft/virtual_servers",
    ],
)
def test_collections_say_how_many_there_are(shared_api: Api, path: str) -> None:
    """Every collection is a JSON array with X-Total-Count, and a content type without charset;
    ``max_results=0`` asks for the number alone."""
    answer = shared_api.call("GET", f"{shared_api.org}{path}")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.headers["x-total-count"] == str(len(answer.json))
    none = shared_api.call("GET", f"{shared_api.org}{path}", query={"max_results": "0"})
    assert none.json == []
    assert none.headers["x-total-count"].isdigit()


def test_a_list_is_cut_and_its_total_is_not(api: Api, labels: list[str]) -> None:
    """``max_results`` is honoured; the header tells of the rest; filters count."""
    answer = api.call("GET", f"{api.org}/labels", query={"max_results": "1", "value": "web"})
    assert [label["value"] for label in answer.json] == ["web"]
    assert answer.headers["x-total-count"] == "2"


def test_an_exact_match_comes_first(api: Api) -> None:
    """A name filter matches parts in any case; clients that take the first want the exact one."""
    for value in ("web-frontend", "WEB"):
        api.post(f"{api.org}/labels", {"key": "role", "value": value})
    found = api.get(f"{api.org}/labels", value="web")
    assert [label["value"] for label in found] == ["WEB", "web-frontend"]


def test_unknown_parameters_are_ignored(api: Api, labels: list[str]) -> None:
    """Clients send parameters of other releases."""
    assert len(api.get(f"{api.org}/labels", include="labels", wings="2")) == 3


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("max_results", "many"),
        ("max_results", "-1"),
        ("include_deleted", "perhaps"),
        ("labels", "[[/orgs/1/labels/1"),
        ("last_heartbeat_at[gte]", "yesterday"),
    ],
)
def test_malformed_parameters_are_named(shared_api: Api, parameter: str, value: str) -> None:
    """A parameter that cannot be understood is 406, with its name."""
    answer = shared_api.call("GET", f"{shared_api.org}/workloads", query={parameter: value})
    assert (answer.status, answer.tokens) == (406, ["invalid_query_parameter"])
    assert answer.json[0]["field"] == parameter


def test_paths_are_forgiven_their_slashes(api: Api, labels: list[str]) -> None:
    """Clients double slashes and add one at the end."""
    assert len(api.get(f"//orgs/{api.created['org_id']}//labels/")) == 3


def test_unknown_paths_and_methods(shared_api: Api) -> None:
    """404 for what is not there, 405 for what cannot be done there."""
    assert shared_api.call("GET", f"{shared_api.org}/unicorns").tokens == ["not_found"]
    assert shared_api.call("GET", f"{shared_api.org}/labels/999").status == 404
    refused = shared_api.call("DELETE", f"{shared_api.org}/labels", {})
    assert (refused.status, refused.headers["allow"]) == (405, "GET, POST")
    assert shared_api.call("PUT", f"{shared_api.active}/ip_lists/1", {"name": "x"}).status == 405


def test_changes_answer_with_nothing(api: Api, labels: list[str]) -> None:
    """PUT and DELETE are 204 without a body."""
    changed = api.call("PUT", labels[0], {"value": "front"})
    deleted = api.call("DELETE", labels[0])
    assert [(a.status, a.raw) for a in (changed, deleted)] == [(204, b""), (204, b"")]


def test_a_job_is_done_when_it_is_first_asked_for(api: Api, labels: list[str]) -> None:
    """202 with a Location without host and an integer Retry-After; then the whole array."""
    answer = api.call("GET", f"{api.org}/labels", prefer="respond-async")
    assert (answer.status, answer.raw) == (202, b"")
    location = answer.headers["location"]
    assert location.startswith(f"{api.org}/jobs/") and answer.headers["retry-after"].isdigit()
    job = api.get(location)
    assert (job["status"], job["description"]) == ("done", f"{api.org}/labels")
    file = api.call("GET", job["result"]["href"])
    assert file.json == api.get(f"{api.org}/labels")
    packed = api.call("GET", job["result"]["href"], accept_encoding="gzip")
    assert packed.headers["content-encoding"] == "gzip" and packed.json == file.json
    assert api.call("GET", f"{api.org}/datafiles/{'0' * 8}-0000-0000-0000-{'0' * 12}").status == 404


def test_large_answers_are_compressed_for_those_who_take_it(api: Api) -> None:
    """The bytes on the wire shrink; clients that do not offer gzip get plain JSON."""
    ranges = [{"from_ip": f"10.{i // 250}.{i % 250}.0/24"} for i in range(2000)]
    api.post(f"{api.draft}/ip_lists", {"name": "many", "ip_ranges": ranges})
    plain = api.call("GET", f"{api.draft}/ip_lists")
    packed = api.call("GET", f"{api.draft}/ip_lists", accept_encoding="gzip, deflate")
    assert "content-encoding" not in plain.headers
    assert packed.json == plain.json and len(packed.raw) < len(plain.raw) / 5


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b"nul", b'{"key": "role", "value": "x"'])
def test_malformed_json_is_406(shared_api: Api, body: bytes) -> None:
    """Nothing is stored of a body that is no JSON."""
    answer = shared_api.call("POST", f"{shared_api.org}/labels", body)
    assert (answer.status, answer.tokens) == (406, ["malformed_json"])
    assert shared_api.get(f"{shared_api.org}/labels") == []


@pytest.mark.parametrize("body", [[], "text", 7, None, [[]], {"key": None, "value": ""}])
@pytest.mark.parametrize(
    "path", ["labels", "workloads", "pairing_profiles", "sec_policy/draft/rule_sets"]
)
def test_wrong_bodies_are_406_and_never_5xx(shared_api: Api, path: str, body: object) -> None:
    """Whatever JSON arrives, the answer lists what is wrong with it."""
    answer = shared_api.call("POST", f"{shared_api.org}/{path}", json.dumps(body).encode())
    assert answer.status == 406
    assert all(problem["token"] and problem["message"] for problem in answer.json)


def test_everything_that_is_wrong_is_listed(api: Api) -> None:
    """One answer names every bad attribute with its path, and nothing is created."""
    answer = api.call(
        "POST",
        f"{api.draft}/ip_lists",
        {
            "name": 5,
            "ip_ranges": [
                {"from_ip": "10.0.0.256"},
                {"from_ip": "10.0.0.9", "to_ip": "10.0.0.1"},
                {"from_ip": "10.0.0.0/8", "to_ip": "11.0.0.1"},
                {},
            ],
            "fqdns": [{"fqdn": "a b"}],
        },
    )
    assert answer.status == 406
    assert {problem["field"] for problem in answer.json} == {
        "name",
        "ip_ranges[0].from_ip",
        "ip_ranges[1]",
        "ip_ranges[2]",
        "ip_ranges[3].from_ip",
        "fqdns[0].fqdn",
    }
    assert len(api.get(f"{api.draft}/ip_lists")) == 1


def test_head_is_a_get_without_its_body(api: Api, labels: list[str]) -> None:
    """The same status and headers, so the total too."""
    got, head = (api.call(method, f"{api.org}/labels") for method in ("GET", "HEAD"))
    assert (head.status, head.raw) == (200, b"")
    assert head.headers == got.headers and head.headers["x-total-count"] == "3"
    assert api.call("HEAD", f"{api.org}/labels/999").status == 404


def test_an_event_type_may_hold_a_star(api: Api, labels: list[str]) -> None:
    """``label.*`` is every event of labels; without a star the type is compared whole."""
    api.delete(labels[0])
    for wanted, count in (("label.*", 4), ("*.delete", 1), ("label.create", 3), ("label", 0)):
        found = api.get(f"{api.org}/events", event_type=wanted)
        assert len([e for e in found if e["event_type"].startswith("label.")]) == count


def test_a_body_over_the_limit_is_413(shared_api: Api) -> None:
    """Size is refused before it is looked into, also when compression hides it."""
    assert shared_api.call("POST", f"{shared_api.org}/labels", b" " * 4_500_001).status == 413
