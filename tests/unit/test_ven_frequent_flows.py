"""A VEN that was asked for its flows posts them at once, and every minute for ten minutes."""

from itertools import pairwise

from tests.fleet.simulator import SETTINGS
from ven.core import coordination, outbox, policy_state
from ven.core.timing import Dice, Tick
from ven_protocol.limits import FREQUENT_FLOWS_FOR_S, FREQUENT_FLOWS_INTERVAL_S
from ven_protocol.messages import Action, HeartbeatReply

USUAL_S = SETTINGS.intervals.flows_s


class Ven:
    """The core alone; what it says is answered at once."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.asked: list[Action] = []
        self.closed_at: list[float] = []
        self.state = coordination.start(self.now, 1, SETTINGS, policy_state.start(Dice(2)))
        self.feed(coordination.Started())

    def feed(self, event: coordination.Event) -> None:
        self.state, commands = coordination.step(self.state, event, self.now)
        for command in commands:
            match command:
                case coordination.CloseWindow():
                    self.closed_at.append(self.now)
                    batch = outbox.Batch(len(self.closed_at), 100)
                    self.feed(coordination.WindowClosed((batch,)))
                case coordination.PostFlows(seq, done):
                    self.feed(coordination.FlowsTaken(seq, self.reply(), done))
                case coordination.SendHeartbeat(done):
                    self.feed(coordination.HeartbeatAnswered(self.reply(), done))

    def reply(self) -> HeartbeatReply:
        asked, self.asked = self.asked, []
        return HeartbeatReply(etag="", server_time="", next_heartbeat_s=300, actions=asked)

    def run_for(self, seconds: float) -> list[float]:
        """When windows were closed, in seconds from now."""
        began = self.now
        self.closed_at.clear()
        while (at := coordination.wake_at(self.state)) <= began + seconds:
            self.now = max(self.now, at)
            self.feed(Tick())
        self.now = began + seconds
        return [at - began for at in self.closed_at]

    def ask(self, id: str) -> None:
        """The reply to its next sign of life, which is due at once, carries the wish."""
        self.asked = [Action(id=id, type="report_flows")]
        self.feed(coordination.HeartbeatAnswered(self.reply()))


def test_windows_are_short_for_a_while_and_then_as_before() -> None:
    """The first ends with the request, and none but the last may end later than the while."""
    ven = Ven()
    ven.run_for(10)
    ven.ask("report_flows#1")
    closed = ven.run_for(FREQUENT_FLOWS_FOR_S)
    assert closed[0] == FREQUENT_FLOWS_INTERVAL_S
    steps = [later - earlier for earlier, later in pairwise(closed)]
    assert max(steps) <= FREQUENT_FLOWS_INTERVAL_S
    assert FREQUENT_FLOWS_FOR_S / FREQUENT_FLOWS_INTERVAL_S <= len(closed) <= 11
    # A window that is nearly over ends with a heartbeat, at most 20 % of 300 s early.
    assert USUAL_S * 0.85 <= ven.run_for(2 * USUAL_S)[0] <= USUAL_S


def test_the_request_itself_closes_the_window() -> None:
    """What was seen until then is on its way before the person looks again."""
    ven = Ven()
    ven.run_for(10)
    ven.ask("report_flows#1")
    assert ven.closed_at == [ven.now]
    ven.ask("report_flows#1")
    assert ven.closed_at == [ven.now], "the same wish twice"


def test_asked_again_the_while_begins_anew() -> None:
    """Ten minutes from then."""
    ven = Ven()
    ven.run_for(10)
    ven.ask("report_flows#1")
    ven.run_for(FREQUENT_FLOWS_FOR_S / 2)
    ven.ask("report_flows#2")
    wanted = FREQUENT_FLOWS_FOR_S / FREQUENT_FLOWS_INTERVAL_S
    assert len(ven.run_for(FREQUENT_FLOWS_FOR_S)) >= wanted
