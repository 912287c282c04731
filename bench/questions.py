"""Explaining one connection in an org of 100,000 workloads and 20,000 rules."""

import random
import time
import uuid
from collections.abc import Callable
from typing import Any

from bench.figure import Figure
from pce.identifiers import OrgId
from pce.objects.policy_content import PolicyContent
from pce.policy.ends import end_at
from pce.policy.explain import explain
from pce.policy.rule_index import RuleIndex
from pce.policy.traffic import Traffic

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
    }


def measure() -> list[Figure]:
    """What an answer costs when the policy's documents are in memory, and its parts."""
    content = policy_of(RULES)
    rng = random.Random(SEED)
    asked = [(_workload(n, rng), _workload(n + 1, rng)) for n in range(0, 20, 2)]
    seconds = [_seconds(lambda pair=pair: _answer(content, pair)) for pair in asked]  # type: ignore[misc]
    return [
        Figure(
            name=f"explain, {RULES} rules in memory, median of {len(asked)}",
            value=sorted(seconds)[len(seconds) // 2],
            unit="s",
            budget=1.0,
            within=max(seconds) <= 1.0,
        )
    ]


def _answer(content: PolicyContent, pair: tuple[dict[str, Any], dict[str, Any]]) -> None:
    estate = content.estate(pair)
    index = RuleIndex(estate)
    ends = [end_at(estate, w.addresses[0], w.id) for w in estate.workloads]
    explain(index, ends[0], ends[1], Traffic(6, 443))


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
