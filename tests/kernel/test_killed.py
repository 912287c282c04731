"""kill -9 of a whole VEN at random instants, under policy changes and traffic.

``KERNEL_KILLS`` (10) and ``KERNEL_SEED`` (1) make it longer and different; the long run is

    KERNEL_KILLS=200 .venv/bin/python -m pytest -s tests/kernel/test_killed.py
"""

import contextlib
import itertools
import os
import time
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from pce.policy.estate import Estate
from pce.policy.recompute import recompute
from tests.kernel.judged_packets import Findings, History, View
from tests.kernel.namespaces import Network
from tests.kernel.random_policies import random_change, random_estate
from tests.kernel.real_ven import RealVen, pce_on
from tests.kernel.steady_traffic import SteadyTraffic, Stream
from ven_protocol.policy import PolicyDocument

KILLS = int(os.environ.get("KERNEL_KILLS", "10"))
SEED = int(os.environ.get("KERNEL_SEED", "1"))
NAMES = ("a", "b", "c")
START_S = 1.2
"""From the start to the report of a new policy, on a quiet machine: the instants lie in there."""
ALLOW_ALL = PolicyDocument(mode="idle", visibility="flow_off", sets={}, rules=[])
"""What hosts without a VEN do."""


def streams_on(network: Network) -> list[Stream]:
    """Between the VEN's host and one other, both ways; the kinds that each policy decides on."""
    ends = ((network["a"], network["b"]), (network["b"], network["a"]))
    return [
        Stream(kind, source, target, 4)
        for (source, target), kind in itertools.product(ends, ("tcp", "udp", "connect"))
    ]


def enforced(estate: Estate) -> Estate:
    """The VEN's host blocks something: there would be little to see otherwise."""
    first, *others = estate.workloads
    if first.enforcement_mode not in ("selective", "full"):
        first = replace(first, enforcement_mode="full")
    return replace(estate, workloads=(first, *others))


@pytest.mark.timeout(120 + 10 * KILLS)
def test_killed_at_random_instants(tmp_path: Path) -> None:
    """After each start the kernel comes to hold the policy that the PCE wants, whatever instant
    the process before was killed at; nothing passes that all policies of that time forbid, nothing
    is lost that all of them allow. In the end the kernel holds exactly the target."""
    random = Random(SEED)
    print(f"KERNEL_SEED={SEED} KERNEL_KILLS={KILLS}")
    with (
        Network(*NAMES) as network,
        pce_on(network["a"], tmp_path) as pce,
        contextlib.closing(RealVen(network["a"], tmp_path, pce)) as ven,
    ):
        streams = streams_on(network)
        estate = enforced(random_estate(random, {name: network[name] for name in NAMES}))
        history, bystander = History(), History()
        bystander.add(ALLOW_ALL, "the beginning", 0, 0)
        pending: list[tuple[PolicyDocument, str, int]] = []

        def wanted(change: str) -> None:
            document = recompute(estate).documents["a"]
            pending.append((document, change, time.monotonic_ns()))
            pce.set_policy(document, bolt=True)

        def settled() -> None:
            """The newest is in the kernel: those before it are no more."""
            ven.await_policy()
            now = time.monotonic_ns()
            for document, change, began in pending:
                history.add(document, change, began, now)
            pending.clear()

        wanted("the beginning")
        ven.start()
        settled()
        with SteadyTraffic(streams) as traffic:
            for number in range(KILLS):
                what, estate = random_change(random, estate)
                estate = enforced(estate)
                wanted(f"{number} {what}")
                time.sleep(random.random() * START_S)  # the instant
                ven.kill()
                if random.random() < 0.3:
                    what, estate = random_change(random, estate)
                    estate = enforced(estate)
                    wanted(f"{number} {what}, while nobody runs")
                ven.start()
                if random.random() < 0.5:
                    settled()
            settled()
            flows = traffic.finish()
        held = ven.table()
        ven.stop()
        assert ven.table() == held, "a stopped VEN leaves its policy in force"
        ven.run("load-policy")
        assert ven.table() == held, "what a fresh process makes of the target"

    findings = Findings(f"seed {SEED}")
    views: dict[Stream, tuple[View, View]] = {}
    for flow in flows:
        stream = flow.stream
        if stream not in views:
            out = stream.source == network["a"]
            ends = [
                View(history if out else bystander, "out", stream.target.ipv4, stream.traffic),
                View(bystander if out else history, "in", stream.source.ipv4, stream.traffic),
            ]
            views[stream] = (ends[0], ends[1])
        findings.judge(flow, views[stream])
    print(findings)
    assert not findings.violations, "\n".join(findings.violations[:20])
    assert findings.had_to_pass and findings.had_to_be_refused
