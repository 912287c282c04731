"""Read and change the settings of an organization."""

from typing import Any

from pce.events.journal import ResourceChange
from pce.identifiers import org_href
from pce.objects.policy_version import references
from pce.objects.settings import Settings
from pce.store.change import Change, Put
from pce.usecases.caller import Caller
from pce.usecases.check_references import existing
from pce.usecases.stores import Stores
from pce.usecases.write_object import until_settled


def read_settings(caller: Caller, settings: Settings, stores: Stores) -> dict[str, Any]:
    """The settings, with the defaults of what was never set. One read."""
    stored = stores.objects.get(caller.org_id, "settings", settings.name)
    return settings.shown(stored.document if stored else {}, org_href(caller.org_id))


def change_settings(caller: Caller, settings: Settings, body: Any, stores: Stores) -> None:
    """Store what is said; lists replace lists. Raises :class:`Invalid`. The next sweep goes by
    the new timers."""
    said = {k: v for k, v in settings.shape.clean(body, partial=True).items() if v is not None}
    existing(caller, references(said), stores)

    def attempt() -> None:
        stored = stores.objects.get(caller.org_id, "settings", settings.name)
        before = stored.document if stored else {}
        after = {**before, **said}
        if after == before:
            return
        href = f"{org_href(caller.org_id)}/{settings.path}"
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
