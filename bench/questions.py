"""Questions about policy in an org of 100,000 workloads and 20,000 rules."""

import gc
import random
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from bench.figure import Figure
from pce.identifiers import OrgId
from pce.objects.policy_content import PolicyContent
from pce.policy.estate_from_documents import Surroundings, label_keys_of
from pce.policy.questions.ends import end_at
from pce.policy.questions.explain import explain
from pce.policy.questions.impact import Impact
from pce.policy.questions.rule_index import RuleIndex
from pce.policy.traffic import Traffic
from pce.store.directory import DirectoryStore
from pce.usecases.affected_workloads import as_rules_see

WORKLOADS = 100_000
RULES = 20_000
ORG = OrgId(1)
SEED = 7


def policy_of(rules: int, seed: int = SEED) -> PolicyContent:
    """Drafts as they are stored: four rules in each application's scope of two environments, one of
    them for another application; ports shared by many; a hundred rules for everybody."""
    rng = random.Random(seed)
    apps = rules // 4
    rule_sets = [_app(app, rng) for app in range(apps - 25)]
    rule_sets += [_rule_set(f"all{n}", [[]], "role4", rng) for n in range(25)]
    keys = {"app": apps, "env": 5, "role": 5, "loc": 8}
    labels = [
        {"href": f"/orgs/{ORG}/labels/{key}{n}", "key": key, "value": f"{key} {n}"}
        for key, count in keys.items()
        for n in range(count)
    ]
    return PolicyContent(ORG, "draft", None, {"rule_sets": rule_sets}, labels)


def _label(id: str) -> dict[str, Any]:
    return {"label": {"href": f"/orgs/{ORG}/labels/{id}"}}


def _app(app: int, rng: random.Random) -> dict[str, Any]:
    scopes = [[_label(f"app{app}"), _label(f"env{env}")] for env in (0, 1)]
    return _rule_set(str(app), scopes, f"app{app * 7 // 8}", rng)


def _rule_set(id: str, scopes: list[Any], guests: str, rng: random.Random) -> dict[str, Any]:
    href = f"/orgs/{ORG}/sec_policy/draft/rule_sets/{id}"
    return {
        "href": href,
        "name": f"rule set {id}",
        "enabled": True,
        "scopes": scopes,
        "rules": [
            {
                "href": f"{href}/sec_rules/{tier}",
                "enabled": True,
                "description": f"tier {tier}",
                "providers": [_label(f"role{tier}")],
                "consumers": [_label(guests if tier == 3 else f"role{tier + 1}")],
                "ingress_services": [{"proto": 6, "port": rng.choice((443, 8443, 5432))}],
                "resolve_labels_as": {"providers": ["workloads"], "consumers": ["workloads"]},
                "unscoped_consumers": tier == 3,
            }
            for tier in range(4)
        ],
        "deny_rules": [],
    }


def _workload(number: int, rng: random.Random) -> dict[str, Any]:
    labels = (f"app{int(5000 * rng.random() ** 2)}", f"env{number % 2}", f"role{rng.randrange(5)}")
    return {
        "href": f"/orgs/{ORG}/workloads/{uuid.UUID(int=number)}",
        "labels": [_label(label)["label"] for label in labels],
        "interfaces": [{"name": "eth0", "address": f"10.{number >> 8}.{number & 255}.1"}],
        "ven": {"href": f"/orgs/{ORG}/vens/{uuid.UUID(int=number)}"},
        "online": True,
        "enforcement_mode": "full",
        "visibility_level": "flow_summary",
    }


def measure() -> list[Figure]:
    """What answers cost once stored documents are in memory: CPU of this process."""
    gc.set_threshold(100_000)  # as the API's function does
    content = policy_of(RULES)
    rng = random.Random(SEED)
    asked = [(_workload(n, rng), _workload(n + 1, rng)) for n in range(0, 20, 2)]
    seconds = sorted(_seconds(lambda pair=pair: _explain(content, pair)) for pair in asked)  # type: ignore[misc]
    directory = _directory(WORKLOADS, rng)
    cold = _seconds(lambda: directory.holders(ORG, ["10.1.1.1"]))
    warm = _seconds(lambda: directory.holders(ORG, ["10.2.2.1", "10.3.3.1"]))
    return [
        _figure(f"explain, {RULES} rules, median of {len(asked)}", seconds[len(seconds) // 2], 1.0),
        _figure(f"directory of {WORKLOADS} workloads, first look", cold, 2.0),
        _figure(f"directory of {WORKLOADS} workloads, next look", warm, 0.1),
        *_impact(content, directory),
    ]


def _explain(content: PolicyContent, pair: tuple[dict[str, Any], dict[str, Any]]) -> None:
    estate = content.estate(pair)
    index = RuleIndex(estate)
    ends = [end_at(estate, w.addresses[0], w.id) for w in estate.workloads]
    explain(index, ends[0], ends[1], Traffic(6, 443))


def _directory(workloads: int, rng: random.Random) -> DirectoryStore:
    """A directory whose archive is a dictionary, written and not yet read."""
    archive: Any = _Archive()
    DirectoryStore(archive).save(ORG, (_workload(n, rng) for n in range(workloads)), ())
    return DirectoryStore(archive)


class _Archive(dict[str, bytes]):
    def put(self, key: str, body: bytes) -> None:
        self[key] = body


def _impact(content: PolicyContent, directory: DirectoryStore) -> list[Figure]:
    """Of a rule set of one application that loses a rule, and of one for everybody; and of so many
    rule sets that half of all classes hold a touched rule."""
    around = Surroundings(label_keys_of(content.labels), {})
    figures = []
    for name, changed in (
        ("one application's", slice(3, 4)),
        ("everybody's", slice(-1, None)),
        ("half of all", slice(0, None, 2)),
    ):
        rule_sets = list(content.documents["rule_sets"])
        rule_sets[changed] = [{**one, "rules": one["rules"][1:]} for one in rule_sets[changed]]
        after = replace(content, documents={"rule_sets": rule_sets})

        def count(after: PolicyContent = after) -> int:
            impact = Impact(content.estate(), after.estate())
            hosts = (directory.workloads(ORG) or {}).values()
            return sum(impact.changes(as_rules_see(host, around)) for host in hosts)

        title = f"impact on {WORKLOADS} workloads of the index, {name} rules"
        figures.append(_figure(title, _seconds(count), 8.0))
    return figures


def _seconds(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def _figure(name: str, seconds: float, budget: float) -> Figure:
    return Figure(name, seconds, "s", budget, within=seconds <= budget)
