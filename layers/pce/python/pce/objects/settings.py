"""Settings of an organization: offline timers, audit events, and the general ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pce.errors import Problem
from pce.objects.fields import (
    INVALID,
    Address,
    Choice,
    Field,
    Flag,
    Integer,
    ListOf,
    Never,
    Record,
    Reference,
    Shape,
    Text,
)
from pce.objects.optional_feature import PAGE
from pce.objects.ven_conditions import DETECTS_CLONES
from pce.presence.timers import (
    DEFAULT_ENDPOINT_OFFLINE_S,
    DEFAULT_GOODBYE_S,
    DEFAULT_OFFLINE_S,
    DEFAULT_UNINSTALL_HOURS,
    FLOWS,
    GOODBYE,
    HEARTBEAT,
    NEVER,
    NOTIFICATION,
    OFFLINE,
    UNINSTALL,
)
from ven_protocol.limits import FLOW_INTERVAL_S, HEARTBEAT_INTERVAL_S

SHORTEST_TIMER_S = 1
"""Seconds. Public clients of the API enforce 300 themselves where they want to; a demonstration
wants to see a timer run out. Whatever is set, one missed heartbeat comes first
(``pce.presence.timers``)."""
LONGEST_TIMER = 2**31 - 1
LONGEST_INTERVAL_S = 86_400
"""Of heartbeats and flow posts: a VEN takes no longer one."""
MAX_TIMER_ENTRIES = 200
"""Entries in a list of timers: what contradicts what is looked for in all pairs."""


@dataclass(frozen=True, slots=True)
class Timer:
    """-1 (never), or a number from the shortest timer on."""

    least: int = SHORTEST_TIMER_S

    def check(self, value: Any, at: str, problems: list[Problem]) -> Any:
        """The number as it was sent."""
        if isinstance(value, bool) or not isinstance(value, int):
            problems.append(Problem(INVALID, f"{at}: must be a whole number", at))
        elif value != NEVER and not self.least <= value <= LONGEST_TIMER:
            message = f"{at}: {value} is neither -1 (never) nor in {self.least}..{LONGEST_TIMER}"
            problems.append(Problem(INVALID, message, at))
        return value


@dataclass(frozen=True, slots=True)
class TimerEntry:
    """One entry of a timer list; ``ven_type`` is ``server`` unless it is said."""

    values: Mapping[str, Field]
    required: tuple[str, ...]

    def check(self, value: Any, at: str, problems: list[Problem]) -> Any:
        """The clean entry."""
        fields: dict[str, Field] = {
            "scope": ListOf(Reference("labels"), max_entries=64),
            "ven_type": Choice(("server", "endpoint", "containerized")),
            **self.values,
        }
        clean = Record(Shape(fields, self.required)).check(value, at, problems)
        return {"scope": [], "ven_type": "server", **clean}


@dataclass(frozen=True, slots=True)
class TrustedProxy:
    """``{"pce_fqdn": null, "ip": "192.0.2.0/24"}``, or the address alone."""

    def check(self, value: Any, at: str, problems: list[Problem]) -> Any:
        """The entry as clients read it."""
        given = value.get("ip") if isinstance(value, Mapping) else value
        return {"pce_fqdn": None, "ip": Address(prefix=True).check(given, at, problems)}


def proxy_networks(settings: Mapping[str, Any]) -> list[str]:
    """The addresses and networks of trusted proxies."""
    return [entry["ip"] for entry in settings.get("trusted_proxy_ips") or ()]


def _timers(**values: Field) -> ListOf:
    required = ("value",) if "value" in values else ()
    return ListOf(TimerEntry(values, required), max_entries=MAX_TIMER_ENTRIES)


_SECONDS = _timers(value=Timer())
_INTERVALS = _timers(value=Integer(1, LONGEST_INTERVAL_S))
_WARNINGS = _timers(info=Timer(), warning=Timer(), error=Timer())
_HOURS = _timers(value=Timer())


def _default(value: int, ven_type: str = "server") -> dict[str, Any]:
    return {"scope": [], "value": value, "ven_type": ven_type}


@dataclass(frozen=True, slots=True)
class Settings:
    """One page of settings: an object that is always there."""

    name: str
    """Under which it is stored in ``settings``."""
    path: str
    """Behind the org's href; with a slash in front, of the PCE as the org sees it."""
    shape: Shape
    defaults: Mapping[str, Any]
    event_type: str

    def shown(self, stored: Mapping[str, Any], org_href: str) -> dict[str, Any]:
        """The settings as clients see them: what was never set has its default."""
        values = {name: stored.get(name, value) for name, value in self.defaults.items()}
        return {"href": self.href(org_href), **values}

    def href(self, org_href: str) -> str:
        """Where the page is."""
        return self.path if self.path.startswith("/") else f"{org_href}/{self.path}"


WORKLOAD_SETTINGS = Settings(
    name="workloads",
    path="settings/workloads",
    shape=Shape(
        {
            OFFLINE: _SECONDS,
            GOODBYE: _SECONDS,
            NOTIFICATION: _WARNINGS,
            UNINSTALL: _HOURS,
            # Ours: how often a VEN is heard, and posts its flows.
            HEARTBEAT: _INTERVALS,
            FLOWS: _INTERVALS,
            # Ours: until this epoch second a person confirms that silent VENs really are down, and
            # the mass-offline brake is off (pce.presence.sweep). 0 is never.
            "mass_offline_confirmed_until": Integer(0, 4_102_444_800),  # the year 2100
        }
    ),
    defaults={
        OFFLINE: [
            _default(DEFAULT_OFFLINE_S),
            _default(DEFAULT_ENDPOINT_OFFLINE_S, "endpoint"),
        ],
        GOODBYE: [
            _default(DEFAULT_GOODBYE_S),
            _default(DEFAULT_GOODBYE_S, "endpoint"),
        ],
        # Without an entry the warning comes at a quarter of the disconnect timer, or after three
        # missed heartbeats where that is never, or not set.
        NOTIFICATION: [],
        UNINSTALL: [_default(DEFAULT_UNINSTALL_HOURS)],
        HEARTBEAT: [_default(HEARTBEAT_INTERVAL_S)],
        FLOWS: [_default(FLOW_INTERVAL_S)],
        "mass_offline_confirmed_until": 0,
    },
    event_type="workload_settings.update",
)

EVENT_SETTINGS = Settings(
    name="events",
    path="settings/events",
    shape=Shape(
        {
            "audit_event_retention_seconds": Integer(86_400, 17_280_000),  # 1 to 200 days
            "audit_event_min_severity": Choice(("error", "warning", "informational")),
            "format": Choice(("JSON", "CEF", "LEEF")),
        }
    ),
    defaults={
        "audit_event_retention_seconds": 30 * 86_400,
        "audit_event_min_severity": "informational",
        "format": "JSON",
    },
    event_type="event_settings.update",
)

ORG_SETTINGS = Settings(
    name="org",
    path="settings",
    shape=Shape(
        {
            "ven_maintenance_token_required": Flag(),
            "clone_detection_enabled": Flag(),
            "automatic_clone_reactivation": Flag(),
            "use_census_permissions": Never("permissions by census do not exist here"),
            "max_explorer_query_timespan_days": Integer(1, 3650),
            # For consoles; it changes nothing else. So does label_display.
            "advanced_ruleset_display": Flag(),
            "automatic_label_application_on_ven_activation": Flag(),
            "rule_based_label_maker_schedule_enabled": Never(
                "label mapping rules are run by POST label_mapping_rules/run, not by the clock"
            ),
            "label_display": Text(64),
        }
    ),
    defaults={
        "ven_maintenance_token_required": False,
        "clone_detection_enabled": DETECTS_CLONES,
        "automatic_clone_reactivation": False,
        "use_census_permissions": False,
        "max_explorer_query_timespan_days": 90,
        "advanced_ruleset_display": False,
        "automatic_label_application_on_ven_activation": False,
        "rule_based_label_maker_schedule_enabled": False,
        "label_display": "value",
    },
    event_type="settings.update",
)

REPORT_SETTINGS = Settings(
    name="reports",
    path="settings/reports",
    shape=Shape({"report_retention_days": Integer(1, 7), "max_queued_reports": Integer(1, 100)}),
    defaults={"report_retention_days": 7, "max_queued_reports": 25},
    event_type="report_settings.update",
)

TRUSTED_PROXIES = Settings(
    name="trusted_proxy_ips",
    path="settings/trusted_proxy_ips",
    # Whose X-Forwarded-For is believed (pce.access.addresses).
    shape=Shape({"trusted_proxy_ips": ListOf(TrustedProxy(), max_entries=100)}),
    defaults={"trusted_proxy_ips": []},
    event_type="trusted_proxy_ips.update",
)

OPTIONAL_FEATURES = Settings(
    name=PAGE,
    path="optional_features",
    # Which there are, and what they do: pce.objects.optional_feature.
    shape=Shape(
        {
            "features": ListOf(
                Record(Shape({"name": Text(), "enabled": Flag()}, ("name", "enabled"))),
                max_entries=200,
            )
        }
    ),
    defaults={"features": []},
    event_type="optional_features.update",
)
"""Clients read and write the list alone."""
