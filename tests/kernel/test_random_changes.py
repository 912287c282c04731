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
from pathlib import Path
from random import Random

import pytest

from pce.policy.decide import Endpoint, decide
from pce.policy.estate import Estate
from pce.policy.evaluate import evaluate
from pce.policy.recompute import recompute
from tests.kernel.judged_packets import Findings, History, View
from tests.kernel.judging_host import JudgingHost
from tests.kernel.namespaces import Host, Network
from tests.kernel.random_policies import random_change, random_estate
from tests.kernel.steady_traffic import Flow, SteadyTraffic, Stream
from ven_protocol.policy import PolicyDocument

CHANGES = int(os.environ.get("KERNEL_CHANGES", "200"))
SEED = int(os.environ.get("KERNEL_SEED", "1"))
DWELL_S = 0.05
"""For traffic to meet a policy: ten packets of each stream."""
NAMES = ("a", "b", "c")


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

    findings = Findings(f"seed {SEED}")
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
