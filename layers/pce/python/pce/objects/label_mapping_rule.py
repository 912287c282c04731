"""Label mapping rules: which labels workloads get by their host names, addresses and so on."""

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pce.errors import Problem
from pce.objects.collection import Collection
from pce.objects.fields import INVALID, MISSING, Flag, ListOf, Reference, Shape
from pce.objects.label_mapping import ADDRESS, COMPARISONS, HOSTNAME, OS, PORT, PROCESS, TOGETHER

PROPERTIES = (HOSTNAME, ADDRESS, OS, PROCESS, PORT)
MAX_DEPTH = 5
MAX_VALUES = 100
MAX_LENGTH = 255
"""Conditions within conditions, values (or inner expressions) of one, and characters of a value:
more than a person would want to read."""


@dataclass(frozen=True, slots=True)
class Expression:
    """``{"property", "operator", "values"}``, or ``{"operator": "and" | "or", "expressions"}``."""

    depth: int = MAX_DEPTH

    def check(self, value: Any, at: str, problems: list[Problem]) -> Any:
        """The clean expression."""
        if not isinstance(value, Mapping):
            problems.append(Problem(INVALID, f"{at}: must be an object", at))
            return {}
        if "expressions" in value:
            return self._joined(value, at, problems)
        return _condition(value, at, problems)

    def _joined(self, value: Mapping[str, Any], at: str, problems: list[Problem]) -> Any:
        operator = _word(value.get("operator"), tuple(TOGETHER), f"{at}.operator", problems)
        where = f"{at}.expressions"
        if self.depth <= 1:
            message = f"{where}: at most {MAX_DEPTH} deep"
            problems.append(Problem(INVALID, message, where))
            return {}
        inner = ListOf(Expression(self.depth - 1), max_entries=MAX_VALUES)
        found = inner.check(value["expressions"], where, problems)
        if not found:
            problems.append(Problem(MISSING, f"{where} must not be empty", where))
        return {"operator": operator, "expressions": found}


def _condition(value: Mapping[str, Any], at: str, problems: list[Problem]) -> dict[str, Any]:
    name = _word(value.get("property"), PROPERTIES, f"{at}.property", problems)
    # Of an address or a port no part means anything.
    whole = name in (ADDRESS, PORT)
    operators = ("equals",) if whole else tuple(COMPARISONS)
    operator = _word(value.get("operator"), operators, f"{at}.operator", problems)
    where, values = f"{at}.values", value.get("values")
    if not isinstance(values, list) or not 0 < len(values) <= MAX_VALUES:
        problems.append(Problem(INVALID, f"{where}: must be a list of 1 to {MAX_VALUES}", where))
        return {}
    clean = [_value(name, one, f"{where}[{n}]", problems) for n, one in enumerate(values)]
    return {"property": name, "operator": operator, "values": clean}


def _word(value: Any, words: tuple[str, ...], at: str, problems: list[Problem]) -> Any:
    if not isinstance(value, str) or value not in words:
        message = f"{at}: {value!r} is not one of {', '.join(words)}"
        problems.append(Problem(INVALID, message, at))
    return value


def _value(name: str, value: Any, at: str, problems: list[Problem]) -> Any:
    text = str(value) if name == PORT and type(value) is int else value
    if not isinstance(text, str) or not 0 < len(text) <= MAX_LENGTH:
        message = f"{at}: must be a text of 1 to {MAX_LENGTH} characters"
        problems.append(Problem(INVALID, message, at))
    elif name == ADDRESS:
        try:
            return str(ipaddress.ip_network(text, strict=False))
        except ValueError:
            message = f"{at}: {text!r} is no address or network"
            problems.append(Problem(INVALID, message, at))
    return text


@dataclass(frozen=True, slots=True)
class LabelAssignment:
    """``{"label": {"href"}}``, or the reference alone."""

    def check(self, value: Any, at: str, problems: list[Problem]) -> Any:
        """The entry as clients read it."""
        given = value.get("label", value) if isinstance(value, Mapping) else value
        return {"label": Reference("labels").check(given, at, problems)}


def _translated(body: Any) -> Any:
    """``match_criteria``, a list of conditions that must all be met, as an expression."""
    criteria = body.get("match_criteria") if isinstance(body, Mapping) else None
    if not isinstance(criteria, list) or "expression" in body:
        return body
    return {**body, "expression": {"operator": "and", "expressions": criteria}}


def _whole_problems(document: Mapping[str, Any]) -> Iterable[Problem]:
    if not document.get("label_assignments"):
        message = "label_assignments is required: the labels to give"
        yield Problem(MISSING, message, "label_assignments")


LABEL_MAPPING_RULES = Collection(
    name="label_mapping_rules",
    kind="label_mapping_rule",
    shape=Shape(
        {
            "enabled": Flag(),
            "expression": Expression(),
            "label_assignments": ListOf(LabelAssignment(), max_entries=64),
        },
        required=("expression", "label_assignments"),
    ),
    defaults={"enabled": True},
    unique=(),
    translate=_translated,
    whole_check=_whole_problems,
    searched=(),
    numbered=False,
    shown_in_events=("href",),
)
"""In which order they are: ``usecases/order_mapping_rules.py``."""


def in_order(rules: Iterable[Mapping[str, Any]], order: Iterable[str]) -> list[Mapping[str, Any]]:
    """Rules by their order, a list of hrefs; those that it does not name follow, oldest first."""
    place = {href: at for at, href in enumerate(order)}
    last = len(place)
    return sorted(
        rules, key=lambda rule: (place.get(rule["href"], last), rule["created_at"], rule["href"])
    )
