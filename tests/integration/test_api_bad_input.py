"""What clients must not send is refused with a reason: never a 5xx, whatever its type or depth."""

import random
from typing import Any

import pytest

from pce.runtime.http import MAX_MESSAGE, MAX_PROBLEMS
from tests.fakes.api import Api

DEEP = b"[" * 100_000 + b"]" * 100_000
"""Deeper than any parser that recurses can follow."""


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/labels", DEEP),
        ("POST", "/workloads", {"name": "w", "agent": "x"}),
        ("POST", "/workloads", {"name": "w", "enforcement_mode": ["full"]}),
        ("POST", "/sec_policy", {"change_subset": {"ip_lists": True}}),
        ("POST", "/sec_policy", {"change_subset": {"ip_lists": {"href": "x"}}}),
        ("PUT", "/sec_policy/delete", {"ip_lists": 1}),
        ("POST", "/sec_policy/draft/dependencies", {"change_subset": {"ip_lists": 1}}),
    ],
)
def test_a_body_of_wrong_types_is_refused(
    shared_api: Api, method: str, path: str, body: Any
) -> None:
    """406, and nothing raised."""
    answer = shared_api.call(method, f"{shared_api.org}{path}", body)
    assert answer.status == (201 if body == {"name": "w", "agent": "x"} else 406)


@pytest.mark.parametrize("config", ["x", [1], {"mode": {}}, {"mode": ["enforced"]}])
def test_an_older_attribute_of_a_wrong_type_is_ignored(api: Api, config: Any) -> None:
    """``agent`` is read-only in the present API: what it cannot say, it does not."""
    made = api.post(f"{api.org}/workloads", {"name": "w", "agent": {"config": config}})
    assert made["enforcement_mode"] == "visibility_only"


@pytest.mark.parametrize("href", [{}, [], 1, None])
def test_a_label_without_an_href_fails_its_own_entry(api: Api, href: Any) -> None:
    """In a bulk request the others are created."""
    entries = [{"name": "bad", "labels": [{"href": href}]}, {"name": "good"}]
    said = api.put(f"{api.org}/workloads/bulk_create", entries, 200)
    assert [entry["status"] for entry in said] == ["validation_failure", "created"]


def test_a_workload_too_large_to_store_fails_its_own_entry(api: Api) -> None:
    """In a bulk request the others are created."""
    noise = random.Random(1)
    interfaces = [
        {"name": noise.randbytes(120).hex(), "address": f"2001:db8::{at:x}"} for at in range(4096)
    ]
    large = {"name": "large", "interfaces": interfaces}
    said = api.put(f"{api.org}/workloads/bulk_create", [{"name": "a"}, large, {"name": "b"}], 200)
    assert [entry["status"] for entry in said] == ["created", "validation_failure", "created"]
    assert said[1]["token"] == "object_too_large"


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/workloads", {"labels": "[" * 3000}),
        ("/workloads", {"labels": "{}"}),
        ("/events", {"timestamp[lte]": "yesterday"}),
    ],
)
def test_a_malformed_query_parameter_is_refused(
    shared_api: Api, path: str, query: dict[str, str]
) -> None:
    """406, and nothing raised."""
    assert shared_api.call("GET", f"{shared_api.org}{path}", query=query).status == 406


def test_a_list_of_modes_holds_words(shared_api: Api) -> None:
    """Whatever else is in it matches nothing."""
    query = {"enforcement_modes": '[["full"], 1, {}]'}
    assert shared_api.get(f"{shared_api.org}/workloads", **query) == []


@pytest.mark.parametrize("authorization", ["Basic é", "Basic =", "Basic YXBpXzE=", "Basic /w=="])
def test_credentials_that_are_no_base64_are_refused(shared_api: Api, authorization: str) -> None:
    """401, like all wrong credentials."""
    answer = shared_api.call("GET", f"{shared_api.org}/labels", authorization=authorization)
    assert answer.status == 401


def test_an_id_that_is_no_key_names_nothing(shared_api: Api) -> None:
    """Longer than a key of the table may be."""
    assert shared_api.call("GET", f"{shared_api.org}/labels/{'a' * 1100}").status == 404


def test_an_answer_quotes_little_of_what_was_wrong(shared_api: Api) -> None:
    """Lambda returns 6 MB: neither a long value nor many wrong entries may take them."""
    mode = {"name": "w", "enforcement_mode": "x" * 2_000_000}
    [problem] = shared_api.call("POST", f"{shared_api.org}/workloads", mode).json
    assert len(problem["message"]) == MAX_MESSAGE
    many = {"name": "w", "interfaces": [{"name": "e", "address": "x"}] * 4000}
    assert len(shared_api.call("POST", f"{shared_api.org}/workloads", many).json) == MAX_PROBLEMS
    said = shared_api.put(f"{shared_api.org}/workloads/bulk_create", [mode, many], 200)
    assert all(len(entry["message"]) <= MAX_MESSAGE for entry in said)


def test_a_number_has_one_spelling(api: Api) -> None:
    """An object with two ids would be found by one and not known as used, or as provisioned, by
    the other."""
    label = api.post(f"{api.org}/labels", {"key": "role", "value": "web"})
    number = label["href"].rsplit("/", 1)[-1]
    for spelling in (f"0{number}", number.zfill(12)):
        assert api.call("GET", f"{api.org}/labels/{spelling}").status == 404
        body = {"name": "w", "labels": [{"href": f"{api.org}/labels/{spelling}"}]}
        assert api.call("POST", f"{api.org}/workloads", body).tokens == ["invalid_reference"]


def test_a_list_may_be_asked_for_more_than_there_can_be(shared_api: Api) -> None:
    """However large the number."""
    assert shared_api.get(f"{shared_api.org}/permissions", max_results="9" * 30)
