"""Every row of the decision table, tried.

Each row is a real attempt between two hosts, and has five answers that must be one: what is stated
(``decision_rows.py``), what follows from the rules as written (``decide``), what a person who asks
is told (``explain``), what the kernel did after the rules became documents and the documents nft
rules, and what the traffic log of each end says.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from pce.policy.decide import Decision, Endpoint, decide
from pce.policy.estate import Estate, FirewallSettings
from pce.policy.questions.ends import end_at
from pce.policy.questions.explain import Explanation, explain
from pce.policy.questions.rule_index import RuleIndex
from pce.policy.recompute import recompute
from pce.policy.traffic import Verdict
from tests.kernel.attempts import TCP, Answering, Attempt
from tests.kernel.decision_rows import HOSTS, MANAGED, ROWS, ROWS_WITHOUT_IPV6, Row, estate_on
from tests.kernel.judging_host import JudgingHost
from tests.kernel.namespaces import Network
from tests.kernel.protected_host import eventually
from ven.core.kernel import Decision as Reported

SAID: dict[int, Verdict] = {
    Reported.ALLOWED: "allowed",
    Reported.POTENTIALLY_BLOCKED: "potentially_blocked",
    Reported.BLOCKED: "blocked",
    Reported.UNKNOWN: "unknown",
}
Told = tuple[object, ...]
"""What one attempt is called in a traffic log: ends, protocol, port, ICMP type and code."""


@dataclass(frozen=True)
class Outcome:
    """What became of a row."""

    answered: bool
    decided: Decision
    explained: Explanation
    reported: dict[str, set[Verdict]]
    """By managed host: the decisions that its traffic log tells of this attempt."""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[Row, Outcome]]:
    """Every row tried, all of a family at once."""
    with Network(*HOSTS) as network, contextlib.ExitStack() as opened:
        judges: dict[str, JudgingHost] = {}
        for name in MANAGED:
            judges[name] = JudgingHost(network[name], tmp_path_factory.mktemp(name))
            opened.callback(judges[name].close)
        ports = {row.traffic.port for row in ROWS + ROWS_WITHOUT_IPV6 if row.traffic.port}
        opened.enter_context(Answering(network.hosts.values(), sorted(ports)))
        estate = estate_on(network)
        blocked = FirewallSettings(ipv6="blocked_in_full", older_ipv6="blocked_in_full")
        found: dict[Row, Outcome] = {}
        for rows, enforced in (
            ([row for row in ROWS if row.family == 4], estate),
            ([row for row in ROWS if row.family == 6], estate),
            (list(ROWS_WITHOUT_IPV6), replace(estate, firewall=blocked)),
        ):
            recomputed = recompute(enforced)
            assert not recomputed.problems
            for name, judge in judges.items():
                judge.apply(recomputed.documents[name])
            found |= tried(rows, enforced, network, judges)
        yield found


def tried(
    rows: list[Row], estate: Estate, network: Network, judges: dict[str, JudgingHost]
) -> dict[Row, Outcome]:
    """All rows under way together, until each was answered or is in a log as refused."""
    attempts = {
        row: Attempt(network[row.source], network[row.target], row.family, row.traffic)
        for row in rows
    }
    told: dict[tuple[str, Told], set[Verdict]] = {}

    def listen() -> None:
        for name, judge in judges.items():
            for s in judge.traffic_log():
                key = (s.src_ip, s.dst_ip, s.proto, s.dst_port, s.icmp_type, s.icmp_code)
                told.setdefault((name, key), set()).add(SAID[s.pd])

    def reported(row: Row) -> dict[str, set[Verdict]]:
        what = row.traffic
        key = (*attempts[row].ends, what.proto, what.port or 0, what.icmp_type, what.icmp_code)
        return {name: told.get((name, key), set()) for name in (row.source, row.target)}

    def unsettled() -> list[Row]:
        listen()
        return [
            row
            for row, attempt in attempts.items()
            if not attempt.answered()
            and not any("blocked" in verdicts for verdicts in reported(row).values())
        ]

    eventually(lambda: not unsettled(), within_s=60)  # half a second, on a machine that is idle
    listen()  # of those that were answered last
    found: dict[Row, Outcome] = {}
    index = RuleIndex(estate)
    for row, attempt in attempts.items():
        ends = [(network[name].address(row.family), name) for name in (row.source, row.target)]
        found[row] = Outcome(
            attempt.answered(),
            decide(estate, *(Endpoint(*end) for end in ends), row.traffic),
            explain(index, *(end_at(estate, *end) for end in ends), row.traffic),
            reported(row),
        )
        attempt.close()
    return found


@pytest.mark.parametrize("row", ROWS + ROWS_WITHOUT_IPV6, ids=str)
def test_one_decision(outcomes: dict[Row, Outcome], row: Row) -> None:
    """The stated verdict is what the rules say, what the kernel does, and what each VEN that has a
    say reports."""
    outcome = outcomes[row]
    decided, explained = outcome.decided, outcome.explained
    assert decided.verdict == explained.verdict == row.verdict
    assert decided.source.verdict == explained.source.verdict
    assert decided.destination.verdict == explained.destination.verdict
    assert outcome.answered == (row.verdict != "blocked")
    says = {row.source: decided.source.verdict}
    if says[row.source] != "blocked":  # else the target never heard of it
        says[row.target] = decided.destination.verdict
    for name, verdicts in outcome.reported.items():
        tracked = name in says and name in MANAGED
        if tracked and says[name] == "unknown":
            # Without a firewall only connected sockets can be seen.
            tracked = bool(verdicts) or (outcome.answered and row.traffic.proto == TCP)
        assert verdicts == ({says[name]} if tracked else set()), name
