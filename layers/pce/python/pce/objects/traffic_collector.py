"""Traffic collector settings: flows that an org does not want to keep (``flows/drops.py``).

``aggregate`` asks for what is done in any case: connections with the same ends and service are one
summary of their window.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from pce.errors import Problem
from pce.objects.collection import Collection
from pce.objects.fields import MISSING, Address, Choice, Integer, Record, Shape, Text

_LETTERS = {"broadcast": "B", "multicast": "M", "unicast": "U"}

_TARGET = Record(
    Shape(
        {
            "dst_port": Integer(-1, 65_535),
            "proto": Integer(0, 255),
            "dst_ip": Address(prefix=True),
        },
        required=("proto",),
    ),
    nullable=True,
)


def _whole_problems(document: Mapping[str, Any]) -> Iterable[Problem]:
    if document.get("action") == "drop" and not document.get("target"):
        message = "target is required: which traffic to drop"
        yield Problem(MISSING, message, "target")
    if document.get("action") == "aggregate" and document.get("target"):
        message = "target goes with the action drop; what is aggregated is all of the transmission"
        yield Problem("traffic_collector_target_not_allowed", message, "target")
    for name in ("data_source", "network"):
        if document.get(name):
            message = f"{name}: a flow has none here, so it cannot be told by it; leave it empty"
            yield Problem(f"traffic_collector_{name}_not_supported", message, name)


def _displayed(setting: Mapping[str, Any]) -> dict[str, Any]:
    """``transmission`` as one letter, which clients turn back; a target always whole."""
    shown = {**setting, "transmission": _LETTERS[setting["transmission"]]}
    target = shown.pop("target", None)
    if target:
        shown["target"] = {"dst_port": -1, "dst_ip": "0.0.0.0/0", **target}
    return shown


def _from_letters(body: Any) -> Any:
    """A body that says what was read: the letter of a transmission in place of its word."""
    words = {letter: word for word, letter in _LETTERS.items()}
    said = body.get("transmission") if isinstance(body, Mapping) else None
    if not isinstance(said, str) or said not in words:
        return body
    return {**body, "transmission": words[said]}


TRAFFIC_COLLECTORS = Collection(
    name="traffic_collector",
    kind="traffic_collector_setting",
    shape=Shape(
        {
            "transmission": Choice(tuple(_LETTERS)),
            "action": Choice(("drop", "aggregate")),
            "target": _TARGET,
            "data_source": Text(),
            "network": Text(),
        },
        required=("transmission", "action"),
    ),
    immutable=("action",),
    unique=(),
    translate=_from_letters,
    whole_check=_whole_problems,
    searched=(),
    numbered=False,
    display=_displayed,
    shown_in_events=("href", "transmission", "action"),
)
"""Under ``settings/traffic_collector`` of an org."""
