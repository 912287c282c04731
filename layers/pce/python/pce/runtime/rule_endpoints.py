"""What the endpoints of the rules of a rule set do."""

from collections.abc import Mapping
from typing import Any

from pce.errors import NotFound, Problem
from pce.identifiers import tail
from pce.objects.collection import Collection
from pce.objects.rule import KINDS
from pce.objects.rule_set import RULE_SETS
from pce.runtime.api_call import Call, Endpoint, created, no_content, ok, whole
from pce.runtime.http import Reply
from pce.usecases import edit_rules, read_objects


def _rule_set(call: Call, version: str) -> Mapping[str, Any]:
    return read_objects.get_policy_object(
        call.caller, RULE_SETS, version, call.path["rule_set"], call.stores
    )


def list_rules(kind: Collection) -> Endpoint:
    """GET the rules of a rule set, in a policy version."""
    return lambda call: whole(call, list(_rule_set(call, call.version)[KINDS[kind.name]]))


def _rule(call: Call, kind: Collection, version: str, id: str) -> dict[str, Any]:
    for rule in _rule_set(call, version)[KINDS[kind.name]]:
        if tail(rule["href"]) == id:
            return dict(rule)
    message = f"the rule set has no {kind.kind} {id} in {version}"
    raise NotFound(Problem(f"{kind.kind}_not_found", message))


def get_rule(kind: Collection) -> Endpoint:
    """GET one rule, in a policy version."""
    return lambda call: ok(_rule(call, kind, call.version, call.id))


def create_rule(kind: Collection) -> Endpoint:
    """POST a rule into the draft of a rule set."""

    def endpoint(call: Call) -> Reply:
        rule = edit_rules.create_rule(
            call.caller, kind, call.path["rule_set"], call.body, call.stores
        )
        return created(_rule(call, kind, "draft", tail(rule["href"])))

    return endpoint


def update_rule(kind: Collection) -> Endpoint:
    """PUT a rule in the draft of a rule set."""

    def endpoint(call: Call) -> Reply:
        edit_rules.update_rule(
            call.caller, kind, call.path["rule_set"], call.id, call.body, call.stores
        )
        return no_content()

    return endpoint


def delete_rule(kind: Collection) -> Endpoint:
    """DELETE a rule from the draft of a rule set."""

    def endpoint(call: Call) -> Reply:
        edit_rules.delete_rule(call.caller, kind, call.path["rule_set"], call.id, call.stores)
        return no_content()

    return endpoint
