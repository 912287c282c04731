"""schemathesis over the whole document: no 5xx, and no answer that the document does not have.

    python -m tests.published.fuzz --requests 50000

Rounds of some thousand requests, each against a new installation and a new org; every fourth round
has no credentials. Exit status 1 and a list when anything was found.
"""

import argparse
import contextlib
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import hypothesis
import schemathesis
from hypothesis import HealthCheck, Phase
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi import checks

from pce.runtime.api_answer import ROUTES
from tests.fakes.api import new_org
from tests.fakes.changing_calls import RELEASES, changing_calls, made_by
from tests.fakes.installation import installed
from tests.fakes.pairing import pair
from tests.published.known_objects import KnownObjects
from tests.published.wsgi import Application

DOCUMENT = "/api/v2/openapi.json"
POSITIVE, NEGATIVE = schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE
MAX_FINDINGS = 40


def allowed_methods(ctx: Any, response: Any, case: Any) -> None:
    """405 names the methods of all paths of the document that the request's path fits.
    (schemathesis' own check looks at one path of the document alone.)"""
    if response.status_code == 405:
        path = case.formatted_path.removeprefix("/api/v2")
        expected = {route.method for route in ROUTES if route.pattern.fullmatch(path)}
        [allow] = response.headers["allow"]
        assert not expected or set(allow.split(", ")) == expected, (allow, expected)


CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    allowed_methods,
]
"""What is asked of each answer. That a body which fits its schema is accepted is not: a schema
cannot say that a label exists, or that a name is not taken."""
REFUSED = [*CHECKS, checks.negative_data_rejection]
"""And of the answer to a request that does not fit the document."""


class Round:
    """One org of a new installation, and what was found wrong in the answers to it."""

    def __init__(self, stores: Any, *, credentials: bool) -> None:
        self.known, self.found = KnownObjects(), dict[str, str]()
        self.api = new_org("Fuzz")
        self.application = Application(time.time(), self.known)
        self._fill(stores)
        self.headers = {"Authorization": self.api.auth} if credentials else {}
        config = schemathesis.Config.from_dict(
            # Without credentials of ours, those that are made up are sent.
            {
                "generation": {"with-security-parameters": not credentials},
                # 413 too: the body of 10,001 entries is larger than bodies may be.
                "checks": {"negative_data_rejection": {"expected-statuses": ["4xx"]}},
            }
        )
        self.schema = schemathesis.openapi.from_wsgi(DOCUMENT, self.application, config=config)
        self.operations = [found.ok() for found in self.schema.get_all_operations()]
        self.application.statuses.clear()

    def _fill(self, stores: Any) -> None:
        """Leave an org that has, or had, something in each collection."""
        api, now = self.api, int(self.application.now)
        [me] = api.get("/users")
        vens = [pair(api, stores, f"host{n}", now=now) for n in range(4)]

        def call(method: str, path: str, body: Any) -> Any:
            answer = api.call(method, path, body)
            if answer.raw:
                self.known.learn(answer.json)
            return answer

        made_by(changing_calls(api.org, me["href"], vens[:3]), call)

    def cover(self) -> None:
        """Each boundary that the document names, from both sides."""
        for operation in self.operations:
            for case in self.schema.iter_coverage_cases(
                operation,
                generation_modes=[POSITIVE, NEGATIVE],
                generation_config=self.schema.config.generation,
            ):
                self.judge(case)

    def draw(self, examples: int, seed: int) -> None:
        """So many requests of each kind for each operation: fitting the document with ids of
        objects that exist, fitting it with ids made up, and not fitting it."""
        for operation in self.operations:
            mine, known = self._path(operation, seed)
            self._draw(operation, POSITIVE, known, examples, seed)
            self._draw(operation, POSITIVE, mine, examples, seed)
            if _can_be_wrong(operation):
                self._draw(operation, NEGATIVE, known, examples, seed)

    def draw_fitting(self, every: int) -> None:
        """One request of the first kind for one operation in so many."""
        for operation in self.operations[::every]:
            self._draw(operation, POSITIVE, self._path(operation, 0)[1], 1, 0)

    def _path(self, operation: Any, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """Path parameters: the org's number, and with it ids of objects that exist."""
        mine = {"org": int(self.api.org[6:])} if "{org}" in operation.path else {}
        return mine, {**mine, **self.known.ids(operation.path, seed)}

    def _draw(self, operation: Any, mode: Any, path: Any, examples: int, seed: int) -> None:
        strategy = operation.as_strategy(generation_mode=mode, path_parameters=path)
        with_drawn(strategy, self.judge, examples, seed)

    def judge(self, case: Any) -> None:
        """Make one request, and keep what is wrong with its answer."""
        mode = case.meta.generation.mode if case.meta else POSITIVE
        if re.fullmatch(r"-?\d+", str((case.path_parameters or {}).get("org", ""))):
            # Any other number is 403 and nothing more.
            case.path_parameters = {**case.path_parameters, "org": int(self.api.org[6:])}
        if mode == POSITIVE and isinstance(case.body, dict | list):
            case.body = self.known.references(case.body)
        response = case.call(headers=self.headers)
        # In bulk each entry has a result; a blank body is none.
        blank = isinstance(case.body, bytes) and not case.body.strip()
        negative = mode == NEGATIVE and "/bulk_" not in case.path and not blank
        try:
            case.validate_response(response, checks=REFUSED if negative else CHECKS)
        except FailureGroup as group:
            for failure in group.exceptions:
                what = f"{case.operation.label}: {type(failure).__name__}"
                if what not in self.found:
                    said = f"{failure}"[:1000] + f"\n{response.text[-1500:]}\n{case.body!r}"
                    self.found[what] = said[:3000]
                    print(f"{what}\n{self.found[what]}\n", flush=True)


def _can_be_wrong(operation: Any) -> bool:
    """Whether a query or body can be sent that the document forbids."""
    said = operation.definition.raw
    schemas = [parameter.get("schema") for parameter in said["parameters"]]
    content = said.get("requestBody", {}).get("content", {})
    return any(each and each.get("type") == "integer" for each in schemas) or any(
        each["schema"] for each in content.values()
    )


def with_drawn(strategy: Any, use: Callable[[Any], None], examples: int, seed: int) -> None:
    """Call ``use`` with so many values, the same for the same seed."""

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(strategy)
    def drawn(value: Any) -> None:
        use(value)

    with contextlib.suppress(Unsatisfiable):
        drawn()


def rounds(seed: int, examples: int) -> Iterator[tuple[dict[str, str], Counter[int]]]:
    """Rounds without end: what each found, and how many of its answers had each status."""
    number = 0
    while True:
        with installed(PCE_VEN_RELEASES=RELEASES) as stores:
            this = Round(stores, credentials=number % 4 != 1)
            if number < 2:
                this.cover()
            this.draw(examples, seed + number)
        yield this.found, this.application.statuses
        number += 1


def main() -> int:
    """Rounds until so many requests were answered."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--examples", type=int, default=10, help="of an operation, kind and round")
    arguments = parser.parse_args()
    total: Counter[int] = Counter()
    found: dict[str, str] = {}
    for new, statuses in rounds(arguments.seed, arguments.examples):
        found.update(new)
        total += statuses
        said = ", ".join(f"{status}: {count}" for status, count in sorted(total.items()))
        print(f"{total.total()} requests ({said}), {len(found)} findings", flush=True)
        if total.total() >= arguments.requests or len(found) > MAX_FINDINGS:
            break
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
