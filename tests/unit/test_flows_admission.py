"""``pce.flows.admission``: which windows are believed."""

import pytest

from pce.errors import Invalid
from pce.flows.admission import MAX_AGE_S, MAX_WINDOW_S, admit
from tests.property.flow_batches import HEARTBEAT
from ven_protocol.flows import decode_batch, encode_batch
from ven_protocol.limits import CLOCK_TOLERANCE_S

NOW = 1_800_000_000


def window(start, end):
    return decode_batch(encode_batch(1, start, end, HEARTBEAT, []))


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (NOW - 600, NOW),
        (NOW, NOW),
        (NOW, NOW + CLOCK_TOLERANCE_S),
        (NOW - MAX_AGE_S - 600, NOW - MAX_AGE_S),
        (NOW - MAX_WINDOW_S, NOW),
    ],
)
def test_accepted(start, end):
    """Up to and including each limit."""
    admit(window(start, end), NOW)


@pytest.mark.parametrize(
    ("start", "end", "tokens"),
    [
        (NOW, NOW + CLOCK_TOLERANCE_S + 1, ["flow_window_in_future"]),
        (NOW - MAX_AGE_S - 9, NOW - MAX_AGE_S - 1, ["flow_window_too_old"]),
        (NOW - MAX_WINDOW_S - 1, NOW, ["flow_window_too_long"]),
        (0, NOW - MAX_AGE_S - 1, ["flow_window_too_long", "flow_window_too_old"]),
    ],
)
def test_refused(start, end, tokens):
    """One second past a limit, with a token for each thing that is wrong and the PCE's time."""
    with pytest.raises(Invalid) as caught:
        admit(window(start, end), NOW)
    assert [problem.token for problem in caught.value.problems] == tokens
    assert all(problem.field in ("start", "end") for problem in caught.value.problems)
