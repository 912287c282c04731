"""The releases of the VEN that this PCE offers, which of them an org has withdrawn, and which it
takes by default."""

from collections.abc import Callable, Mapping
from typing import Any

from pce.errors import Invalid, NotFound, Problem
from pce.events.journal import ResourceChange
from pce.identifiers import OrgId, org_href
from pce.objects.ven_release import images, newest_first, shown
from pce.store.change import Change, Put
from pce.usecases.caller import Caller
from pce.usecases.stores import Stores
from pce.usecases.write_object import until_settled

_SETTINGS = "ven_software"

Choices = Mapping[str, Any]
"""What an org has chosen: ``default_release``, and ``withdrawn``, a list."""


def list_releases(caller: Caller, stores: Stores) -> list[dict[str, Any]]:
    """The releases that the org may take, the newest first. One read."""
    choices = _choices(caller.org_id, stores)
    offered = _offered(choices, stores)
    href = org_href(caller.org_id)
    return [shown(href, release, _default(choices, offered)) for release in offered]


def get_release(caller: Caller, release: str, stores: Stores) -> dict[str, Any]:
    """One release. Raises :class:`NotFound`."""
    for found in list_releases(caller, stores):
        if found["release"] == release:
            return found
    raise _not_found(release)


def list_images(caller: Caller, release: str, stores: Stores) -> list[dict[str, Any]]:
    """What can be downloaded of a release. Raises :class:`NotFound`."""
    return images(get_release(caller, release, stores)["release"])


def offered_releases(org_id: OrgId, stores: Stores) -> list[str]:
    """Releases that an org's VENs may be upgraded to, the newest first. One read."""
    return _offered(_choices(org_id, stores), stores)


def default_release(caller: Caller, stores: Stores) -> str:
    """The org's choice while it is offered, else the newest. Raises :class:`NotFound` where a
    deployment offers none."""
    choices = _choices(caller.org_id, stores)
    offered = _offered(choices, stores)
    if not offered:
        raise NotFound(Problem("ven_release_not_found", "this PCE offers no release of the VEN"))
    return _default(choices, offered)


def choose_default(caller: Caller, body: Any, stores: Stores) -> None:
    """PUT default: ``{"release": R}``. Raises :class:`Invalid`."""
    release = body.get("release") if isinstance(body, Mapping) else None
    offered = offered_releases(caller.org_id, stores)
    if release not in offered:
        message = f"release must be one of {', '.join(offered)}"
        raise Invalid(Problem("ven_release_not_found", message, "release"))
    kind = "ven_software_releases.set_default_version"
    _choose(caller, release, kind, lambda before: {"default_release": release}, stores)


def withdraw_release(caller: Caller, release: str, stores: Stores) -> None:
    """Take a release from those that the org's VENs may be upgraded to; it stays with the
    deployment, and can be given back. Raises :class:`NotFound`, and :class:`Invalid` for the
    default one."""

    def withdrawn(before: Choices) -> Choices:
        offered = _offered(before, stores)
        if release not in offered:
            raise _not_found(release)
        if release == _default(before, offered):
            message = f"{release} is the default release; choose another one first"
            raise Invalid(Problem("ven_software_release_is_default", message))
        return {"withdrawn": sorted({*before.get("withdrawn", ()), release})}

    _choose(caller, release, "ven_software_release.delete", withdrawn, stores)


def give_back_release(caller: Caller, release: str, stores: Stores) -> None:
    """PUT a release: it is offered again, if it was withdrawn. Raises :class:`NotFound` for what
    the deployment does not have."""
    if release not in stores.ven_releases:
        raise _not_found(release)

    def given_back(before: Choices) -> Choices:
        return {"withdrawn": [one for one in before.get("withdrawn", ()) if one != release]}

    _choose(caller, release, "ven_software_release.update", given_back, stores)


def _choose(
    caller: Caller,
    release: str,
    event_type: str,
    choice: Callable[[Choices], Choices],
    stores: Stores,
) -> None:
    def attempt() -> None:
        stored = stores.objects.get(caller.org_id, "settings", _SETTINGS)
        before = stored.document if stored else {}
        said = choice(before)
        changes = {
            name: {"before": before.get(name), "after": value}
            for name, value in said.items()
            if (before.get(name) or None) != (value or None)
        }
        if not changes:
            return
        href = f"{org_href(caller.org_id)}/software/ven/releases/{release}"
        changed = ResourceChange("ven_software_release", {"href": href}, "update", changes)
        event = caller.journal(stores, 204).event(event_type, changes=[changed])
        put = Put("settings", _SETTINGS, {**before, **said}, stored.rev if stored else None)
        stores.objects.commit(Change(caller.org_id, puts=(put,), events=(event,)))

    until_settled(attempt)


def _choices(org_id: OrgId, stores: Stores) -> Choices:
    stored = stores.objects.get(org_id, "settings", _SETTINGS)
    return stored.document if stored else {}


def _offered(choices: Choices, stores: Stores) -> list[str]:
    withdrawn = choices.get("withdrawn", ())
    return [one for one in newest_first(stores.ven_releases) if one not in withdrawn]


def _default(choices: Choices, offered: list[str]) -> str:
    chosen = choices.get("default_release")
    return str(chosen) if chosen in offered else offered[0]


def _not_found(release: str) -> NotFound:
    message = f"there is no release {release[:64]!r} of the VEN here"
    return NotFound(Problem("ven_software_release_not_found", message))
