"""Read and change the settings of an organization."""

from collections.abc import Mapping
from typing import Any

from pce.errors import Invalid
from pce.events.journal import ResourceChange
from pce.identifiers import org_href
from pce.objects.policy_version import references
from pce.objects.settings import WORKLOAD_SETTINGS, Settings
from pce.presence.timer_checks import scope_problems, timer_problems
from pce.presence.timers import FLOWS, HEARTBEAT
from pce.store.change import Change, Put
from pce.usecases.caller import Caller
from pce.usecases.check_references import Surroundings, existing
from pce.usecases.stores import Stores
from pce.usecases.write_object import until_settled


def read_settings(caller: Caller, settings: Settings, stores: Stores) -> dict[str, Any]:
    """The settings, with the defaults of what was never set. One read."""
    stored = stores.objects.get(caller.org_id, "settings", settings.name)
    shown = settings.shown(stored.document if stored else {}, org_href(caller.org_id))
    if settings is WORKLOAD_SETTINGS:
        # Without entries of its own an org has the installation's intervals.
        intervals = stores.ven_settings.intervals
        for name, seconds in ((HEARTBEAT, intervals.heartbeat_s), (FLOWS, intervals.flows_s)):
            if stored is None or name not in stored.document:
                shown[name] = [{"scope": [], "value": seconds, "ven_type": "server"}]
    return shown


def change_settings(caller: Caller, settings: Settings, body: Any, stores: Stores) -> None:
    """Store what is said; lists replace lists. Raises :class:`Invalid`. The next sweep goes by
    the new timers."""
    said = {k: v for k, v in settings.shape.clean(body, partial=True).items() if v is not None}
    labels = existing(caller, references(said), stores)
    keys = {href: str(label["key"]) for href, label in labels.items()}
    if problems := list(scope_problems(said, keys)):
        raise Invalid(problems)

    def attempt() -> None:
        stored = stores.objects.get(caller.org_id, "settings", settings.name)
        before = stored.document if stored else {}
        after = {**before, **said}
        if after == before:
            return
        if settings is WORKLOAD_SETTINGS:
            _refuse_contradictions(caller, after, stores)
        href = settings.href(org_href(caller.org_id))
        changes = {
            name: {"before": before.get(name, settings.defaults.get(name)), "after": value}
            for name, value in said.items()
            if before.get(name) != value
        }
        changed = ResourceChange(
            settings.event_type.partition(".")[0], {"href": href}, "update", changes
        )
        event = caller.journal(stores, 204).event(settings.event_type, changes=[changed])
        put = Put("settings", settings.name, after, stored.rev if stored else None)
        stores.objects.commit(Change(caller.org_id, puts=(put,), events=(event,)))

    until_settled(attempt)


def _refuse_contradictions(caller: Caller, after: Mapping[str, Any], stores: Stores) -> None:
    """Timers that were set before are read again with the new ones. Raises :class:`Invalid`."""
    heartbeat_s = stores.ven_settings.intervals.heartbeat_s
    around = Surroundings(caller, stores)
    around.look_up(references(after))
    keys = {href: str(label["key"]) for href, label in around.found.items()}
    if problems := list(timer_problems(after, keys, heartbeat_s)):
        raise Invalid(problems)
