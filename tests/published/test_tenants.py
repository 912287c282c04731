"""Another org's paths, ids and hrefs, on every endpoint of the document and in every role: nothing
of theirs is shown or changed."""

import json
import re
import time
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

from pce.access.roles import ROLES
from pce.runtime import api_gate
from pce.runtime.wiring import Wiring
from pce.usecases.authenticate import authenticate
from tests.fakes.api import Answer, Api, new_org
from tests.fakes.changing_calls import changing_calls, made_by
from tests.fakes.pairing import pair
from tests.fakes.people import member
from tests.published.described import Operation, operations
from tests.published.estate import filled, populated
from tests.published.known_objects import KnownObjects

MARK = "theirs-7d0c7a52"
"""In the name of everything that they have."""
NOBODY = "7d0c7a52-0000-4000-8000-000000000000"
"""For collections of which they have nothing."""
TIME = re.compile(rb"\d{4}-\d\d-\d\dT[\d:.]+Z")
"""Some answers say when they were made."""
OF_THE_PATH = [each for each in operations() if "{org}" in each.path]


class Tenants:
    """My org, and another one that has something everywhere; what is theirs is marked."""

    def __init__(self, stores: Wiring) -> None:
        self.stores = stores
        self.mine = new_org("Mine")
        self.theirs, self.known = populated(stores, MARK)
        self.before = self.all_of_theirs()

    def ids(self, operation: Operation, org: str) -> dict[str, Any]:
        return {"org": org, "version": "draft", **self.known.ids(operation.path, 0)}

    def path(self, operation: Operation, org: str) -> str:
        return filled(operation.path, self.ids(operation, org), NOBODY)

    def all_of_theirs(self) -> dict[str, Any]:
        """Everything that can be read without an id, but what grows by being read."""
        org = self.theirs.org[6:]
        paths = [
            filled(each.path, {"org": org, "version": "draft"})
            for each in operations()
            if each.method == "GET" and not re.search(r"\{(?!org|version)", each.path)
        ]
        changing = ("/jobs", "/events", "/users/login", "/database_metrics")
        return {
            path: TIME.sub(b"", self.theirs.call("GET", path).raw)
            for path in paths
            if not path.endswith(changing)
        }


@pytest.fixture(scope="module")
def tenants(stores: Wiring) -> Tenants:
    return Tenants(stores)


@pytest.fixture(scope="module", params=["", *ROLES])
def somebody(request: pytest.FixtureRequest, tenants: Tenants, stores: Wiring) -> Api:
    """A user of my org with one role, or with none."""
    return member(tenants.mine, stores, request.param)


def test_their_paths_are_forbidden_to_every_role(tenants: Tenants, somebody: Api) -> None:
    """403 on every endpoint of an org, whoever calls and whatever is sent. Who calls is read once,
    and refusals are not written down."""
    identity = authenticate(somebody.auth, tenants.stores, int(time.time()))
    wrong = []
    with (
        mock.patch.object(api_gate, "authenticate", lambda *given: identity),
        mock.patch.object(api_gate, "refuse_when_known"),
        mock.patch.object(api_gate, "record_refusal"),
    ):
        for operation in OF_THE_PATH:
            path = tenants.path(operation, tenants.theirs.org[6:])
            answer = somebody.call(operation.method, path, {"name": "x"})
            if answer.status != 403 or MARK.encode() in answer.raw:
                wrong.append(f"{operation}: {answer.status}")
    assert not wrong, "\n".join(wrong)


def test_their_ids_name_nothing_in_my_org(tenants: Tenants) -> None:
    """Every endpoint, in my org's paths with their ids: nothing of theirs is in an answer, and
    nothing of theirs is other afterwards. No endpoint is left out."""
    called, wrong = 0, []
    for operation in operations():
        called += 1
        answer = tenants.mine.call(
            operation.method, tenants.path(operation, tenants.mine.org[6:]), {"name": "x"}
        )
        if answer.status >= 500 or MARK.encode() in answer.raw:
            wrong.append(f"{operation}: {answer.status} {answer.raw[:300]!r}")
    assert not wrong, "\n".join(wrong)
    assert called == len(operations())
    assert _differences(tenants.before, tenants.all_of_theirs()) == []


def test_their_hrefs_in_filters_find_nothing(tenants: Tenants) -> None:
    """Every query parameter of every list, with hrefs of theirs in the form that it has."""
    wrong = []
    for operation in operations():
        path = filled(operation.path, tenants.ids(operation, tenants.mine.org[6:]), NOBODY)
        for name in operation.filters:
            for value in _forms(tenants.known, name):
                answer = tenants.mine.call("GET", path, query={name: value})
                if answer.status >= 500 or MARK.encode() in answer.raw:
                    wrong.append(f"{operation} {name}={value}: {answer.raw[:300]!r}")
    assert not wrong, "\n".join(wrong)


def _forms(known: KnownObjects, name: str) -> Iterator[str]:
    collection = name if name.endswith("s") else f"{name}s"
    href = known.first(collection) or known.first("labels")
    yield json.dumps([[href]]) if name == "labels" else href


def test_their_hrefs_in_bodies_are_refused(tenants: Tenants) -> None:
    """Every call that changes something, first with each href in it replaced by one of theirs:
    what refers to them is refused, as a whole or entry by entry, and nothing of theirs is other
    afterwards."""
    mine = new_org("Bodies")
    [me] = mine.get("/users")
    vens = [pair(mine, tenants.stores, f"mine-{n}") for n in range(3)]
    wrong: list[str] = []
    replaced = 0

    def call(method: str, path: str, body: Any) -> Answer:
        nonlocal replaced
        swapped = _swapped(body, mine.org, tenants.known)
        if swapped != body:
            replaced += 1
            answer = mine.call(method, path, swapped)
            if _accepted(answer) or answer.status >= 500 or MARK.encode() in answer.raw:
                wrong.append(f"{method} {path} {swapped}: {answer.status} {answer.raw[:300]!r}")
        return mine.call(method, path, body)

    made_by(changing_calls(mine.org, me["href"], vens), call)
    assert not wrong, "\n".join(wrong)
    assert replaced > 10
    assert _differences(tenants.before, tenants.all_of_theirs()) == []


def _swapped(body: Any, org: str, known: KnownObjects) -> Any:
    """The body with each href of my org replaced by one of theirs of the same collection."""
    if isinstance(body, list):
        return [_swapped(each, org, known) for each in body]
    if isinstance(body, dict):
        return {name: _swapped(each, org, known) for name, each in body.items()}
    if isinstance(body, str) and body.startswith(f"{org}/") and body.count("/") >= 4:
        return known.first(body.split("/")[-2]) or body
    return body


def _accepted(answer: Answer) -> bool:
    """Whether something was done: bulk calls answer 200 with what was refused, entry by entry."""
    if answer.status >= 400:
        return False
    said = answer.json if answer.raw else None
    entries = said if isinstance(said, list) else [said]
    return not all(
        isinstance(each, dict) and (each.get("errors") or each.get("token")) for each in entries
    )


def _differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return [path for path in before if before[path] != after[path]]
