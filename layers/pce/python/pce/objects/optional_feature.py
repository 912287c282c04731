"""Features of an org that can be switched: there is one. What else the product can do, it does."""

from collections.abc import Iterable, Mapping
from typing import Any

from pce.errors import Problem

LIGHTNING = "lightning_default"
"""Policy by lightning bolts. Off: VENs learn of a newer policy by their next heartbeat alone."""

PAGE = "optional_features"
"""Under which it is stored in ``settings``."""

DEFAULTS: Mapping[str, bool] = {LIGHTNING: True}


def feature_problems(said: Iterable[Mapping[str, Any]]) -> Iterable[Problem]:
    """What cannot be switched on: features that are not there."""
    for at, feature in enumerate(said):
        if feature["name"] not in DEFAULTS and feature["enabled"]:
            where = f"features[{at}].name"
            message = (
                f"there is no optional feature {feature['name']!r}; there is"
                f" {', '.join(DEFAULTS)}, and what else this PCE can do is always on"
            )
            yield Problem("unknown_optional_feature", message, where)


def switched(
    stored: Iterable[Mapping[str, Any]], said: Iterable[Mapping[str, Any]] = ()
) -> list[dict[str, Any]]:
    """All features as they are after what is said; what is not said stays."""
    states = {**DEFAULTS, **{one["name"]: one["enabled"] for one in (*stored, *said)}}
    return [{"name": name, "enabled": states[name]} for name in DEFAULTS]
