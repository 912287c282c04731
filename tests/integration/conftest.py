"""An installation per test file, and a new org in it per test: tenants do not see each other."""

from collections.abc import Iterator

import pytest

from pce.runtime.wiring import Wiring
from tests.fakes.api import Api, new_org
from tests.fakes.installation import installed


@pytest.fixture(scope="module")
def stores() -> Iterator[Wiring]:
    """Tables, queues and bucket."""
    with installed() as stores:
        yield stores


@pytest.fixture(scope="module")
def shared_api(stores: Wiring) -> Api:
    """An org for tests that change nothing."""
    return new_org()


@pytest.fixture
def api(stores: Wiring) -> Api:
    """A new org's first API key."""
    return new_org()
