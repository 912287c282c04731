"""May this batch be stored? Its times are the reporter's word, so they are held against ours.

A batch with impossible times is refused, never corrected. Its key is made of its own end, so a
shifted batch that is posted again would be stored twice; and a record of who talked to whom should
say what the reporter said. The reporter can mend it: every reply carries the PCE's time. A VEN
keeps a batch from the future and posts it again until its time has come.
"""

from pce.errors import Invalid, Problem
from pce.timestamps import rfc3339
from ven_protocol.flows import FlowBatch
from ven_protocol.limits import CLOCK_TOLERANCE_S

MAX_AGE_S = 7 * 86_400
"""How long ago a window may have ended: a VEN that was cut off for a week may still deliver. What
is older would come after the reports that it belongs to were read."""

MAX_WINDOW_S = 86_400
"""Longest window. Totals and rates of a longer one say nothing about any hour in it; a VEN that was
cut off closes a window at every interval all the same, and posts them one after the other."""


def admit(batch: FlowBatch, now: int) -> None:
    """Return when the batch may be stored at ``now`` (epoch seconds), else raise :class:`Invalid`.

    ``decode_batch`` has already seen to what needs no clock (start <= end, first <= last <= end).
    """
    problems = []
    if batch.end - batch.start > MAX_WINDOW_S:
        problems.append(
            Problem(
                "flow_window_too_long",
                f"the window has {batch.end - batch.start} s; at most {MAX_WINDOW_S} are accepted",
                "start",
            )
        )
    if batch.end > now + CLOCK_TOLERANCE_S:
        problems.append(
            Problem(
                "flow_window_in_future",
                f"the window ends {batch.end - now} s after the PCE's time, {rfc3339(now)}: "
                "set the host's clock, or post the batch again when its time has come",
                "end",
            )
        )
    if batch.end < now - MAX_AGE_S:
        problems.append(
            Problem(
                "flow_window_too_old",
                f"the window ended {now - batch.end} s ago, and {MAX_AGE_S} s are accepted: drop "
                f"the batch, or set the host's clock to the PCE's time, {rfc3339(now)}",
                "end",
            )
        )
    if problems:
        raise Invalid(problems)
