"""Label mapping rules in their order: of several that match the first counts.

The order is one item, so that moving a rule is one write, whatever the number of rules.
"""

from collections.abc import Mapping
from typing import Any

from pce.errors import Invalid, Problem
from pce.events.journal import ResourceChange
from pce.identifiers import OrgId
from pce.objects.label_mapping_rule import LABEL_MAPPING_RULES, in_order
from pce.store.change import Put
from pce.store.objects import Stored
from pce.usecases.caller import Caller
from pce.usecases.show_caps import with_caps
from pce.usecases.stores import Stores
from pce.usecases.write_object import Edit, commit_edit, find, not_found, until_settled

ORDER = "label_mapping_order"
"""Where the order is stored, under its own name."""


def ordered_rules(org_id: OrgId, stores: Stores) -> list[Mapping[str, Any]]:
    """All rules in their order. Two requests."""
    order = _order(org_id, stores)
    hrefs = order.document["hrefs"] if order else ()
    stored = stores.objects.all_of(org_id, LABEL_MAPPING_RULES.name)
    return in_order([one.document for one in stored], hrefs)


def _order(org_id: OrgId, stores: Stores) -> Stored | None:
    return stores.objects.get(org_id, ORDER, ORDER)


def list_rules(caller: Caller, stores: Stores) -> list[dict[str, Any]]:
    """All rules as clients see them, with their positions from 1 on."""
    rules = ordered_rules(caller.org_id, stores)
    shown = [
        {**LABEL_MAPPING_RULES.shown(rule), "position": position}
        for position, rule in enumerate(rules, start=1)
    ]
    return with_caps(caller, LABEL_MAPPING_RULES.name, shown, stores)


def get_rule(caller: Caller, id: str, stores: Stores) -> dict[str, Any]:
    """One rule. Raises :class:`NotFound`."""
    href = caller.path(LABEL_MAPPING_RULES.name, id)
    for rule in list_rules(caller, stores):
        if rule["href"] == href:
            return rule
    raise not_found(LABEL_MAPPING_RULES, id)


def move_rule(caller: Caller, id: str, body: Any, stores: Stores) -> None:
    """Give a rule another position, 1 for the first; a number beyond the last is the last. Raises
    :class:`Invalid`."""
    position = body.get("position") if isinstance(body, Mapping) else None
    if type(position) is not int or position < 1:
        message = f"position must be a number from 1 on, not {position!r}"
        raise Invalid(Problem("invalid_attribute", message, "position"))

    def attempt() -> None:
        href = find(caller, LABEL_MAPPING_RULES, id, stores).document["href"]
        order = _order(caller.org_id, stores)
        rules = ordered_rules(caller.org_id, stores)
        hrefs = [str(rule["href"]) for rule in rules]
        before = hrefs.index(href)
        hrefs.insert(position - 1, hrefs.pop(before))
        moved = {"position": {"before": before + 1, "after": hrefs.index(href) + 1}}
        if order is not None and hrefs == order.document["hrefs"]:
            return
        change = ResourceChange(LABEL_MAPPING_RULES.kind, {"href": href}, "update", moved)
        put = Put(ORDER, ORDER, {"hrefs": hrefs}, order.rev if order else None)
        edit = Edit(href, change, LABEL_MAPPING_RULES, (rules[before],), puts=(put,))
        commit_edit(caller, LABEL_MAPPING_RULES, edit, "update", 204, stores)

    until_settled(attempt)
