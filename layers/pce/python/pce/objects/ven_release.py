"""Releases of the VEN: how they are compared, which VEN may have which, how they are shown."""

from collections.abc import Iterable, Mapping
from typing import Any

from pce.errors import Problem
from pce.objects.product import PRODUCT_VERSION

Document = Mapping[str, Any]


def numbers(release: str) -> tuple[int, ...]:
    """``25.2.0-17`` as (25, 2, 0, 17), which compares as releases do; () for anything else."""
    words = release.replace("-", ".").split(".")
    decimal = all(word.isascii() and word.isdecimal() and len(word) < 10 for word in words)
    return tuple(map(int, words)) if len(words) >= 3 and decimal else ()


def why_not_upgraded(ven: Document, release: str) -> Problem | None:
    """Why a VEN cannot have this release, which the PCE offers; None when it can.

    No VEN is downgraded, and none is ahead of its PCE ("VEN upgrade" in the public guides).
    """
    name = ven.get("hostname") or ven["href"]
    if ven.get("os_platform") != "linux" or ven.get("ven_type") == "containerized":
        what = "a container VEN" if ven.get("ven_type") == "containerized" else ven["os_platform"]
        message = f"{name} is {what}: the PCE upgrades Linux VENs alone"
        return Problem("ven_upgrade_not_supported", message)
    if numbers(release) < numbers(str(ven.get("version") or "")):
        message = f"{name} has {ven['version']}, and a VEN is not downgraded to {release}"
        return Problem("ven_downgrade_not_allowed", message)
    if numbers(release) > numbers(PRODUCT_VERSION["version"]):
        message = f"release {release} is newer than this PCE, {PRODUCT_VERSION['version']}"
        return Problem("ven_release_newer_than_pce", message)
    return None


def newest_first(releases: Iterable[str]) -> list[str]:
    """Releases in the order in which they are listed."""
    return sorted(releases, key=numbers, reverse=True)


def shown(org_href: str, release: str, default: str) -> dict[str, Any]:
    """A release as clients see it."""
    return {
        "href": f"{org_href}/software/ven/releases/{release}",
        "release": release,
        "version": release,
        "default": release == default,
        "distributions": ["linux"],
        "images": images(release),
    }


def images(release: str) -> list[dict[str, Any]]:
    """What can be downloaded of a release, by anybody."""
    return [
        {
            "release": release,
            "filename": f"ven-{release}.tar.gz",
            "os_platform": "linux",
            "architectures": ["aarch64", "x86_64"],
            "path": image_path(release),
        }
    ]


def image_path(release: str) -> str:
    """Path of a release's package at the PCE."""
    return f"/api/v25/software/ven/image?package=ven.tar.gz&release={release}"
