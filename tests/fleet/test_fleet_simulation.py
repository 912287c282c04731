"""Whatever the network, the PCE and the processes do: when they are well again, the fleet is."""

from hypothesis import given
from hypothesis import strategies as st

from tests.fleet.simulator import (
    FLOWS_S,
    HEARTBEAT_S,
    Fleet,
    Network,
    document,
    name_of,
    policy_reply,
)
from ven.core import coordination, policy_state
from ven_protocol.bolts import Bolt
from ven_protocol.limits import MINIMAL_INTERVAL_S

SETTLED_S = 5 * HEARTBEAT_S
"""Three answers to leave degraded, one to hear of the policy, one to have its report heard."""


def assert_converged(fleet: Fleet) -> None:
    for ven in fleet.vens:
        wanted = fleet.pce.etag(ven.number)
        assert ven.state.heartbeat.mode == "normal"
        assert ven.state.policy.held == wanted == fleet.pce.applied[ven.number]
        assert ven.kernel == fleet.pce.policies[ven.number][-1]
        assert ven.disk.etag == wanted
        assert ven.state.policy.trouble is None
        assert ven.state.bolts.phase == "open"
        assert fleet.pce.reports[ven.number, "interfaces"] == ven.seen
        assert fleet.pce.reports[ven.number, "services"] == ven.ports
        assert not fleet.pce.actions[ven.number], "an action is still asked for"
        assert ven.collecting
        taken = {seq for number, seq in fleet.pce.batches if number == ven.number}
        # One that is still on disk may have been taken too: its answer is under way.
        written, kept = set(ven.written), set(ven.disk.batches)
        assert written - kept <= taken <= written, "a batch was lost"
        assert len(ven.disk.batches) <= 1, "batches pile up"


@given(
    seed=st.integers(0, 2**32),
    lost=st.floats(0, 0.6),
    repeated=st.floats(0, 0.5),
    slowest_s=st.floats(0, 20),
    damaged=st.floats(0, 0.6),
    offered=st.floats(0, 1),
)
def test_fleet_converges_after_faults(
    seed: int, lost: float, repeated: float, slowest_s: float, damaged: float, offered: float
) -> None:
    """Loss, repeats, delays, damaged policies, bolts that bring old policies too late, a PCE that
    goes away, VENs that are killed, kernels that refuse: when all that ends, every VEN holds the
    policy it should, on disk and in the kernel, is normal, healthy and connected, its reports and
    actions are heard, and every flow batch was taken exactly once."""
    fleet = Fleet(5, seed, Network(lost, repeated, slowest_s, damaged, offered))
    network, chaos = fleet.network, fleet.random
    for ven in fleet.vens:
        fleet.pce.set_policy(ven.number, document(0))
    for turn in range(40):
        ven = chaos.choice(fleet.vens)
        match chaos.randrange(8):
            case 0:
                network.pce_up = not network.pce_up
            case 1:
                ven.start()
            case 2:
                ven.kernel_refuses = chaos.randrange(3)
            case 3:
                ven.lose_bolts()
            case 4:
                ven.see(f"interfaces {turn}")
            case 5:
                kind = chaos.choice(("support_report", "restart", "refresh_policy", "unheard-of"))
                fleet.pce.ask(ven.number, kind, f"action-{turn}")
            case 6:
                ven.tampered = True
            case _:
                ven.bolt(fleet.pce.set_policy(ven.number, document(chaos.getrandbits(24))))
        fleet.run(chaos.uniform(0, HEARTBEAT_S))
    network.lost = network.repeated = network.damaged = 0
    network.slowest_s = 1
    network.pce_up = True
    for ven in fleet.vens:
        ven.kernel_refuses = 0
    # Batches are posted one by one, each with its answer; the last window may still be open.
    fleet.run(SETTLED_S + 60)
    assert_converged(fleet)
    for ven in fleet.vens:
        assert not ven.tampered
        restarts = [id for id, n in ven.carried_out.items() if n > 1]
        assert not restarts or ven.restarts > 0, "an action was carried out twice without a kill"


@given(seed=st.integers(0, 2**32))
def test_a_restart_action_happens_once(seed: int) -> None:
    """The PCE repeats an action until it hears of it; the VEN that restarts does so once."""
    fleet = Fleet(1, seed, Network(lost=0.3, repeated=0.3))
    fleet.pce.set_policy(0, document(1))
    fleet.pce.ask(0, "restart", "r")
    fleet.run(20 * HEARTBEAT_S)
    assert fleet.vens[0].carried_out["r"] == 1
    assert fleet.vens[0].restarts == 1
    assert fleet.pce.actions[0] == []


def test_every_second_interval_costs_one_request() -> None:
    """A flow post is the heartbeat too: in a quiet day a VEN sends about one request in 300 s."""
    fleet = Fleet(20, seed=1)
    for ven in fleet.vens:
        fleet.pce.set_policy(ven.number, document(1))
    fleet.run(2 * HEARTBEAT_S)
    fleet.pce.requests.clear()
    day_s = 86_400
    fleet.run(day_s)
    intervals = len(fleet.vens) * day_s / HEARTBEAT_S
    signs = fleet.pce.requests["heartbeat"] + fleet.pce.requests["flows"]
    assert 0.97 * intervals < signs < 1.03 * intervals
    windows = len(fleet.vens) * day_s / FLOWS_S
    assert 0.75 * windows < fleet.pce.requests["flows"] < 0.9 * windows  # 80 % have flows
    assert fleet.pce.requests["policy"] == 0
    assert fleet.pce.requests["report"] == 0


def test_a_bolt_brings_policy_within_its_spread() -> None:
    """With a good network a change is in every kernel a few seconds after the bolts."""
    fleet = Fleet(50, seed=2, network=Network(slowest_s=0.2))
    for ven in fleet.vens:
        fleet.pce.set_policy(ven.number, document(1))
    fleet.run(2 * HEARTBEAT_S)
    for ven in fleet.vens:
        ven.bolt(fleet.pce.set_policy(ven.number, document(2)))
    fleet.run(4)
    assert all(ven.kernel == document(2) for ven in fleet.vens)


def test_a_bolt_that_brings_the_policy_saves_the_fetch() -> None:
    """A VEN that holds what the PCE believes asks for nothing; one that holds something else
    fetches."""
    fleet = Fleet(50, seed=2, network=Network(slowest_s=0.2, offered=1))
    for ven in fleet.vens:
        fleet.pce.set_policy(ven.number, document(1))
    fleet.run(1.5 * HEARTBEAT_S)  # no heartbeat for the next two minutes
    before = fleet.pce.requests["policy"]
    for ven in fleet.vens:
        ven.bolt(fleet.pce.set_policy(ven.number, document(2)))
    fleet.run(4)
    assert fleet.pce.requests["policy"] == before
    assert all(ven.kernel == document(2) for ven in fleet.vens)
    for ven in fleet.vens:
        fleet.pce.applied[ven.number] = name_of(document(1))
        ven.bolt(fleet.pce.set_policy(ven.number, document(3)))
    fleet.run(4)
    assert fleet.pce.requests["policy"] == before + len(fleet.vens)
    assert all(ven.kernel == document(3) for ven in fleet.vens)


def test_a_late_bolt_that_brings_an_old_policy_is_mended_by_the_report() -> None:
    """A change was taken back, and its bolt comes last: it fits what the VEN holds, and nothing
    tells that it is old. What the PCE answers to the report does, long before a heartbeat."""
    fleet = Fleet(1, seed=10, network=Network(slowest_s=0.2))
    ven = fleet.vens[0]
    fleet.pce.set_policy(0, document(1))
    fleet.run(HEARTBEAT_S / 2)
    late = fleet.pce.with_answer(0, fleet.pce.set_policy(0, document(2)))
    fleet.pce.set_policy(0, document(1))
    assert late.base == ven.state.policy.held and late.reply
    heartbeats = fleet.pce.requests["heartbeat"]
    ven.feed(coordination.BoltArrived(late))
    fleet.run(2)
    assert ven.kernel == document(1) and fleet.pce.requests["heartbeat"] == heartbeats


def test_a_degraded_ven_does_not_listen_to_policy_bolts() -> None:
    """Degraded, only heartbeats tell of policy; three good ones end it."""
    fleet = Fleet(1, seed=3, network=Network(slowest_s=0.2))
    ven = fleet.vens[0]
    fleet.pce.set_policy(0, document(1))
    fleet.run(HEARTBEAT_S)
    fleet.network.pce_up = False
    fleet.run(4 * HEARTBEAT_S)
    assert ven.state.heartbeat.mode == "degraded"
    assert ven.kernel == document(1), "the last-known-good policy stays in force"
    fleet.network.pce_up = True
    before = fleet.pce.requests["policy"]
    ven.bolt(fleet.pce.set_policy(0, document(2)))
    fleet.run(5)
    assert fleet.pce.requests["policy"] == before
    answered = fleet.pce.requests["heartbeat"]
    while ven.state.heartbeat.mode == "degraded":
        fleet.run(1)
    # (What waited on the disk is posted in the same second.)
    assert fleet.pce.requests["heartbeat"] == answered + 3
    fleet.run(5)
    assert ven.kernel == document(2)


def test_minimal_mode_tries_every_four_hours_and_says_once_that_it_is_lost() -> None:
    """A VEN whose token is refused stops collecting and sends nothing but a heartbeat in four
    hours and one lost-agent message, whatever happens on its host; the first answer brings
    everything back, and what happened meanwhile is told."""
    fleet = Fleet(1, seed=4)
    ven = fleet.vens[0]
    fleet.pce.set_policy(0, document(1))
    fleet.run(2 * HEARTBEAT_S)
    fleet.network.pce_knows_tokens = False
    fleet.run(4 * HEARTBEAT_S)
    assert ven.state.heartbeat.mode == "minimal"
    assert not ven.collecting
    assert ven.connection == 0
    assert not fleet.pce.lost_agents
    fleet.sent.clear()
    quarters = 12
    for quarter in range(quarters):
        ven.ports = f"ports {quarter}"
        ven.see(f"interfaces {quarter}")
        ven.tamper()
        fleet.run(MINIMAL_INTERVAL_S / 4)
        assert not ven.tampered
    assert fleet.sent.keys() == {"heartbeat", "lost"}
    assert fleet.sent["heartbeat"] in (2, 3)
    assert fleet.sent["lost"] == 1
    assert fleet.pce.lost_agents == {0}
    assert ven.kernel == document(1)
    fleet.network.pce_knows_tokens = True
    fleet.run(1.1 * MINIMAL_INTERVAL_S)
    assert_converged(fleet)
    assert fleet.pce.reverts == {0: quarters}


def test_minimal_mode_fetches_no_policy_that_was_under_way() -> None:
    """What the kernel was being given when the mode was entered leads to no request either."""
    fleet = Fleet(1, seed=8, network=Network(slowest_s=0))
    ven = fleet.vens[0]
    fleet.pce.set_policy(0, document(1))
    fleet.run(HEARTBEAT_S)
    fleet.network.pce_knows_tokens = False
    while ven.state.heartbeat.misses < 2:
        fleet.run(1)
    # A policy arrives, and a newer one is announced while the kernel takes it.
    older, newer = fleet.pce.set_policy(0, document(2)), fleet.pce.set_policy(0, document(3))
    ven.feed(policy_state.Wanted(older.etag))
    reply = policy_reply([document(2)], etag="")
    assert reply is not None
    ven.feed(policy_state.Fetched(reply))
    ven.feed(policy_state.Wanted(newer.etag))
    ven.feed(coordination.HeartbeatMissed(authentication=True))
    assert ven.state.heartbeat.mode == "minimal"
    fleet.sent.clear()
    fleet.run(MINIMAL_INTERVAL_S / 2)
    assert ven.kernel == document(2)
    assert not fleet.sent
    fleet.network.pce_knows_tokens = True
    fleet.run(MINIMAL_INTERVAL_S)
    assert ven.kernel == document(3)


def test_a_degraded_ven_reports_after_an_answer_and_not_before() -> None:
    """Ports that change all the time cost nothing while the PCE is away."""
    fleet = Fleet(1, seed=9)
    ven = fleet.vens[0]
    fleet.run(2 * HEARTBEAT_S)
    fleet.network.pce_up = False
    fleet.run(4 * HEARTBEAT_S)
    assert ven.state.heartbeat.mode == "degraded"
    fleet.sent.clear()
    for turn in range(20):
        ven.ports = f"ports {turn}"
        fleet.run(HEARTBEAT_S)
    assert fleet.sent["heartbeat"] >= 18
    assert fleet.sent["report"] == 0
    fleet.network.pce_up = True
    fleet.run(1.1 * HEARTBEAT_S)
    assert fleet.pce.reports[0, "services"] == ven.ports
    assert fleet.sent["report"] == 1


def test_kernel_that_refuses_keeps_the_old_policy_and_tries_again() -> None:
    """A policy that the kernel refuses is reported, not fetched in a loop, and tried again with
    the next heartbeat."""
    fleet = Fleet(1, seed=5)
    ven = fleet.vens[0]
    fleet.pce.set_policy(0, document(1))
    fleet.run(HEARTBEAT_S / 2)  # no heartbeat for the next two minutes
    ven.kernel_refuses = 2
    ven.bolt(fleet.pce.set_policy(0, document(2)))
    before = fleet.pce.requests["policy"]
    fleet.run(5)
    assert ven.kernel == document(1)
    assert fleet.pce.requests["policy"] == before + 1
    fleet.run(3 * HEARTBEAT_S)
    assert ven.kernel == document(2)


def test_storm_of_changes_is_coalesced() -> None:
    """A hundred changes while one is being applied cost two fetches, and the last one wins."""
    fleet = Fleet(1, seed=6, network=Network(slowest_s=0.5))
    ven = fleet.vens[0]
    fleet.pce.set_policy(0, document(0))
    fleet.run(HEARTBEAT_S)
    before = fleet.pce.requests["policy"]
    for number in range(1, 101):
        bolt = fleet.pce.set_policy(0, document(number))
        ven.bolt(Bolt(type="policy", etag=bolt.etag))
        fleet.run(0.01)
    fleet.run(10)
    assert ven.kernel == document(100)
    assert fleet.pce.requests["policy"] - before <= 4


def test_same_seed_same_run() -> None:
    """A run can be repeated exactly."""

    def requests(seed: int) -> tuple[dict[str, int], float]:
        fleet = Fleet(3, seed, Network(lost=0.3, repeated=0.2, slowest_s=5))
        for ven in fleet.vens:
            fleet.pce.set_policy(ven.number, document(1))
        fleet.run(20 * HEARTBEAT_S)
        return dict(fleet.pce.requests), fleet.vens[0].state.heartbeat.due_at

    assert requests(7) == requests(7)
    assert requests(7) != requests(8)
