"""Real answers against the published document: no status and no body that it does not have."""

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from pce.objects.examples import EXAMPLES
from pce.runtime.api_answer import ROUTES, Route, document
from pce.runtime.published_api import LISTS_ARE_SENT
from pce.runtime.wiring import Wiring
from tests.fakes.api import Answer, Api, new_org
from tests.fakes.changing_calls import RELEASES, changing_calls, made_by
from tests.fakes.installation import installed
from tests.fakes.pairing import pair


@pytest.fixture(scope="module")
def stores() -> Iterator[Wiring]:
    with installed(PCE_VEN_RELEASES=RELEASES) as stores:
        yield stores


@lru_cache(maxsize=1)
def described() -> dict[str, Any]:
    """The document as a client reads it."""
    described: dict[str, Any] = json.loads(json.dumps(document()))
    return described


def problems(route: Route, answer: Answer, body: Any = None) -> list[str]:
    """What contradicts the document in one call."""
    operation = described()["paths"][route.path][route.method.lower()]
    where = f"{route.method} {route.path}"
    found = []
    if body is not None and not isinstance(body, bytes):
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        found += [f"{where} body: {each}" for each in _invalid(schema, body)]
    response = operation["responses"].get(str(answer.status))
    if response is None:
        return [*found, f"{where}: status {answer.status} is not in the document"]
    if "$ref" in response:
        response = described()["components"]["responses"][response["$ref"].rsplit("/", 1)[-1]]
    content = response.get("content")
    if content is None:
        return found if not answer.raw else [*found, f"{where}: a body is not in the document"]
    schema = content["application/json"]["schema"]
    found += [f"{where} {answer.status}: {each}" for each in _invalid(schema, answer.json)]
    missing = [name for name in response.get("headers", ()) if name.lower() not in answer.headers]
    return found + [f"{where}: no header {name}" for name in missing]


def _invalid(schema: dict[str, Any], value: Any) -> list[str]:
    whole = {**schema, "components": described()["components"]}
    errors = Draft202012Validator(whole).iter_errors(value)
    return [f"{error.json_path}: {error.message[:200]}" for error in errors]


def _route(method: str, path: str) -> Route:
    return next(r for r in ROUTES if r.method == method and r.pattern.fullmatch(path))


def test_every_change_is_as_published(stores: Wiring) -> None:
    """What is sent fits the request's schema, what comes back the answer's; and so does what can be
    read afterwards: every collection, and each object that was made."""
    api = new_org("Contract")
    [me] = api.get("/users")
    vens = [pair(api, stores, f"host{n}") for n in range(3)]
    wrong: list[str] = []
    read: set[str] = set()

    def look_at(path: str) -> None:
        route = _route("GET", path)
        wrong.extend(problems(route, api.call("GET", path)))
        read.add(route.path)

    def call(method: str, path: str, body: Any) -> Answer:
        answer = api.call(method, path, body)
        wrong.extend(problems(_route(method, path), answer, body))
        for href in _hrefs(answer):
            look_at(href)
        return answer

    made_by(changing_calls(api.org, me["href"], vens), call)
    values = {"org": api.org[6:], "version": "active", "number": "1"}
    for route in ROUTES:
        path = route.path
        for name, value in values.items():
            path = path.replace(f"{{{name}}}", value)
        if route.method == "GET" and "{" not in path:
            look_at(path)
    assert not wrong, "\n".join(sorted(set(wrong)))
    assert len(read) > 80


def _hrefs(answer: Answer) -> list[str]:
    """Hrefs of what a call has made."""
    if answer.status != 201 or not answer.raw:
        return []
    made = answer.json if isinstance(answer.json, list) else [answer.json]
    hrefs = [one["href"] for one in made if one.get("href")]
    return [h for h in hrefs if any(r.method == "GET" and r.pattern.fullmatch(h) for r in ROUTES)]


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_works(api: Api, name: str) -> None:
    """As it stands in the document."""
    parents = {
        "sec_rules": (f"{api.draft}/rule_sets", EXAMPLES["rule_sets"]),
        "deny_rules": (f"{api.draft}/rule_sets", EXAMPLES["rule_sets"]),
        "container_workload_profiles": (f"{api.org}/container_clusters", {"name": "parent"}),
    }
    if name in parents:
        path = f"{api.post(*parents[name])['href']}/{name}"
    else:
        [path] = [r.path for r in ROUTES if r.method == "POST" and r.path.endswith(f"/{name}")]
        path = path.replace("{org}", api.org[6:])
    body = [EXAMPLES[name]] if name in LISTS_ARE_SENT else EXAMPLES[name]
    answer = api.call("POST", path, body)
    assert answer.status == 201, answer.raw
    assert not problems(_route("POST", path), answer, body)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/orgs/{org}/labels/999", None, 404),
        ("POST", "/orgs/{org}/labels", {"key": "nothing"}, 406),
        ("GET", "/orgs/999/labels", None, 403),
        ("GET", "/orgs/{org}/labels", "no key", 401),
    ],
)
def test_refusals_are_as_published(
    shared_api: Api, method: str, path: str, body: Any, status: int
) -> None:
    """A list of problems, whatever the reason."""
    headers = {"authorization": ""} if body == "no key" else {}
    said = body if isinstance(body, dict) else None
    path = path.replace("{org}", shared_api.org[6:])
    answer = shared_api.call(method, path, said, **headers)
    assert answer.status == status
    assert not problems(_route(method, path), answer)


@pytest.mark.parametrize("rubbish", ["text", [{"href": 5}]])
def test_rubbish_is_refused_as_published(stores: Wiring, rubbish: Any) -> None:
    """Every endpoint that takes a body, with one that it has no use for: nothing breaks, and the
    answer is one that the document has."""
    api = new_org("Rubbish")
    values = {"org": api.org[6:], "version": "draft", "number": "1", "id": "1"}
    wrong = []
    for route in ROUTES:
        if route.method not in ("POST", "PUT") or route.path.startswith("/users/"):
            continue
        path = re.sub(r"\{(\w+)\}", lambda name: values.get(name[1], "1"), route.path)
        wrong += problems(route, api.call(route.method, path, rubbish))
    assert not wrong, "\n".join(wrong)


def test_the_pce_serves_its_document(shared_api: Api) -> None:
    """To anybody, as JSON and as a page that a browser runs nothing of."""
    answer = shared_api.call("GET", "/openapi.json", authorization="")
    assert answer.json == described()
    page = shared_api.call("GET", "/docs", authorization="", accept_encoding="gzip")
    assert page.status == 200 and page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.headers["content-encoding"] == "gzip"
