"""schemathesis over the whole document: no 5xx, and no answer that the document does not have.

    python -m tests.published.fuzz --requests 50000

Rounds of some thousand requests, each against a new installation and a new org; every fourth round
has no credentials. Exit status 1 and a list when anything was found. Some 12 ms of CPU a request.
"""

import argparse
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import schemathesis
from schemathesis.engine import events, from_schema

from pce.runtime.api_routes import ROUTES
from tests.fakes.api import Api, new_org
from tests.fakes.changing_calls import RELEASES, changing_calls, made_by
from tests.fakes.installation import installed
from tests.fakes.pairing import pair
from tests.published.known_objects import KnownObjects
from tests.published.wsgi import Application

DOCUMENT = "/api/v2/openapi.json"
MAX_FINDINGS = 40

CHECKS = {
    # A schema cannot say that a label exists, or that two ports do not overlap: a body that fits
    # it may be refused.
    "positive_data_acceptance": {"enabled": False},
    # Looks at one path of the document alone, see `allowed_methods`.
    "allow_header_conformance": {"enabled": False},
}
BULK = {
    # Answers 200 with one result for each entry, among them those of what was refused.
    "include-path-regex": "/bulk_",
    "checks": {"negative_data_rejection": {"enabled": False}},
}


@schemathesis.check
def allowed_methods(ctx: Any, response: Any, case: Any) -> None:
    """405 names the methods of all paths of the document that the request's path fits."""
    if response.status_code != 405:
        return
    path = case.formatted_path.removeprefix("/api/v2")
    expected = {route.method for route in ROUTES if route.pattern.fullmatch(path)}
    [allow] = response.headers["allow"]
    assert set(allow.split(", ")) == expected, (allow, expected)


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Put in what exists."""
    kwargs.pop("max_redirects", None)  # the WSGI client has no such argument
    known = case.operation.schema.app.known
    if case.path_parameters:
        case.path_parameters = known.ids(case.path, case.path_parameters)
    case.body = known.references(case.body)


def findings(
    max_examples: int, seed: int, *, credentials: bool = True, coverage: bool = True
) -> tuple[list[str], Counter[int]]:
    """One round: what contradicts the document, and how many answers had each status."""
    with installed(PCE_VEN_RELEASES=RELEASES) as stores:
        known, api = KnownObjects(), new_org("Fuzz")
        application = Application(time.time(), known)
        [me] = api.get("/users")
        vens = [pair(api, stores, f"host{n}", now=int(application.now)) for n in range(4)]

        def call(method: str, path: str, body: Any) -> Any:
            answer = api.call(method, path, body)
            if answer.raw:
                known.learn(answer.json)
            return answer

        # Leaves an org that has, or had, something in each collection.
        made_by(changing_calls(api.org, me["href"], vens[:3]), call)
        config = _config(api, max_examples, seed, credentials, coverage)
        schema = schemathesis.openapi.from_wsgi(DOCUMENT, application, config=config)
        application.statuses.clear()
        found = dict(_failures(schema))
        return [f"{what}\n    {how}" for what, how in found.items()], application.statuses


def _config(
    api: Api, max_examples: int, seed: int, credentials: bool, coverage: bool
) -> schemathesis.Config:
    config = schemathesis.Config.from_dict(
        {
            "seed": seed,
            "headers": {"Authorization": api.auth} if credentials else {},
            "parameters": {"path.org": int(api.org[6:])},
            "checks": CHECKS,
            "operations": [BULK],
            "phases": {"coverage": {"enabled": coverage}, "stateful": {"enabled": False}},
            "generation": {"max-examples": max_examples, "no-shrink": True, "database": "none"},
        }
    )
    return config


def _failures(schema: Any) -> Iterator[tuple[str, str]]:
    for event in from_schema(schema).execute():
        if isinstance(event, events.NonFatalError):
            yield f"{event.label}: {event.value!r}"[:500], ""
        elif isinstance(event, events.FatalError):
            yield f"stopped: {event.exception!r}"[:500], ""
        elif isinstance(event, events.ScenarioFinished):
            for nodes in event.recorder.checks.values():
                for node in nodes:
                    if node.failure_info is not None:
                        failure = node.failure_info.failure
                        what = f"{failure.operation}: {node.name}: {failure.title}"
                        yield what, f"{failure.message}\n    {node.failure_info.code_sample}"[:900]


def main() -> int:
    """Rounds until so many requests were answered."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--examples", type=int, default=20, help="an operation and round")
    arguments = parser.parse_args()
    total: Counter[int] = Counter()
    found: dict[str, None] = {}
    number = 0
    while total.total() < arguments.requests and len(found) < MAX_FINDINGS:
        new, statuses = findings(
            arguments.examples,
            arguments.seed + number,
            credentials=number % 4 != 1,
            coverage=number < 2,
        )
        found.update(dict.fromkeys(new))
        total += statuses
        number += 1
        said = ", ".join(f"{status}: {count}" for status, count in sorted(total.items()))
        print(f"{total.total()} requests ({said}), {len(found)} findings", flush=True)
        for finding in new:
            print(re.sub(r"Basic \S+", "Basic ...", finding), flush=True)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
