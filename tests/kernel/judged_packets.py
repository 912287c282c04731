"""What packets met, compared with the policies that were in force when they were under way.

Whatever a packet met, it met one of the policies that were in force, at the sender and at the
receiver, between the moment when it was sent and the moment when it arrived.
"""

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field

from pce.policy.evaluate import evaluate
from pce.policy.recompute import Direction
from pce.policy.traffic import Traffic
from tests.kernel.steady_traffic import Flow
from ven_protocol.policy import PolicyDocument

PASSAGE_NS = 250_000_000
"""How long a packet may take to be judged, on a machine that is busy with other things; long enough
for TCP to have sent it again (200 ms)."""
HANDSHAKE_NS = 100_000_000
"""How long a handshake may take there."""


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
    """What the packets say of the policies; ``run`` names the run in what it reports."""

    run: str
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
            f"{self.run}: {what}: {stream.kind} v{stream.family} {stream.source.namespace} ->"
            f" {stream.target.namespace}, message {number} of the flow that began"
            f" {(sent - flow.began) / 1e6:.1f} ms before, {(last - sent) / 1e6:.3f} ms under way;"
            f" {'; '.join(policies)}"
        )
