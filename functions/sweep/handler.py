"""EventBridge Scheduler, every minute: who has been silent for too long? Which reports are due?"""

from typing import Any

import msgspec

from pce.runtime.clock import now_s
from pce.runtime.http import Event
from pce.runtime.metrics import emit
from pce.runtime.wiring import wiring
from pce.usecases.make_due_reports import make_due_reports
from pce.usecases.sweep_presence import sweep_presence


def handler(event: Event, context: object) -> dict[str, Any]:
    """Runs one sweep; returns what it did."""
    swept = sweep_presence(wiring(), now_s(), wiring().environment.sweep_interval_s)
    facts: dict[str, Any] = msgspec.to_builtins(swept)
    emit({"SweepCompleted": 1, "MassOfflineBrake": swept.braked_orgs}, facts)
    # Last: whatever is wrong with a report, VENs were looked after.
    make_due_reports(wiring(), now_s())
    return facts
