"""What clients may send, and how what is wrong with it is told."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pce.errors import Invalid, Problem
from pce.objects.catalogue import COLLECTIONS
from pce.objects.collection import Collection
from pce.objects.fields import (
    Address,
    Choice,
    Choices,
    Field,
    Flag,
    Integer,
    ListOf,
    Record,
    Reference,
    Shape,
    Text,
)

SHAPE = Shape(
    {
        "name": Text(5),
        "size": Integer(1, 9),
        "on": Flag(),
        "mode": Choice(("a", "b")),
        "tags": ListOf(Text(), max_entries=2),
        "inner": Record(Shape({"x": Integer(0, 1)}, ("x",))),
    },
    required=("name",),
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)


def check(field: Field, value: Any) -> tuple[Any, list[str]]:
    problems: list[Problem] = []
    clean = field.check(value, "at", problems)
    return clean, [problem.token for problem in problems]


def test_unknown_attributes_are_left_out() -> None:
    """Newer clients say more; nothing of it is stored."""
    assert SHAPE.clean({"name": "x", "wings": 2, "inner": {"x": 1, "y": 2}}) == {
        "name": "x",
        "inner": {"x": 1},
    }


@pytest.mark.parametrize("nothing", [None, ""])
def test_null_and_the_empty_string_clear_texts_and_lists(nothing: object) -> None:
    """Of numbers, flags and choices they say nothing: one client sends "" for all that is unset."""
    said = SHAPE.clean(
        {"name": "x", "tags": nothing, "size": nothing, "on": nothing, "mode": nothing}
    )
    assert said == {"name": "x", "tags": []}


@pytest.mark.parametrize("nothing", [{}, {"name": None}, {"name": ""}])
def test_required_attributes_are_named(nothing: dict[str, Any]) -> None:
    """Missing, null and empty are the same to whoever needs it."""
    with pytest.raises(Invalid) as error:
        SHAPE.clean(nothing)
    assert [(p.token, p.field) for p in error.value.problems] == [
        ("required_attribute_missing", "name")
    ]


def test_a_partial_update_needs_nothing_but_clears_nothing_required() -> None:
    """Absent stays as it is; an explicit null of a required attribute is refused."""
    assert SHAPE.clean({"size": 3}, partial=True) == {"size": 3}
    with pytest.raises(Invalid):
        SHAPE.clean({"name": None}, partial=True)


def test_every_problem_is_told_with_its_path() -> None:
    """One answer is enough to mend a request."""
    with pytest.raises(Invalid) as error:
        SHAPE.clean(
            {"name": "too long", "size": 10, "on": 1, "mode": "c", "tags": [1], "inner": {"x": 2}}
        )
    assert [p.field for p in error.value.problems] == [
        "name",
        "size",
        "on",
        "mode",
        "tags[0]",
        "inner.x",
    ]


@pytest.mark.parametrize(
    ("field", "value", "clean"),
    [
        (Address(), "10.0.0.1", "10.0.0.1"),
        (Address(), "2001:DB8::1", "2001:db8::1"),
        (Address(), "10.0.0.0/8", None),
        (Address(), 167772161, None),
        (Address(prefix=True), "10.1.2.3/8", "10.0.0.0/8"),
        (Address(prefix=True), "10.1.2.3", "10.1.2.3"),
        (Address(prefix=True), "10.1.2.3/33", None),
        (Integer(1, 5), True, None),
        (Integer(1, 5), 2.0, None),
        (Choices(("a", "b")), "a", ["a"]),
        (Choices(("a", "b")), ["a", "b"], ["a", "b"]),
        (Choices(("a", "b")), ["c"], None),
        (
            Reference("labels"),
            {"href": "/orgs/1/labels/7", "key": "x"},
            {"href": "/orgs/1/labels/7"},
        ),
        (Reference("labels"), {"href": "/orgs/1/workloads/7"}, None),
        (Reference("labels"), {"href": "/orgs/1/sec_policy/draft/labels/7"}, None),
        (
            Reference("services"),
            {"href": "/orgs/1/sec_policy/active/services/7"},
            {"href": "/orgs/1/sec_policy/draft/services/7"},
        ),
        (Reference("services"), {"href": "/orgs/1/services/7"}, None),
        (Reference("labels"), "/orgs/1/labels/7", None),
        (ListOf(Flag(), 1), [True, False], None),
        (ListOf(Flag()), {"0": True}, None),
    ],
)
def test_single_fields(field: Field, value: object, clean: object) -> None:
    """The clean value, or a problem."""
    found, tokens = check(field, value)
    if clean is None:
        assert tokens == ["invalid_attribute"]
    else:
        assert (found, tokens) == (clean, [])


@pytest.mark.parametrize("collection", COLLECTIONS.values(), ids=lambda c: c.name)
@given(data=st.data())
def test_no_body_is_more_than_refused(collection: Collection, data: st.DataObject) -> None:
    """Whatever JSON arrives: a document of exactly the known attributes, or problems."""
    names = st.sampled_from(list(collection.shape.fields))
    body = data.draw(json_values | st.dictionaries(names, json_values, max_size=6))
    try:
        document = collection.new_document(body)
    except Invalid as error:
        assert all(problem.token and problem.message for problem in error.problems)
    else:
        assert document.keys() == collection.shape.fields.keys() | collection.defaults.keys()
        assert collection.changed_document({"href": "x", **document}, {}) == {
            "href": "x",
            **document,
        }


def test_an_ipv4_address_in_ipv6_clothes_keeps_its_dots() -> None:
    """As RFC 5952 writes it, and as clients compare it with what they sent."""
    problems: list[Problem] = []
    assert Address().check("::FFFF:127.0.0.1", "address", problems) == "::ffff:127.0.0.1"
    assert Address().check("2001:DB8:0::1", "address", problems) == "2001:db8::1"
    assert problems == []
