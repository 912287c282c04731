"""One change of the kernel at a time, and what a revert puts back."""

from pathlib import Path

import pytest

from tests.fleet.simulator import document
from ven.core.kernel import KernelRefused
from ven.edge.files import DataDirectory
from ven.edge.simulated import SimulatedKernel
from ven.enforcement import Enforcement


@pytest.fixture
def data(tmp_path: Path) -> DataDirectory:
    return DataDirectory(tmp_path)


@pytest.fixture
def kernel() -> SimulatedKernel:
    return SimulatedKernel("web")


def test_a_revert_puts_back_what_was_applied_last(
    data: DataDirectory, kernel: SimulatedKernel
) -> None:
    """Also when a policy came between the look that found a change and the revert: an older policy
    must not come back under the newer one's name."""
    enforcement = Enforcement(data, kernel)
    enforcement.apply(document(1))
    kernel.tampered = True
    assert not enforcement.intact()
    enforcement.apply(document(2))
    enforcement.restore()
    assert kernel.applied[-1] == document(2)
    assert enforcement.intact()


def test_a_refused_policy_is_not_what_a_revert_puts_back(
    data: DataDirectory, kernel: SimulatedKernel
) -> None:
    """What was in force before it still is."""
    enforcement = Enforcement(data, kernel)
    enforcement.apply(document(1))
    kernel.refuse = "no"
    with pytest.raises(KernelRefused):
        enforcement.apply(document(2))
    kernel.refuse = ""
    enforcement.restore()
    assert kernel.applied == [document(1), document(1)]


def test_a_revert_puts_back_the_policy_of_the_start(
    data: DataDirectory, kernel: SimulatedKernel
) -> None:
    """Last-known-good was loaded before; before any policy there is nothing to put back."""
    Enforcement(data, kernel).restore()
    assert kernel.applied == []
    Enforcement(data, kernel, document(3)).restore()
    assert kernel.applied == [document(3)]
