"""Random policies on real kernels, one after the other, while traffic of every kind goes on.

Whatever a packet met, it met one of the policies that were in force, at the sender and at the
receiver, between the moment when it was sent and the moment when it arrived. From that follow both
promises: nothing passes that all of them forbid, nothing is lost that all of them allow.

``KERNEL_CHANGES`` (200) and ``KERNEL_SEED`` (1) make it longer and different.
"""

import contextlib
import itertools
import os
import time
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from pce.policy.decide import Endpoint, decide
from pce.policy.estate import Estate
from pce.policy.evaluate import evaluate
from pce.policy.recompute import Direction, recompute
from pce.policy.traffic import Traffic
from tests.kernel.judging_host import JudgingHost
from tests.kernel.namespaces import Host, Network
from tests.kernel.random_policies import random_change, random_estate
from tests.kernel.steady_traffic import Flow, SteadyTraffic, Stream
from ven_protocol.policy import PolicyDocument

CHANGES = int(os.environ.get("KERNEL_CHANGES", "200"))
SEED = int(os.environ.get("KERNEL_SEED", "1"))
DWELL_S = 0.05
"""For traffic to meet a policy: ten packets of each stream."""
PASSAGE_NS = 250_000_000
"""How long a packet may take to be judged, on a machine that is busy with other things; long enough
for TCP to have sent it again (200 ms)."""
HANDSHAKE_NS = 100_000_000
"""How long a handshake may take there."""
NAMES = ("a", "b", "c")


class History:
    """What one host enforced when. A document may be what the kernel enforces from the beginning of
    its own apply to the end of the next one's."""

    def __init__(self) -> None:
        self.documents: list[PolicyDocument] = []
        self.changes: list[str] = []
        self._since: list[int] = []
        self._until: list[int] = []

    def add(self, document: PolicyDocument, change: str, began: int, ended: int) -> None:
        """``document`` was applied between these two times."""
        if self.documents:
            self._until.append(ended)
        self.documents.append(document)
        self.changes.append(change)
        self._since.append(began)

    def within(self, first: int, last: int) -> tuple[int, int]:
        """Numbers of the documents that may have judged between ``first`` and ``last``: from the
        one up to before the other."""
        return bisect_left(self._until, first), bisect_right(self._since, last)


def counted(found: Iterable[bool]) -> list[int]:
    """How many were true before each index, so that a difference counts those of an interval."""
    return list(itertools.accumulate(found, initial=0))


class View:
    """What one host's documents do with the traffic of one stream."""

    def __init__(self, history: History, direction: Direction, peer: str, what: Traffic) -> None:
        self.history = history
        judgements = [evaluate(d, direction, peer, what) for d in history.documents]
        stateless = [{r.id for r in d.rules if r.stateless} for d in history.documents]
        self._blocks = counted(j.verdict == "blocked" for j in judgements)
        self._untracked = counted(
            j.verdict == "unknown" or not j.rules.isdisjoint(rules)
            for j, rules in zip(judgements, stateless, strict=True)
        )

    def all_block(self, first: int, last: int) -> bool:
        """Did every policy of that time block?"""
        start, end = self.history.within(first, last)
        return self._blocks[end] - self._blocks[start] == end - start

    def none_blocks(self, first: int, last: int) -> bool:
        start, end = self.history.within(first, last)
        return self._blocks[end] == self._blocks[start]

    def is_clear(self, flow: Flow, last: int) -> bool:
        """Did the host see who began the flow? While it was idle, or let the flow pass stateless,
        nobody tracked it, and it is judged by the first packet that is seen afterwards. Of TCP the
        sockets tell, but not of a handshake that is under way just then."""
        if flow.stream.kind == "tcp":
            last = min(last, flow.began + HANDSHAKE_NS)
            start, end = self.history.within(flow.began, last)
            return end - start == 1 or self._untracked[end] == self._untracked[start]
        start, end = self.history.within(flow.began, last)
        return self._untracked[end] == self._untracked[start]

    def told(self, first: int, last: int) -> str:
        start, end = self.history.within(first, last)
        return " | ".join(
            f"{number}: {self.history.changes[number]}" for number in range(start, end)
        )


@dataclass
class Findings:
    """What the packets say of the policies."""

    passed: int = 0
    refused: int = 0
    had_to_pass: int = 0
    had_to_be_refused: int = 0
    established: int = 0
    """Of those that had to pass, how many on TCP connections."""
    cut: int = 0
    """TCP connections that were given up."""
    violations: list[str] = field(default_factory=list)

    def judge(self, flow: Flow, ends: tuple[View, View]) -> None:
        """All messages of a flow; ``ends``: as its source and its target see it."""
        for number, message in enumerate(flow.messages):
            self._judge_leg(flow, number, ends, message.sent, message.arrived or message.answered)
            if message.arrived:
                self._judge_leg(flow, number, ends, message.arrived, message.answered)
        self.cut += bool(flow.cut)

    def _judge_leg(
        self, flow: Flow, number: int, ends: tuple[View, View], sent: int, arrived: int
    ) -> None:
        if arrived:
            self.passed += 1
        else:
            self.refused += 1
        last = arrived or sent + PASSAGE_NS
        clear = [end for end in ends if end.is_clear(flow, last)]
        if any(end.all_block(sent, last) for end in clear):
            self.had_to_be_refused += 1
            if arrived:
                self._report("passed, all forbid it", flow, number, ends, sent, last)
        # A TCP connection that was ever blocked sends again when it likes.
        since = flow.began if flow.stream.kind == "tcp" else sent
        if len(clear) == 2 and all(end.none_blocks(since, last) for end in ends):
            self.had_to_pass += 1
            self.established += flow.stream.kind == "tcp" and number > 0
            if not arrived:
                self._report("lost, all allow it", flow, number, ends, sent, last)

    def _report(
        self, what: str, flow: Flow, number: int, ends: tuple[View, View], sent: int, last: int
    ) -> None:
        stream = flow.stream
        policies = [
            f"{name} {end.told(sent, last)}"
            for name, end in zip(("source", "target"), ends, strict=True)
        ]
        self.violations.append(
            f"seed {SEED}: {what}: {stream.kind} v{stream.family} {stream.source.namespace} ->"
            f" {stream.target.namespace}, message {number} of the flow that began"
            f" {(sent - flow.began) / 1e6:.1f} ms before, {(last - sent) / 1e6:.3f} ms under way;"
            f" {'; '.join(policies)}"
        )


def streams_on(network: Network) -> list[Stream]:
    return [
        Stream(kind, network[source], network[target], family)
        for source, target in itertools.permutations(NAMES, 2)
        for kind in ("tcp", "udp", "connect", "ping")
        for family in (4, 6)
    ]


def check_against_rules(
    estate: Estate,
    documents: dict[str, PolicyDocument],
    streams: list[Stream],
    names: dict[Host, str],
) -> None:
    """The documents by which packets are judged mean what the rules say."""
    for stream in streams:
        source, target = (
            Endpoint(host.address(stream.family), names[host])
            for host in (stream.source, stream.target)
        )
        decision = decide(estate, source, target, stream.traffic)
        for own, peer, direction, said in (
            (source, target, "out", decision.source),
            (target, source, "in", decision.destination),
        ):
            found = evaluate(documents[own.workload_id], direction, peer.address, stream.traffic)
            assert found.verdict == said.verdict


@pytest.mark.timeout(120 + CHANGES)
def test_every_packet_is_judged_by_the_old_or_the_new_policy(tmp_path: Path) -> None:
    """Nothing passes that both forbid, also not on an established connection; nothing is lost that
    both allow, and no connection is cut that both allow."""
    random = Random(SEED)
    print(f"KERNEL_SEED={SEED} KERNEL_CHANGES={CHANGES}")
    with Network(*NAMES) as network, contextlib.ExitStack() as opened:
        names = {network[name]: name for name in NAMES}
        judges = {name: JudgingHost(network[name], tmp_path / name) for name in NAMES}
        for judge in judges.values():
            opened.callback(judge.close)
        histories = {name: History() for name in NAMES}
        streams = streams_on(network)
        estate = random_estate(random, {name: network[name] for name in NAMES})

        def enforce(change: str) -> None:
            documents = recompute(estate).documents
            check_against_rules(estate, documents, random.sample(streams, 8), names)
            for name in random.sample(NAMES, len(NAMES)):
                history = histories[name]
                if not history.documents or history.documents[-1] != documents[name]:
                    began = time.monotonic_ns()
                    judges[name].apply(documents[name])
                    history.add(documents[name], change, began, time.monotonic_ns())

        enforce("the beginning")
        with SteadyTraffic(streams) as traffic:
            for number in range(CHANGES):
                time.sleep(DWELL_S)  # not a wait for something: it is how long a policy lives
                what, estate = random_change(random, estate)
                enforce(f"{number} {what}")
            flows = traffic.finish()

    findings = Findings()
    for stream, of_stream in itertools.groupby(sorted(flows, key=by_stream), lambda f: f.stream):
        source, target = names[stream.source], names[stream.target]
        ends = (
            View(histories[source], "out", stream.target.address(stream.family), stream.traffic),
            View(histories[target], "in", stream.source.address(stream.family), stream.traffic),
        )
        for flow in of_stream:
            findings.judge(flow, ends)
    print(findings)
    assert not findings.violations, "\n".join(findings.violations[:20])
    # That there was something to see: of both kinds, and connections that lived through changes.
    assert min(findings.had_to_pass, findings.had_to_be_refused) > 20 * CHANGES
    assert findings.established > CHANGES
    assert findings.cut > CHANGES / 20


def by_stream(flow: Flow) -> tuple[str, ...]:
    stream = flow.stream
    return stream.kind, stream.source.namespace, stream.target.namespace, str(stream.family)
