"""Upgrading this VEN when the PCE asks for it: beside the release in force, on trial, or back.

The new release is installed beside the one in force (``ven.installation``), while that goes on as
ever. Then the process ends in an orderly way and becomes the new release by ``exec``. The policy
stays in the kernel all the time. The new release stays when the PCE has answered it; when it is
degraded before that, or cannot be started three times, the former one comes back and tells why.
"""

import logging
import sys

from msgspec.structs import replace

from ven.configuration import VERSION
from ven.core import upgrade
from ven.core.upgrade import UnderWay
from ven.edge.files import DataDirectory
from ven.edge.http import Damaged
from ven.edge.pce import Pce
from ven.installation import STARTS_ON_TRIAL, CannotInstall, Installation
from ven_protocol.messages import Action, SoftwareRelease

_log = logging.getLogger("ven.agent")


class Upgrades:
    """The upgrade that this process begins, or that the one before it began."""

    def __init__(self, data: DataDirectory, installation: Installation | None) -> None:
        """``installation``: None when this VEN was not installed by the pairing script."""
        self._data = data
        self._installation = installation
        self._under_way = data.upgrade()
        self.standing = self._standing()
        """What this process found when it started."""

    @property
    def action_id(self) -> str:
        """Of the upgrade under way, or ""."""
        return self._under_way.action_id if self._under_way else ""

    def failure(self) -> str:
        """Why the upgrade that this process found has failed, or ""."""
        if self._under_way is None:
            return ""
        release, attempts = self._under_way.release, self._under_way.attempts
        if self.standing == "failed":
            return (
                f"release {release} did not start or got no answer from the PCE; {VERSION} is back"
            )
        if self.standing == "interrupted" and attempts >= upgrade.ATTEMPTS:
            return f"the upgrade to {release} was interrupted {attempts} times"
        return ""

    def begin(self, action: Action) -> str:
        """Note that an upgrade is under way; returns the release, or "" when it is in force.

        Raises :class:`CannotInstall` for one that this VEN does not do.
        """
        release = action.params.get("release", "")
        if release == VERSION:
            return ""
        if self._installation is None:
            raise CannotInstall(
                "this VEN was not installed by the PCE's pairing script; run that once, then"
                " upgrades work"
            )
        if not upgrade.numbers(release):
            raise CannotInstall(f"{release[:64]!r} is no release")
        if upgrade.numbers(release) < upgrade.numbers(VERSION):
            raise CannotInstall(f"{release} is older than {VERSION}; a VEN is not downgraded")
        again = self._under_way and self._under_way.action_id == action.id
        attempts = self._under_way.attempts + 1 if again and self._under_way else 1
        self._keep(UnderWay(action_id=action.id, release=release, attempts=attempts))
        return release

    def download(self, release: str, pce: Pce) -> tuple[SoftwareRelease, bytes]:
        """The package, and what the PCE says of it; both over verified TLS. Raises as a request."""
        described = pce.software(release)
        package = pce.package(described.package)
        if len(package) != described.size_bytes:
            raise Damaged(f"the package has {len(package)} bytes, not {described.size_bytes}")
        return described, package

    def install(self, described: SoftwareRelease, package: bytes) -> None:
        """Put it beside the release in force. Raises :class:`CannotInstall` and OSError."""
        installation, under_way = self._begun()
        name = installation.install(package, described.sha256, under_way.release, sys.executable)
        self._keep(replace(under_way, name=name))

    def go_over(self) -> None:
        """The next start is the new release's, on trial. Raises OSError."""
        installation, under_way = self._begun()
        _log.warning("going over from release %s to %s", VERSION, under_way.release)
        installation.go_over_to(under_way.name)

    def stay(self) -> None:
        """This release has proved itself: what is no longer needed is removed. Raises OSError."""
        if self._installation is not None:
            self._installation.end_trial()
        self.standing = "done"
        _log.warning("release %s stays", VERSION)

    def give_up(self) -> None:
        """The next start is the former release's. Raises OSError."""
        installation, _ = self._begun()
        trial = installation.trial()
        if trial is not None:
            _log.error("release %s got no answer from the PCE; going back", VERSION)
            installation.give_up(trial)

    def end(self) -> None:
        """Its end is kept elsewhere: the next upgrade begins afresh. Raises OSError."""
        if self._installation is not None:
            self._installation.forget_trial()
        self._under_way = None
        self._data.forget_upgrade()

    def _begun(self) -> tuple[Installation, UnderWay]:
        if self._installation is None or self._under_way is None:
            raise CannotInstall("no upgrade is under way")
        return self._installation, self._under_way

    def _keep(self, under_way: UnderWay) -> None:
        self._data.save_upgrade(under_way)
        self._under_way = under_way

    def _standing(self) -> upgrade.Standing:
        installation = self._installation
        if installation is None:
            return "nothing" if self._under_way is None else "interrupted"
        trial = installation.trial()
        return upgrade.standing(
            self._under_way,
            in_force=installation.current(),
            on_trial=trial.new if trial else "",
            starts_left=trial.starts if trial else 0,
            starts_on_trial=STARTS_ON_TRIAL,
        )
