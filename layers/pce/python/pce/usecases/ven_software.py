"""The releases of the VEN that this PCE offers, and which of them an org takes by default."""

from collections.abc import Mapping
from typing import Any

from pce.errors import Invalid, NotFound, Problem
from pce.events.journal import ResourceChange
from pce.identifiers import org_href
from pce.objects.ven_release import images, newest_first, shown
from pce.store.change import Change, Put
from pce.usecases.caller import Caller
from pce.usecases.stores import Stores
from pce.usecases.write_object import until_settled

_SETTINGS = "ven_software"


def list_releases(caller: Caller, stores: Stores) -> list[dict[str, Any]]:
    """All releases, the newest first."""
    default = default_release(caller, stores)
    href = org_href(caller.org_id)
    return [shown(href, release, default) for release in newest_first(stores.ven_releases)]


def get_release(caller: Caller, release: str, stores: Stores) -> dict[str, Any]:
    """One release. Raises :class:`NotFound`."""
    return shown(
        org_href(caller.org_id), _offered(release, stores), default_release(caller, stores)
    )


def list_images(release: str, stores: Stores) -> list[dict[str, Any]]:
    """What can be downloaded of a release. Raises :class:`NotFound`."""
    return images(_offered(release, stores))


def default_release(caller: Caller, stores: Stores) -> str:
    """The org's choice while it is offered, else the newest. Raises :class:`NotFound` where a
    deployment offers none."""
    stored = stores.objects.get(caller.org_id, "settings", _SETTINGS)
    chosen = stored.document.get("default_release") if stored else None
    if chosen in stores.ven_releases:
        return str(chosen)
    if not stores.ven_releases:
        raise NotFound(Problem("ven_release_not_found", "this PCE offers no release of the VEN"))
    return newest_first(stores.ven_releases)[0]


def choose_default(caller: Caller, body: Any, stores: Stores) -> None:
    """PUT default: ``{"release": R}``. Raises :class:`Invalid`."""
    release = body.get("release") if isinstance(body, Mapping) else None
    if release not in stores.ven_releases:
        offered = ", ".join(newest_first(stores.ven_releases))
        message = f"release must be one of {offered}"
        raise Invalid(Problem("ven_release_not_found", message, "release"))

    def attempt() -> None:
        stored = stores.objects.get(caller.org_id, "settings", _SETTINGS)
        before = stored.document if stored else {}
        if before.get("default_release") == release:
            return
        changed = ResourceChange(
            "ven_software_release",
            {"href": f"{org_href(caller.org_id)}/software/ven/releases/{release}"},
            "update",
            {"default_release": {"before": before.get("default_release"), "after": release}},
        )
        event = caller.journal(stores, 204).event(
            "ven_software_releases.set_default_version", changes=[changed]
        )
        after = {**before, "default_release": release}
        put = Put("settings", _SETTINGS, after, stored.rev if stored else None)
        stores.objects.commit(Change(caller.org_id, puts=(put,), events=(event,)))

    until_settled(attempt)


def _offered(release: str, stores: Stores) -> str:
    if release not in stores.ven_releases:
        message = f"there is no release {release[:64]!r} of the VEN here"
        raise NotFound(Problem("ven_software_release_not_found", message))
    return release
