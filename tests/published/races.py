"""Two clients change the same objects at once, in threads: nothing that was accepted is lost,
and nobody reads half of a change.

    python -m tests.published.races --rounds 1000

Each round has eight such races: attributes of their own of a workload, a label, a service and a
rule set; the same attributes, by itself and in bulk; two rules of a rule set that is provisioned
meanwhile, and their deletion; two labels alike. A client that is told to come again (409) does.
"""

import argparse
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest import mock

from pce.runtime import api_gate
from tests.fakes.api import Answer, new_org
from tests.fakes.installation import installed

TRIES = 50
"""How often a client that hears 409 comes again: each time somebody else's change went through."""
ANYBODY = {"providers": [{"actors": "ams"}], "consumers": [{"actors": "ams"}]}


class Shared:
    """One org, and the objects that both clients change."""

    def __init__(self) -> None:
        self.api = new_org("Races")
        api = self.api
        service = {"name": "s", "service_ports": [{"proto": 6, "port": 1}]}
        self.label = api.post(f"{api.org}/labels", {"key": "role", "value": "web"})["href"]
        self.workload = api.post(f"{api.org}/workloads", {"name": "w"})["href"]
        self.service = api.post(f"{api.draft}/services", service)["href"]
        self.rule_set = api.post(f"{api.draft}/rule_sets", {"name": "r", "scopes": [[]]})["href"]
        self.conflicts = 0

    def until_accepted(self, method: str, path: str, body: Any) -> Answer:
        """Repeat while the answer is 409, as it asks."""
        for _ in range(TRIES):
            answer = self.api.call(method, path, body)
            if answer.status != 409:
                assert answer.status < 300, (method, path, answer.status, answer.raw)
                return answer
            self.conflicts += 1
        raise AssertionError(f"{method} {path} was refused {TRIES} times")


def race(rounds: int) -> list[str]:
    """What was lost or torn in so many rounds. Some 15 requests a round."""
    wrong: list[str] = []
    with (
        installed(),
        mock.patch.object(api_gate, "count_request"),
        ThreadPoolExecutor(2) as clients,
    ):
        shared = Shared()
        for number in range(rounds):
            wrong += _round(shared, clients, number)
        print(f"{rounds} rounds, {shared.conflicts} times 409, {len(wrong)} findings", flush=True)
    return wrong


def _round(shared: Shared, clients: ThreadPoolExecutor, number: int) -> list[str]:
    api, text = shared.api, f"round {number}"
    wrong: list[str] = []

    def at_once(*calls: Callable[[], Any]) -> list[Any]:
        return [done.result() for done in [clients.submit(call) for call in calls]]

    def put(path: str, body: Any) -> Callable[[], Answer]:
        return lambda: shared.until_accepted("PUT", path, body)

    # Attributes of their own: both stay.
    for href, mine, theirs in (
        (shared.workload, {"description": text}, {"data_center": text}),
        (
            shared.label,
            {"external_data_set": "x", "external_data_reference": text},
            {"value": text},
        ),
        (shared.service, {"description": text}, {"process_name": text}),
        (shared.rule_set, {"description": text}, {"name": text}),
    ):
        at_once(put(href, mine), put(href, theirs))
        after = api.get(href)
        wrong += [
            f"{href}: {name} is {after[name]!r}, not {value!r}"
            for name, value in {**mine, **theirs}.items()
            if after[name] != value
        ]
    # The same attributes, two of them together: one of the two changes, never half of each.
    pairs = [{"name": f"{side}-{number}", "description": f"{side}-{number}"} for side in "ab"]
    bulk = f"{api.org}/workloads/bulk_update"
    _, _, *seen = at_once(
        put(shared.workload, pairs[0]),
        lambda: shared.until_accepted("PUT", bulk, [{"href": shared.workload, **pairs[1]}]),
        *[lambda: api.get(shared.workload)] * 2,
    )
    for read in [*seen, api.get(shared.workload)]:
        if read["name"] != read["description"] and read["description"] != text:
            wrong.append(f"half of a change: {read['name']}, {read['description']}")
    # Rules in the same rule set, while it is provisioned: both are there, once each.
    rules = f"{shared.rule_set}/sec_rules"
    bodies = [{**ANYBODY, "ingress_services": [{"proto": 6, "port": port}]} for port in (1, 2)]
    made = at_once(
        *[lambda body=body: shared.until_accepted("POST", rules, body) for body in bodies],
        lambda: api.call("POST", f"{api.org}/sec_policy", {"change_description": text}),
    )
    if made[-1].status not in (201, 406, 409):
        wrong.append(f"provisioning: {made[-1].status} {made[-1].raw!r}")
    there = _rules(shared)
    hrefs = [answer.json["href"] for answer in made[:2]]
    if sorted(there) != sorted(hrefs):
        wrong.append(f"{hrefs} made, {there} there")
    at_once(*[lambda href=href: shared.until_accepted("DELETE", href, None) for href in hrefs])
    if _rules(shared):
        wrong.append("a rule outlived its deletion")
    # The same name: one of the two has it.
    label = {"key": "app", "value": text}
    answers = at_once(*[lambda: api.call("POST", f"{api.org}/labels", label)] * 2)
    if sorted(answer.status for answer in answers) not in ([201, 406], [201, 409]):
        wrong.append(f"labels alike: {[answer.status for answer in answers]}")
    return wrong


def _rules(shared: Shared) -> list[str]:
    """Rules that are not to be deleted by the next provisioning."""
    rules = shared.api.get(shared.rule_set)["rules"]
    return [rule["href"] for rule in rules if rule["update_type"] != "delete"]


def main() -> int:
    """Rounds, and what they found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1000)
    wrong = race(parser.parse_args().rounds)
    print("\n".join(wrong[:40]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
