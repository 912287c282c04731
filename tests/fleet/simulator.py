"""A fleet of VENs and one PCE on a fake clock, joined by a network that loses, repeats and delays.

The VENs are ``ven.core`` itself: only its edges are replaced. Everything follows from the seed, so
a run that went wrong can be run again.
"""

import gzip
import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
from msgspec.structs import replace

from ven.core import actions, bolts, coordination, heartbeat, outbox, policy_state, reports
from ven.core import tampering as tamper
from ven.core.timing import NEVER, Dice, Tick
from ven_protocol.bolts import Bolt
from ven_protocol.messages import Action, HeartbeatReply, Intervals, Settings
from ven_protocol.policy import (
    PolicyDocument,
    PolicyReply,
    Rule,
    Service,
    policy_delta,
    policy_digest,
)

HEARTBEAT_S = 300
FLOWS_S = 600
SETTINGS = Settings(
    intervals=Intervals(heartbeat_s=HEARTBEAT_S, flows_s=FLOWS_S), bolts_url="wss://pce/"
)
TIMEOUT_S = 30


@dataclass
class Network:
    """How bad it is. Shares are of single messages."""

    lost: float = 0.0
    repeated: float = 0.0
    slowest_s: float = 1.0
    damaged: float = 0.0
    """Of policies only, fetched or brought by a bolt."""
    offered: float = 0.0
    """Share of bolts that bring their policy along."""
    pce_up: bool = True
    bolts_up: bool = True
    pce_knows_tokens: bool = True


class SimulatedPce:
    """What the PCE remembers of each VEN, and what it answers."""

    def __init__(self) -> None:
        self.policies: dict[int, list[PolicyDocument]] = {}
        self.applied: dict[int, str] = {}
        self.batches: dict[tuple[int, int], str] = {}
        self.repeats = 0
        self.actions: dict[int, list[Action]] = {}
        self.reports: dict[tuple[int, str], str] = {}
        self.lost_agents: set[int] = set()
        self.reverts: Counter[int] = Counter()
        self.requests: Counter[str] = Counter()
        self.heard: Counter[int] = Counter()

    def set_policy(self, ven: int, document: PolicyDocument) -> Bolt:
        self.policies.setdefault(ven, []).append(document)
        return Bolt(type="policy", etag=name_of(document), spread_s=1)

    def etag(self, ven: int) -> str:
        return name_of(self.policies[ven][-1]) if ven in self.policies else ""

    def ask(self, ven: int, type: str, id: str) -> Action:
        action = Action(id=id, type=type)
        self.actions.setdefault(ven, []).append(action)
        return action

    def heartbeat(self, ven: int, applied: str, done: tuple[str, ...]) -> HeartbeatReply:
        self.applied[ven] = applied
        self.heard[ven] += 1
        pending = [a for a in self.actions.get(ven, []) if a.id not in done]
        self.actions[ven] = pending
        return HeartbeatReply(
            etag=self.etag(ven),
            server_time="",
            next_heartbeat_s=HEARTBEAT_S,
            actions=pending,
        )

    def take_batch(self, ven: int, seq: int, content: str) -> None:
        kept = self.batches.setdefault((ven, seq), content)
        assert kept == content, f"VEN {ven} posted two different batches as number {seq}"

    def policy(self, ven: int, etag: str) -> PolicyReply | None:
        return policy_reply(self.policies.get(ven, []), etag)

    def with_answer(self, ven: int, bolt: Bolt) -> Bolt:
        """The bolt with what a fetch would be answered now, as far as the PCE knows the VEN."""
        base = self.applied.get(ven, "")
        reply = self.policy(ven, base)
        if reply is None:
            return bolt
        body = gzip.compress(msgspec.json.encode(reply))
        return replace(bolt, etag=reply.etag, base=base, reply=body)

    def take_report(self, ven: int, etag: str) -> str:
        """A VEN applied this; what should it hold now?"""
        self.applied[ven] = etag
        return self.etag(ven)


def name_of(document: PolicyDocument) -> str:
    """An etag: unlike the digest, it says nothing of the content to a VEN."""
    return f"{policy_digest(document)[8:16]}.1"


def policy_reply(versions: list[PolicyDocument], etag: str) -> PolicyReply | None:
    """What a PCE that had these versions, the newest last, answers to a VEN that holds ``etag``."""
    if not versions or name_of(versions[-1]) == etag:
        return None
    new = versions[-1]
    name, digest = name_of(new), policy_digest(new)
    for old in versions:
        if name_of(old) == etag:
            return PolicyReply(etag=name, digest=digest, delta=policy_delta(old, new))
    return PolicyReply(etag=name, digest=digest, document=new)


@dataclass
class Disk:
    """What survives when a VEN is killed."""

    etag: str = ""
    document: PolicyDocument | None = None
    batches: dict[int, str] = field(default_factory=dict)
    sequence: int = 0
    done: tuple[str, ...] = ()


class SimulatedVen:
    """One VEN: the core, a disk, a kernel, and edges that go through the simulated network."""

    def __init__(self, number: int, fleet: "Fleet") -> None:
        self.number = number
        self.fleet = fleet
        self.disk = Disk()
        self.kernel: PolicyDocument | None = None
        self.kernel_refuses = 0
        """How many of the next applies the kernel refuses."""
        self.tampered = False
        self.carried_out: Counter[str] = Counter()
        self.written: dict[int, str] = {}
        self.seen = "first"
        self.ports = "first"
        """What is next found of open ports; ``seen`` is of interfaces."""
        self.restarts = -1
        self.collecting = False
        self.connection = 0
        self.start()

    def start(self) -> None:
        """The process starts (again): only disk and kernel are as they were."""
        self.restarts += 1
        self.life = object()
        self.collecting = False
        self.connection = 0
        dice = Dice(self.fleet.random.getrandbits(63))
        policy = policy_state.start(dice, self.disk.etag, self.disk.document)
        if self.disk.document is not None:
            self.kernel = self.disk.document
        waiting = tuple(outbox.Batch(seq, 1000) for seq in sorted(self.disk.batches))
        self.state = coordination.start(
            self.fleet.now,
            self.fleet.random.getrandbits(62),
            SETTINGS,
            policy,
            waiting,
            self.disk.done,
        )
        self.wake_at = NEVER
        self.feed(coordination.Started())
        self.feed(reports.Observed("interfaces", self.seen))

    def feed(self, event: coordination.Event) -> None:
        self.state, commands = coordination.step(self.state, event, self.fleet.now)
        life = self.life
        for command in commands:
            if self.life is not life:
                return  # killed in the middle
            self.perform(command)
        self.arm()

    def arm(self) -> None:
        at = coordination.wake_at(self.state)
        if at == NEVER or at == self.wake_at:
            return
        self.wake_at = at
        self.later(max(0.0, at - self.fleet.now), lambda: self.wake(at))

    def wake(self, at: float) -> None:
        if at == self.wake_at:
            self.wake_at = NEVER
            self.feed(Tick())

    def later(self, wait_s: float, then: Callable[[], None]) -> None:
        """Unless the process is killed before."""
        life = self.life
        self.fleet.at(self.fleet.now + wait_s, lambda: then() if self.life is life else None)

    def request(
        self,
        name: str,
        ask: Callable[[], object],
        answered: Callable[[object], None],
        failed: Callable[[bool], None],
    ) -> None:
        """Through the network: ends in exactly one of ``answered`` and ``failed``."""
        fleet, network = self.fleet, self.fleet.network
        delay = fleet.random.uniform(0, network.slowest_s)
        fleet.sent[name] += 1

        def arrive() -> None:
            if not network.pce_up or fleet.chance(network.lost):
                self.later(TIMEOUT_S, lambda: failed(False))
                return
            fleet.pce.requests[name] += 1
            if not network.pce_knows_tokens and name != "lost":
                self.later(delay, lambda: failed(True))
                return
            answer = ask()
            if fleet.chance(network.repeated):
                answer = ask()
            if fleet.chance(network.lost):
                self.later(TIMEOUT_S, lambda: failed(False))
            else:
                self.later(delay, lambda: answered(answer))

        self.later(delay, arrive)

    def perform(self, command: coordination.Command) -> None:
        pce, number, feed = self.fleet.pce, self.number, self.feed
        match command:
            case coordination.SendHeartbeat(done):
                held = self.state.policy.held
                self.request(
                    "heartbeat",
                    lambda: pce.heartbeat(number, held, done),
                    lambda reply: feed(coordination.HeartbeatAnswered(reply, done)),
                    lambda refused: feed(coordination.HeartbeatMissed(refused)),
                )
            case coordination.PostFlows(seq, done):
                held, content = self.state.policy.held, self.disk.batches[seq]

                def take() -> HeartbeatReply:
                    pce.take_batch(number, seq, content)
                    return pce.heartbeat(number, held, done)

                self.request(
                    "flows",
                    take,
                    lambda reply: feed(coordination.FlowsTaken(seq, reply, done)),
                    lambda refused: feed(coordination.FlowsMissed(seq)),
                )
            case coordination.CloseWindow():
                self.later(0.01, self.close_window)
            case policy_state.FetchPolicy(etag):
                self.request(
                    "policy",
                    lambda: pce.policy(number, etag),
                    lambda reply: feed(self.fetched(reply)),
                    lambda refused: feed(policy_state.FetchFailed()),
                )
            case policy_state.ApplyPolicy(_, document):
                self.later(self.fleet.random.uniform(0, 0.5), lambda: self.apply(document))
            case policy_state.SavePolicy(etag, document):
                assert self.kernel == document, "saved before the kernel had it"
                self.disk.etag, self.disk.document = etag, document
            case policy_state.ReportPolicy(etag, error=error):
                assert error or self.disk.etag == etag, "reported before it was on disk"
                self.request(
                    "applied",
                    lambda: pce.etag(number) if error else pce.take_report(number, etag),
                    lambda wanted: None if error else feed(policy_state.Wanted(wanted)),
                    lambda _: None,
                )
            case bolts.OpenBolts():
                self.request(
                    "connect",
                    lambda: self.fleet.network.bolts_up,
                    lambda up: self.opened() if up else feed(bolts.Failed()),
                    lambda _: feed(bolts.Failed()),
                )
            case bolts.CloseBolts():
                self.connection = 0
            case tamper.CheckKernel():
                self.later(0.01, lambda: feed(tamper.Looked(not self.tampered)))
            case tamper.RevertKernel():
                self.tampered = False
                self.later(0.01, lambda: feed(tamper.Reverted(True)))
            case tamper.ReportTampering(reverts=reverts):
                self.request(
                    "tampering",
                    lambda: pce.reverts.update({number: reverts}),
                    lambda _: None,
                    lambda _: None,
                )
            case coordination.ObserveServices():
                self.later(0.05, lambda: feed(reports.Observed("services", self.ports)))
            case reports.SendReport(kind):
                content = self.seen if kind == "interfaces" else self.ports
                self.request(
                    "report",
                    lambda: pce.reports.__setitem__((number, kind), content),
                    lambda _: feed(reports.ReportAccepted(kind)),
                    lambda _: feed(reports.ReportFailed(kind)),
                )
            case actions.Do(action):
                self.carried_out[action.id] += 1
                if action.type == "restart":
                    self.start()
                else:
                    self.later(1, lambda: feed(actions.Finished(action.id)))
            case actions.RememberActions(ids):
                self.disk.done = ids
            case outbox.ForgetBatch(seq):
                self.disk.batches.pop(seq, None)
            case heartbeat.TellLost():
                self.request(
                    "lost", lambda: pce.lost_agents.add(number), lambda _: None, lambda _: None
                )
            case coordination.StartCollecting():
                self.collecting = True
            case coordination.StopCollecting():
                self.collecting = False
            case _:
                pass

    def apply(self, document: PolicyDocument) -> None:
        if self.kernel_refuses > 0:
            self.kernel_refuses -= 1
            self.feed(policy_state.Refused("no memory"))
            return
        self.kernel = document
        self.feed(policy_state.Applied(len(document.rules)))

    def fetched(self, reply: PolicyReply | None) -> policy_state.PolicyEvent:
        if reply is None:
            return policy_state.Unchanged()
        if self.fleet.chance(self.fleet.network.damaged):
            broken = replace(reply, digest="0" * 32)
            return self.fleet.random.choice(
                (policy_state.Damaged("cut short"), policy_state.Fetched(broken))
            )
        return policy_state.Fetched(reply)

    def close_window(self) -> None:
        if self.fleet.chance(0.2):
            self.feed(coordination.WindowClosed(()))
            return
        self.disk.sequence += 1
        seq = self.disk.sequence
        content = f"{self.number}/{seq}/{self.fleet.now:.3f}"
        self.disk.batches[seq] = self.written[seq] = content
        self.feed(coordination.WindowClosed((outbox.Batch(seq, 1000),)))

    def opened(self) -> None:
        self.connection += 1
        self.feed(bolts.Opened())
        if self.state.bolts.phase == "off":
            self.connection = 0

    def lose_bolts(self) -> None:
        if self.connection:
            self.connection = 0
            self.feed(bolts.Lost())

    def bolt(self, bolt: Bolt) -> None:
        """The PCE sends one; it may get lost, come late or twice."""
        network = self.fleet.network
        if self.fleet.chance(network.offered):
            bolt = self.fleet.pce.with_answer(self.number, bolt)
            if self.fleet.chance(network.damaged):
                bolt = replace(bolt, reply=bolt.reply[:-5])
        for _ in range(2 if self.fleet.chance(network.repeated) else 1):
            if self.connection and not self.fleet.chance(network.lost):
                delay = self.fleet.random.uniform(0, network.slowest_s)
                self.later(delay, lambda: self.feed(coordination.BoltArrived(bolt)))

    def tamper(self) -> None:
        """Somebody changes the firewall table, and the kernel says so."""
        self.tampered = True
        self.feed(tamper.Suspected("nft"))

    def see(self, what: str) -> None:
        """The host's interfaces change."""
        self.seen = what
        self.feed(reports.Observed("interfaces", what))


class Fleet:
    """The fake clock and everything on it."""

    def __init__(self, size: int, seed: int, network: Network | None = None) -> None:
        self.random = random.Random(seed)
        self.network = network or Network()
        self.pce = SimulatedPce()
        self.sent: Counter[str] = Counter()
        """Requests that VENs have sent, whether or not they arrived."""
        self.now = 0.0
        self._order = itertools.count()
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self.vens = [SimulatedVen(number, self) for number in range(size)]

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def at(self, when: float, then: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (when, next(self._order), then))

    def run(self, seconds: float) -> None:
        """Let so much time pass."""
        end = self.now + seconds
        while self._queue and self._queue[0][0] <= end:
            self.now, _, then = heapq.heappop(self._queue)
            then()
        self.now = end


def document(peer: int, mode: str = "full") -> PolicyDocument:
    """A small policy that differs from others by its peer."""
    return PolicyDocument(
        mode=mode,
        visibility="flow_summary",
        sets={"peers": [f"10.{peer >> 16 & 255}.{peer >> 8 & 255}.{peer & 255}"]},
        rules=[
            Rule(
                id="r1",
                direction="in",
                action="allow",
                peers=["peers"],
                services=[Service(proto=6, port=443)],
            )
        ],
    )
