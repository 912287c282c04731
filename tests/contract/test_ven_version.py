"""What the PCE concludes from the version of our VEN."""

import tomllib
from pathlib import Path

from pce.policy.ipv6_support import IPV6_RULES_SINCE
from ven.configuration import VERSION

ROOT = Path(__file__).parents[2]


def test_our_ven_is_known_to_enforce_ipv6_rules() -> None:
    """A VEN that is taken for an older one is told to let all IPv6 pass."""
    major, minor, _patch = map(int, VERSION.split("."))
    assert (major, minor) >= IPV6_RULES_SINCE


def test_the_package_has_the_version_that_the_ven_says() -> None:
    """Else an upgrade could not be told from what it replaces."""
    project = tomllib.loads((ROOT / "ven/pyproject.toml").read_text())["project"]
    assert project["version"] == VERSION
