"""Flows that could not be posted, or not even be kept on disk: later, and once."""

import errno
from typing import Any

import pytest

from tests.fakes.agent import running
from tests.fakes.pce import FakePce, wait_until
from tests.integration.test_ven_agent import (
    HOST,
    STRANGER,
    data,
    kernel,
    paired,
    pce,
    summaries,
)
from ven.edge.files import DataDirectory
from ven.edge.simulated import SimulatedKernel

__all__ = ["data", "kernel", "paired", "pce"]


def told_ports(pce: FakePce) -> list[int]:
    """Of all connections that the PCE was told of."""
    return sorted(summary.dst_port for summary in summaries(pce))


@pytest.mark.usefixtures("paired")
@pytest.mark.parametrize("status", [429, 500])
def test_a_busy_pce_gets_them_later(
    pce: FakePce, data: DataDirectory, kernel: SimulatedKernel, status: int
) -> None:
    """All of them, each once, also those of windows that ended meanwhile."""
    with running(data, kernel):
        wait_until("policy applied", pce.applied)
        pce.say = {"flows": status}
        for port in (1001, 1002):
            kernel.connect(STRANGER, HOST, 6, port)
            wait_until("it on disk", lambda n=port - 1000: len(data.batches()) >= n)
        pce.say = {}
        wait_until("the outbox empty", lambda: not data.batches())
    assert told_ports(pce) == [1001, 1002]
    assert pce.repeated_batches == 0


@pytest.mark.usefixtures("paired")
def test_a_batch_that_is_too_large_is_halved(
    pce: FakePce, data: DataDirectory, kernel: SimulatedKernel
) -> None:
    """Until its parts are taken: every summary once, none lost."""
    ports = list(range(2000, 2013))
    with running(data, kernel):
        wait_until("policy applied", pce.applied)
        pce.say = {"flows": 500}
        for port in ports:
            kernel.connect(STRANGER, HOST, 6, port)
        wait_until("a batch on disk", data.batches)
        pce.most_summaries, pce.say = 2, {}
        wait_until("all of them", lambda: len(told_ports(pce)) >= len(ports))
        wait_until("the outbox empty", lambda: not data.batches())
    assert told_ports(pce) == ports
    assert max(len(batch) for batch in pce.batches.values()) <= 2


@pytest.mark.usefixtures("paired")
def test_a_full_disk_costs_no_flows(
    pce: FakePce, data: DataDirectory, kernel: SimulatedKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They wait in memory, and are posted once there is room."""
    refused: list[int] = []

    def full(seq: int, content: bytes) -> Any:
        refused.append(seq)
        raise OSError(errno.ENOSPC, "No space left on device")

    with running(data, kernel) as agent:
        wait_until("policy applied", pce.applied)
        with monkeypatch.context() as disk:
            disk.setattr(data, "save_batch", full)
            for port in (3001, 3002):
                before = len(refused)
                kernel.connect(STRANGER, HOST, 6, port)
                wait_until("a refusal", lambda n=before: len(refused) > n)
        wait_until("both", lambda: told_ports(pce) == [3001, 3002])
        assert agent.state.heartbeat.mode == "normal"
    assert pce.repeated_batches == 0
