"""A person has seen what was wrong with VENs and takes the conditions away."""

from collections.abc import Sequence
from typing import Any

from pce.objects.ven import VENS
from pce.presence.record import flags_text
from pce.store.change import Change, PresenceChange, Put
from pce.usecases.caller import Caller
from pce.usecases.stores import Stores
from pce.usecases.vens_in_bulk import Target, on_each


def clear_conditions(caller: Caller, body: Any, stores: Stores) -> dict[str, Any]:
    """``{"errors": [{"token", "message", "hrefs"}, ...]}``, empty when all are clear. What a VEN
    reports of itself is not taken away; what was raised and still is so is not raised again, but
    for a clone, which is noticed anew."""

    def act(batch: Sequence[Target]) -> None:
        marked = [target for target in batch if target.ven.document.get("conditions")]
        if not marked:
            return
        event = caller.journal(stores, 200).event(
            "agents.clear_conditions", changes=[target.changed for target in marked]
        )
        puts = tuple(
            Put(VENS.name, t.ven.id, {**t.ven.document, "conditions": {}}, t.ven.rev)
            for t in marked
        )
        alone = tuple(
            PresenceChange(
                t.row.ven_id,
                expected_flags=flags_text(t.row.flags),
                flags=flags_text(t.row.flags - {"cloned"}),
            )
            for t in marked
            if t.row is not None and "cloned" in t.row.flags
        )
        stores.objects.commit(Change(caller.org_id, puts=puts, presence=alone, events=(event,)))

    return on_each(caller, body, stores, act)
