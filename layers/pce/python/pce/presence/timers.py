"""The offline timers of an org: how long a silence means what.

Source: "VEN-to-PCE Communication", VEN Offline Timers and Isolation; the setting's form is that of
``/orgs/{org}/settings/workloads``. All values are seconds; -1 means never.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

NEVER = -1
DEFAULT_OFFLINE_S = 3600
"""60 minutes, or 12 heartbeats."""
DEFAULT_ENDPOINT_OFFLINE_S = 86_400
"""Endpoints sleep at night: 24 hours."""
DEFAULT_GOODBYE_S = 900
WARNING_SHARE = 0.25
"""The warning comes when a quarter of the offline timer has passed, unless it is set apart."""


@dataclass(frozen=True, slots=True)
class Timers:
    """The timers that hold for one VEN, in seconds; -1 is never."""

    offline_s: int = DEFAULT_OFFLINE_S
    goodbye_s: int = DEFAULT_GOODBYE_S
    warning_s: int = int(DEFAULT_OFFLINE_S * WARNING_SHARE)


@dataclass(frozen=True, slots=True)
class _Entry:
    scope: frozenset[str]
    ven_type: str
    value: int


@dataclass(frozen=True)
class TimerSettings:
    """An org's timers by label scope and VEN type; :meth:`timers_for` picks a VEN's."""

    offline: tuple[_Entry, ...] = ()
    goodbye: tuple[_Entry, ...] = ()
    warning: tuple[_Entry, ...] = ()

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "TimerSettings":
        """From the stored ``settings/workloads`` document; missing lists mean the defaults."""
        return cls(
            _entries(document.get("workload_disconnected_timeout_seconds"), "value"),
            _entries(document.get("workload_goodbye_timeout_seconds"), "value"),
            _entries(document.get("workload_disconnected_notification_seconds"), "warning"),
        )

    @property
    def is_scoped(self) -> bool:
        """Whether any entry asks for labels, so that a VEN's labels must be known."""
        return any(e.scope for e in (*self.offline, *self.goodbye, *self.warning))

    def timers_for(self, ven_type: str, labels: Iterable[str] = ()) -> Timers:
        """The timers of a VEN of this type that carries these label hrefs.

        Of the entries whose scope the VEN has, the one with most labels wins; among equals the
        first. Without any, the defaults.
        """
        kind = "endpoint" if ven_type == "endpoint" else "server"
        mine = frozenset(labels)
        offline = _pick(self.offline, kind, mine)
        if offline is None:
            offline = DEFAULT_ENDPOINT_OFFLINE_S if kind == "endpoint" else DEFAULT_OFFLINE_S
        goodbye = _pick(self.goodbye, kind, mine)
        warning = _pick(self.warning, kind, mine)
        if warning is None:
            warning = NEVER if offline == NEVER else int(offline * WARNING_SHARE)
        return Timers(offline, DEFAULT_GOODBYE_S if goodbye is None else goodbye, warning)


def _entries(rows: Any, value_key: str) -> tuple[_Entry, ...]:
    found = []
    for row in rows or ():
        value = row.get(value_key)
        if value is not None:
            scope = frozenset(label["href"] for label in row.get("scope") or ())
            found.append(_Entry(scope, row.get("ven_type") or "server", int(value)))
    return tuple(found)


def _pick(entries: tuple[_Entry, ...], kind: str, labels: frozenset[str]) -> int | None:
    fitting = [e for e in entries if e.ven_type == kind and e.scope <= labels]
    return max(fitting, key=lambda entry: len(entry.scope)).value if fitting else None
