"""Create, change and delete the rules of a rule set.

A rule lies inside its rule set's draft, so each edit is a new state of the whole rule set: it is
provisioned, reverted and versioned with it.
"""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pce.errors import Invalid, NotAllowed, NotFound, Problem
from pce.events.journal import ResourceChange
from pce.identifiers import tail
from pce.objects.collection import Collection
from pce.objects.policy_version import new_draft
from pce.objects.rule import KINDS
from pce.objects.rule_set import RULE_SETS
from pce.store.change import Put
from pce.usecases.caller import Caller
from pce.usecases.check_references import check_references
from pce.usecases.stores import Stores
from pce.usecases.write_object import Edit, commit_edit, find, refuse_deleted, until_settled

MAX_RULES = 5_000
"""Rules of one kind in one rule set: what fits into one item, with room to spare."""

Rules = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class _Edit:
    """One change of one rule: the list after it, and what the event says."""

    rules: Rules
    verb: str
    status: int
    change: ResourceChange


def create_rule(
    caller: Caller, kind: Collection, rule_set_id: str, body: Any, stores: Stores
) -> dict[str, Any]:
    """The new rule of a rule set; ``kind`` is allow (``SEC_RULES``) or deny (``DENY_RULES``).

    Raises :class:`NotFound` for the rule set and :class:`Invalid` with everything that is wrong.
    """
    document = kind.new_document(body)
    check_references(caller, kind, document, stores)
    _refuse_beyond_scope(caller, document)
    number = stores.objects.next_id(caller.org_id, kind.name)
    parent = caller.path("sec_policy", "draft", RULE_SETS.name, rule_set_id)
    rule = {
        "href": f"{parent}/{kind.name}/{number}",
        **document,
        **caller.created(),
        "deleted_at": None,
        "deleted_by": None,
    }

    def edit(rules: Rules, active: set[str]) -> _Edit:
        if len(rules) >= MAX_RULES:
            message = (
                f"{parent} has {len(rules)} {kind.name}, at most {MAX_RULES} fit; start another"
            )
            raise Invalid(Problem("rule_set_full", message))
        change = _change(kind, "create", None, rule)
        return _Edit([*rules, rule], "create", 201, change)

    _edit(caller, kind, rule_set_id, stores, edit)
    return rule


def update_rule(
    caller: Caller, kind: Collection, rule_set_id: str, rule_id: str, body: Any, stores: Stores
) -> None:
    """Change a rule: what is not said stays as it is."""

    def edit(rules: Rules, active: set[str]) -> _Edit | None:
        at = _position(kind, rules, rule_id)
        before = rules[at]
        after = kind.changed_document(before, body)
        if after == before:
            return None
        check_references(caller, kind, after, stores, before)
        after = {**after, **caller.updated()}
        _refuse_beyond_scope(caller, after)
        changed = [*rules[:at], after, *rules[at + 1 :]]
        return _Edit(changed, "update", 204, _change(kind, "update", before, after))

    _edit(caller, kind, rule_set_id, stores, edit)


def delete_rule(
    caller: Caller, kind: Collection, rule_set_id: str, rule_id: str, stores: Stores
) -> None:
    """Delete a rule. One that is provisioned is marked, and disappears with the next
    provisioning of its rule set."""

    def edit(rules: Rules, active: set[str]) -> _Edit:
        at = _position(kind, rules, rule_id)
        rest = [*rules[:at], *rules[at + 1 :]]
        if rules[at]["href"] in active:
            marked = {**rules[at], **caller.updated()}
            marked |= {"deleted_at": caller.at, "deleted_by": caller.by}
            rest.insert(at, marked)
        return _Edit(rest, "delete", 204, _change(kind, "delete", rules[at], None))

    _edit(caller, kind, rule_set_id, stores, edit)


def _edit(
    caller: Caller,
    kind: Collection,
    rule_set_id: str,
    stores: Stores,
    edit: Callable[[Rules, set[str]], _Edit | None],
) -> None:
    def attempt() -> None:
        stored = find(caller, RULE_SETS, rule_set_id, stores)
        refuse_deleted(RULE_SETS, stored)
        active = _active_rules(caller, kind, rule_set_id, stores)
        rules = [
            rule
            for rule in stored.document[KINDS[kind.name]]
            if not rule["deleted_at"] or rule["href"] in active
        ]
        made = edit(rules, active)
        if made is None:
            return
        document = {**stored.document, **caller.updated(), KINDS[kind.name]: made.rules}
        put = Put(
            RULE_SETS.stored_in, stored.id, new_draft(document, str(uuid.uuid4())), stored.rev
        )
        states = (stored.document, document)
        edit_of_rule_set = Edit(str(document["href"]), made.change, RULE_SETS, states, puts=(put,))
        commit_edit(caller, kind, edit_of_rule_set, made.verb, made.status, stores)

    until_settled(attempt)


def _refuse_beyond_scope(caller: Caller, rule: Mapping[str, Any]) -> None:
    """Raise :class:`NotAllowed` for a rule by which a manager of one scope would reach hosts
    outside it: whose consumers are anywhere, and whose providers are addresses rather than
    workloads of the scope. It would open, or close, the way out for every host of the org."""
    held = all(grant.is_scoped for grant in caller.grants)
    if held and rule.get("unscoped_consumers") and any("ip_list" in p for p in rule["providers"]):
        message = (
            "unscoped_consumers with an IP list among the providers reaches workloads outside the"
            " scopes of your roles; scope the consumers, or ask an administrator"
        )
        raise NotAllowed(Problem("outside_scope", message, "unscoped_consumers"))


def _active_rules(caller: Caller, kind: Collection, rule_set_id: str, stores: Stores) -> set[str]:
    """Hrefs (in draft form) of the rules that are provisioned. Two reads."""
    versions = stores.policy_versions
    revision = versions.head(caller.org_id).manifest.get(RULE_SETS.name, {}).get(rule_set_id)
    if revision is None:
        return set()
    manifest = {RULE_SETS.name: {rule_set_id: revision}}
    [active] = versions.documents(caller.org_id, manifest, manifest)[RULE_SETS.name]
    return {rule["href"] for rule in active[KINDS[kind.name]]}


def _position(kind: Collection, rules: Rules, rule_id: str) -> int:
    for at, rule in enumerate(rules):
        if tail(rule["href"]) == rule_id:
            if rule["deleted_at"]:
                message = f"{rule['href']} was deleted at {rule['deleted_at']}"
                raise Invalid(Problem(f"{kind.kind}_already_deleted", message))
            return at
    message = f"the rule set has no {kind.kind} {rule_id}"
    raise NotFound(Problem(f"{kind.kind}_not_found", message))


def _change(
    kind: Collection,
    change_type: Literal["create", "update", "delete"],
    before: dict[str, Any] | None,
    after: dict[str, Any] | None,
) -> ResourceChange:
    shown = kind.in_event(after or before or {})
    return ResourceChange(kind.kind, shown, change_type, kind.changes(before, after))
