"""What is wrong in a body is refused with 406, and every field that is wrong is named."""

import re
from typing import Any

import pytest

from pce.runtime.http import MAX_PROBLEMS
from pce.runtime.wiring import Wiring
from tests.fakes.api import Api
from tests.published.described import Operation, Schema, example, operations, plain, texts
from tests.published.estate import filled, populated
from tests.published.known_objects import KnownObjects

OLDER_SPELLING = "config."
"""Of what devices are: such fields are named as they are spelled now."""
Estate = tuple[Api, KnownObjects]
WITH_FIELDS = [each for each in operations() if plain(each.sent).get("properties")]


@pytest.fixture(scope="module")
def estate(stores: Wiring) -> Estate:
    return populated(stores, "refusals")


def wrong(schema: Schema, at: str, places: list[str]) -> Any:
    """A value of a wrong type at every leaf; their places are appended."""
    schema = plain(schema)
    if "properties" in schema:
        inside = {
            name: wrong(field, f"{at}.{name}" if at else name, places)
            for name, field in schema["properties"].items()
            if name != "href"
        }
        if inside:
            return inside
    if "items" in schema:
        return [wrong(schema["items"], f"{at}[0]", places)]
    if schema:
        places.append(at)
    kind = schema.get("type", "")
    return {"not": "a text"} if "string" in kind or "enum" in schema else "not said"


def refused(estate: Estate, operation: Operation, body: Any) -> list[dict[str, Any]]:
    """The problems of a body that cannot be accepted."""
    api, known = estate
    ids = {"org": api.org[6:], **known.ids(operation.path, 0)}
    answer = api.call(operation.method, filled(operation.path, ids), body)
    assert answer.status == 406, (answer.status, answer.raw)
    problems: list[dict[str, Any]] = answer.json
    return problems


def unnamed(places: list[str], problems: list[dict[str, Any]]) -> list[str]:
    """Places that no problem names, neither alone nor with the object in which they are: of several
    kinds of an actor one may be said, so that an actor is refused as a whole."""
    present = [place.removeprefix(OLDER_SPELLING) for place in places]
    return [place for place in present if not any(_names(problem, place) for problem in problems)]


def _names(problem: dict[str, Any], place: str) -> bool:
    field = problem.get("field") or ""
    if field and (place == field or place.startswith((f"{field}.", f"{field}["))):
        return True
    return re.search(rf"(?<![\w.]){re.escape(place)}(?!\w)", problem["message"]) is not None


@pytest.mark.parametrize("operation", WITH_FIELDS, ids=str)
def test_every_field_of_a_wrong_type_is_named(estate: Estate, operation: Operation) -> None:
    """All of a body's fields wrong at once: 406 once, and none is passed over in silence."""
    places: list[str] = []
    body = wrong(operation.sent, "", places)
    # What it lies under is said by the path.
    places = [place for place in places if f"/{place}s/{{" not in operation.path]
    problems = refused(estate, operation, body)
    assert len(problems) == MAX_PROBLEMS or not unnamed(places, problems), problems


@pytest.mark.parametrize("operation", WITH_FIELDS, ids=str)
def test_every_required_field_that_is_null_is_named(estate: Estate, operation: Operation) -> None:
    """Null is not a value of what an object cannot be without."""
    required = plain(operation.sent).get("required", [])
    if required:
        problems = refused(estate, operation, dict.fromkeys(required))
        assert not unnamed(required, problems), problems


@pytest.mark.parametrize("operation", WITH_FIELDS, ids=str)
def test_every_text_that_is_too_long_is_named(estate: Estate, operation: Operation) -> None:
    """With the limit, which the document says too."""
    fields = plain(operation.sent)["properties"]
    limits = {
        name: plain(field)["maxLength"]
        for name, field in fields.items()
        if "maxLength" in plain(field)
    }
    if limits:
        body = {name: "x" * (limit + 1) for name, limit in limits.items()}
        problems = refused(estate, operation, {**(example(operation) or {}), **body})
        assert not unnamed(list(limits), problems), problems


@pytest.mark.parametrize("operation", WITH_FIELDS, ids=str)
def test_what_is_no_object_is_refused(estate: Estate, operation: Operation) -> None:
    """A text where the document has an object."""
    assert all(problem["message"] for problem in refused(estate, operation, "text"))


def test_unknown_fields_are_ignored(estate: Estate) -> None:
    """Older and newer clients send what this one does not know: it is not kept."""
    api, known = estate
    unknown = []
    for operation in operations():
        body = example(operation)
        if operation.method == "POST" and isinstance(body, dict):
            ids = {"org": api.org[6:], **known.ids(operation.path, 0)}
            answer = api.call("POST", filled(operation.path, ids), {**body, "no_such_field": 1})
            if answer.status != 201:
                said = answer.json
                assert not any("no_such_field" in each["message"] for each in said), said
            elif "no_such_field" in answer.json:
                unknown.append(str(operation))
    assert not unknown


def test_the_walk_reaches_texts_everywhere() -> None:
    """What the fields are generated from is not empty."""
    assert sum(1 for each in WITH_FIELDS for _ in texts(each.sent)) > 100
