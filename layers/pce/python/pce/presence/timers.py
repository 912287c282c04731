"""The clocks and timers of an org: how often a VEN is heard, and how long a silence means what.

Source: "VEN-to-PCE Communication", Communication Frequency, VEN Heartbeats and Lost Agents, VEN
Offline Timers and Isolation; the setting's form is that of ``/orgs/{org}/settings/workloads``. All
values are seconds (the uninstall timer is set in hours); -1 means never.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pce.presence.record import Clocks
from ven_protocol.limits import FLOW_INTERVAL_S, HEARTBEAT_INTERVAL_S

NEVER = -1
DEFAULT_OFFLINE_S = 3600
DEFAULT_ENDPOINT_OFFLINE_S = 86_400
"""Endpoints sleep at night: 24 hours."""
OFFLINE_HEARTBEATS = 12
"""The default is 60 minutes, or 12 heartbeats where these take longer."""
DEFAULT_GOODBYE_S = 900
DEFAULT_UNINSTALL_HOURS = 300
WARNING_SHARE = 0.25
"""Of an offline timer that was set, and of the endpoints' day: the warning comes when a quarter has
passed, unless it is set apart."""
MISSED_HEARTBEATS = 3
"""The warning comes after so many where nobody set an offline timer (a quarter of the default's 12
heartbeats), and where it is never: a host that stays in policy although it is silent must be
noticed all the more."""
MISSED_SHARE = 1.5
"""Heartbeat intervals after which one was certainly missed: it may be 5 % late, and takes a while
to arrive. Until then nobody is warned about or taken for offline, however short the timer."""

OFFLINE = "workload_disconnected_timeout_seconds"
GOODBYE = "workload_goodbye_timeout_seconds"
NOTIFICATION = "workload_disconnected_notification_seconds"
UNINSTALL = "ven_uninstall_timeout_hours"
HEARTBEAT = "ven_heartbeat_interval_seconds"
FLOWS = "ven_flow_log_interval_seconds"

LISTS = (OFFLINE, GOODBYE, NOTIFICATION, UNINSTALL, HEARTBEAT, FLOWS)
"""The attributes of the settings that are lists of entries by scope and VEN type."""


@dataclass(frozen=True, slots=True)
class Timers:
    """The timers that hold for one VEN, in seconds; -1 is never."""

    offline_s: int = DEFAULT_OFFLINE_S
    goodbye_s: int = DEFAULT_GOODBYE_S
    warning_s: int = int(DEFAULT_OFFLINE_S * WARNING_SHARE)
    info_s: int = NEVER
    error_s: int = NEVER
    """The same notification once more, at other severities, where an org asks for them."""
    uninstall_s: int = DEFAULT_UNINSTALL_HOURS * 3600
    heartbeat_s: int = HEARTBEAT_INTERVAL_S
    clocks: Clocks | None = None
    """What the VEN is told of its intervals; None: those of the installation."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a list: a value for the VENs of a type that carry all labels of a scope."""

    scope: frozenset[str]
    ven_type: str
    value: int
    at: str = ""
    """Where it stands in the settings, for messages."""

    def fits(self, ven_type: str, labels: frozenset[str]) -> bool:
        """Whether it is meant for a VEN of this type that carries these labels."""
        return self.ven_type == ven_type and self.scope <= labels


class TimerSettings:
    """An org's timers by label scope and VEN type; :meth:`timers_for` picks a VEN's."""

    def __init__(
        self,
        document: Mapping[str, Any],
        heartbeat_s: int = HEARTBEAT_INTERVAL_S,
        flows_s: int = FLOW_INTERVAL_S,
        token_required: bool = False,
    ) -> None:
        """From the stored ``settings/workloads`` document; missing lists mean the defaults. The
        intervals are those of the installation. ``token_required``: the org wants a maintenance
        token for local commands of its VENs."""
        self.offline = entries(document, OFFLINE)
        self.goodbye = entries(document, GOODBYE)
        self.info = entries(document, NOTIFICATION, "info")
        self.warning = entries(document, NOTIFICATION, "warning")
        self.error = entries(document, NOTIFICATION, "error")
        self.uninstall = entries(document, UNINSTALL)
        self.heartbeat = entries(document, HEARTBEAT)
        self.flows = entries(document, FLOWS)
        self._heartbeat_s, self._flows_s = heartbeat_s, flows_s
        self._token_required = token_required
        self._known: dict[tuple[str, frozenset[str]], Timers] = {}

    @property
    def is_scoped(self) -> bool:
        """Whether any entry asks for labels, so that a VEN's labels must be known."""
        lists = (self.offline, self.goodbye, self.info, self.warning, self.error, self.uninstall,
                 self.heartbeat, self.flows)  # fmt: skip
        return any(entry.scope for each in lists for entry in each)

    def timers_for(self, ven_type: str, labels: Iterable[str] = ()) -> Timers:
        """The timers of a VEN of this type that carries these label hrefs.

        Of the entries whose scope the VEN has, the one with most labels wins; among equals the
        first. Without any, the defaults; for a container host those of servers come before.
        """
        key = (ven_type, frozenset(labels))
        if key not in self._known:
            self._known[key] = self._timers(*key)
        return self._known[key]

    def _timers(self, ven_type: str, labels: frozenset[str]) -> Timers:
        def value(of: tuple[Entry, ...], otherwise: int) -> int:
            found = pick(of, ven_type, labels)
            return otherwise if found is None else found.value

        heartbeat_s = value(self.heartbeat, 0)
        flows_s = value(self.flows, 0)
        own = bool(heartbeat_s or flows_s or self._token_required)
        heartbeat_s, flows_s = heartbeat_s or self._heartbeat_s, flows_s or self._flows_s
        missed_s = math.ceil(heartbeat_s * MISSED_SHARE)
        offline_s = value(self.offline, default_offline_s(ven_type, heartbeat_s))
        usual_s = usual_warning_s(ven_type, heartbeat_s, pick(self.offline, ven_type, labels))
        return Timers(
            offline_s=_not_before(missed_s, offline_s),
            goodbye_s=value(self.goodbye, DEFAULT_GOODBYE_S),
            warning_s=_not_before(missed_s, value(self.warning, usual_s)),
            info_s=_not_before(missed_s, value(self.info, NEVER)),
            error_s=_not_before(missed_s, value(self.error, NEVER)),
            uninstall_s=_hours(value(self.uninstall, DEFAULT_UNINSTALL_HOURS)),
            heartbeat_s=heartbeat_s,
            clocks=Clocks(heartbeat_s, flows_s, self._token_required) if own else None,
        )


def entries(document: Mapping[str, Any], name: str, value_key: str = "value") -> tuple[Entry, ...]:
    """The entries of one list that have this value."""
    found = []
    for number, row in enumerate(document.get(name) or ()):
        value = row.get(value_key)
        if value is not None:
            scope = frozenset(label["href"] for label in row.get("scope") or ())
            ven_type = row.get("ven_type") or "server"
            found.append(Entry(scope, ven_type, int(value), f"{name}[{number}].{value_key}"))
    return tuple(found)


def pick(of: tuple[Entry, ...], ven_type: str, labels: frozenset[str]) -> Entry | None:
    """The entry that holds for a VEN, or None."""
    fitting = [entry for entry in of if entry.fits(ven_type, labels)]
    if not fitting and ven_type == "containerized":
        fitting = [entry for entry in of if entry.fits("server", labels)]
    return max(fitting, key=lambda entry: len(entry.scope)) if fitting else None


def default_offline_s(ven_type: str, heartbeat_s: int) -> int:
    """The offline timer where none was set."""
    usual_s = DEFAULT_ENDPOINT_OFFLINE_S if ven_type == "endpoint" else DEFAULT_OFFLINE_S
    return max(usual_s, OFFLINE_HEARTBEATS * heartbeat_s)


def usual_warning_s(ven_type: str, heartbeat_s: int, offline: Entry | None) -> int:
    """When the warning comes where no time was set for it; ``offline``: the offline timer that was
    set, if any."""
    if offline is not None and offline.value != NEVER:
        return int(offline.value * WARNING_SHARE)
    if ven_type == "endpoint":
        return int(default_offline_s(ven_type, heartbeat_s) * WARNING_SHARE)
    return MISSED_HEARTBEATS * heartbeat_s


def _not_before(missed_s: int, timer_s: int) -> int:
    return NEVER if timer_s == NEVER else max(missed_s, timer_s)


def _hours(hours: int) -> int:
    return NEVER if hours == NEVER else hours * 3600
