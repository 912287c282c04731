"""Upgrade VENs: say which release each should have, and until when."""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from pce.errors import Invalid, Problem
from pce.events.journal import Notification
from pce.objects.ven import VENS
from pce.objects.ven_conditions import UPGRADE_FAILED, UPGRADE_TIME_OUT, without_condition
from pce.objects.ven_release import numbers, why_not_upgraded
from pce.presence.actions import entry, with_action
from pce.presence.record import Presence
from pce.store.change import Change, PresenceChange, Put
from pce.timestamps import rfc3339
from pce.usecases.announce_actions import announce_actions
from pce.usecases.caller import Caller
from pce.usecases.stores import Stores
from pce.usecases.ven_software import default_release, offered_releases
from pce.usecases.vens_in_bulk import Target, on_each

UPGRADE_EXPIRES_S = 24 * 3600
"""A VEN that has not taken its upgrade by then is told of no more, and the operator is: a host that
is off over night has its chance."""


def upgrade_vens(caller: Caller, body: Any, stores: Stores) -> dict[str, Any]:
    """``{"errors": [{"token", "message", "hrefs"}, ...]}``, empty when all will be upgraded.

    ``release`` is one that this PCE offers, or its default one when it is not said; with
    ``dry_run`` nothing is changed. A VEN that has the release already is left as it is.
    """
    release, dry_run = _release(caller, body, stores), _dry_run(body)
    told: list[Presence] = []

    def act(batch: Sequence[Target]) -> None:
        older = [
            t for t in batch if numbers(str(t.ven.document.get("version"))) != numbers(release)
        ]
        if dry_run or not older:
            return
        stores.objects.commit(_asked(caller, older, release, stores))
        told.extend(target.row for target in older if target.row is not None)

    def refuse(target: Target) -> Problem | None:
        return why_not_upgraded(target.ven.document, release)

    result = on_each(caller, body, stores, act, refuse)
    announce_actions(caller.org_id, told, "upgrade", stores, caller.now)
    return result


def _asked(caller: Caller, batch: Sequence[Target], release: str, stores: Stores) -> Change:
    expires_at = caller.now_s + UPGRADE_EXPIRES_S
    puts = []
    presence = []
    for target in batch:
        document = {
            **target.ven.document,
            "upgrade_target_version": release,
            "upgrade_expires_at": rfc3339(expires_at),
            **without_condition(target.ven.document, UPGRADE_FAILED, UPGRADE_TIME_OUT),
        }
        puts.append(Put(VENS.name, target.ven.id, document, target.ven.rev))
        if target.row is not None:
            asked = entry("upgrade", release, secrets.token_hex(4))
            presence.append(
                PresenceChange(
                    target.row.ven_id,
                    actions=with_action(target.row.actions, asked),
                    upgrade_expires_at=expires_at,
                )
            )
    event = caller.journal(stores, 200).event(
        "agent.request_upgrade",
        changes=[target.changed for target in batch],
        notifications=[
            Notification(
                "agent.request_upgrade",
                {"desired_version": release, "expires_at": rfc3339(expires_at)},
            )
        ],
    )
    return Change(caller.org_id, puts=tuple(puts), presence=tuple(presence), events=(event,))


def _release(caller: Caller, body: Any, stores: Stores) -> str:
    said = body.get("release") if isinstance(body, Mapping) else None
    if not said:
        return default_release(caller, stores)
    offered = offered_releases(caller.org_id, stores)
    if said not in offered:
        message = f"release must be one of {', '.join(offered)}, not {str(said)[:64]!r}"
        raise Invalid(Problem("ven_release_not_found", message, "release"))
    return str(said)


def _dry_run(body: Any) -> bool:
    said = body.get("dry_run") if isinstance(body, Mapping) else None
    if said is not None and not isinstance(said, bool):
        raise Invalid(Problem("invalid_attribute", "dry_run must be true or false", "dry_run"))
    return bool(said)
