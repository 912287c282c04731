"""Query parameters, in the spellings of the various clients."""

from datetime import UTC, datetime

import pytest

from pce.errors import Invalid
from pce.objects.filters import (
    at_least,
    boolean,
    contains,
    exact_first,
    has_labels,
    lists_address,
    matching,
    time_of,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("true", True), ("True", True), ("YES", True), ("1", True), ("False", False), ("no", False)],
)
def test_booleans(text: str, expected: bool) -> None:
    """As JSON, Python and people write them."""
    assert boolean(text, "x") is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31T12:00:00.123456789Z", datetime(2026, 1, 31, 12, 0, 0, 123456, UTC)),
        ("2026-01-31T14:00:00+02:00", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31T12:00:00 00:00", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
    ],
)
def test_times(text: str, expected: datetime) -> None:
    """Any offset and precision; a plus sign that arrived as a space; a date alone."""
    assert time_of(text, "x") == expected


def test_documents_without_a_time_are_not_in_a_range() -> None:
    """Never heard of is neither before nor after."""
    assert not at_least("at")("2026-01-01")({"at": None})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[["a"]]', True),
        ('[["a", "b"]]', True),
        ('[["a", "c"]]', False),
        ('[["c"], ["b"]]', True),
        ('["b"]', True),
        ("[]", True),
    ],
)
def test_labels(text: str, expected: bool) -> None:
    """Inner AND, outer OR."""
    assert has_labels(text)({"labels": [{"href": "a"}, {"href": "b"}]}) is expected


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("10.0.0.1", True),
        ("10.0.0.5", False),
        ("11.0.0.1", False),
        ("192.168.0.3", True),
        ("192.168.0.5", False),
        ("::1", False),
        ("2001:db8::5", True),
    ],
)
def test_addresses_of_ip_lists(address: str, expected: bool) -> None:
    """Networks and ranges include, exclusions exclude, families do not mix."""
    ip_list = {
        "ip_ranges": [
            {"from_ip": "10.0.0.0/8"},
            {"from_ip": "10.0.0.5", "exclusion": True},
            {"from_ip": "192.168.0.1", "to_ip": "192.168.0.4"},
            {"from_ip": "2001:db8::/32"},
        ]
    }
    assert lists_address(address)(ip_list) is expected


def test_a_malformed_value_names_its_parameter() -> None:
    """Not the attribute that it would have been compared with."""
    with pytest.raises(Invalid) as error:
        matching([], {"seen[gte]": at_least("inner.seen_at")}, {"seen[gte]": "soon"})
    assert error.value.problems[0].field == "seen[gte]"


def test_exact_matches_come_first_and_the_rest_keeps_its_order() -> None:
    """Some clients take the first of what a substring finds."""
    documents = [{"name": name} for name in ("b-web", "a-web", "WEB")]
    found = matching(documents, {"name": contains("name")}, {"name": "web"})
    ordered = exact_first(found, ("name",), {"name": "web"})
    assert [document["name"] for document in ordered] == ["WEB", "b-web", "a-web"]
