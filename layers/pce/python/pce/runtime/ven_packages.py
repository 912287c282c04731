"""The VEN packages that this PCE hands out: files beside the function, each read once."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pce.errors import NotFound, Problem
from pce.objects.ven_release import numbers


@dataclass(frozen=True, slots=True)
class VenPackage:
    """A gzipped tar file and the name that only these bytes have."""

    release: str
    content: bytes
    sha256: str


def ven_package(release: str = "") -> VenPackage:
    """The package of a release, or of the newest. Cost: some 100 kB for each release, once.

    Raises :class:`NotFound` for a release that this PCE does not offer. That there is none at all
    is a fault of the deployment, and raises KeyError, OSError or ValueError.
    """
    packages = _read(os.environ["PCE_VEN_PACKAGES"])
    if not release:
        return packages[max(packages, key=numbers)]
    if release not in packages:
        offered = ", ".join(sorted(packages, key=numbers, reverse=True))
        message = f"there is no release {release[:64]!r} of the VEN here; there is {offered}"
        raise NotFound(Problem("ven_release_not_found", message, "release"))
    return packages[release]


@lru_cache(maxsize=1)
def _read(folder: str) -> Mapping[str, VenPackage]:
    found = {}
    for file in Path(folder).glob("ven-*.tar.gz"):
        release = file.name.removeprefix("ven-").removesuffix(".tar.gz")
        if numbers(release):
            content = file.read_bytes()
            found[release] = VenPackage(release, content, hashlib.sha256(content).hexdigest())
    return found
