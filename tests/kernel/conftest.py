"""Three hosts on a switch, and a VEN's firewall on one of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel.namespaces import Network
from tests.kernel.protected_host import ProtectedHost


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.kernel)


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    with Network("web", "db", "other") as found:
        yield found


@pytest.fixture
def db(network: Network, tmp_path: Path) -> Iterator[ProtectedHost]:
    """A host with a VEN's firewall and nothing in its connection table."""
    protected = ProtectedHost(network["db"], tmp_path)
    try:
        yield protected
    finally:
        protected.close()
