"""An installation per test file, without the limit of a key: the tests ask more in a minute."""

from collections.abc import Iterator
from unittest import mock

import pytest

from pce.runtime import api_gate
from pce.runtime.wiring import Wiring
from tests.fakes.api import Api, new_org
from tests.fakes.changing_calls import RELEASES
from tests.fakes.installation import installed


@pytest.fixture(scope="module")
def stores() -> Iterator[Wiring]:
    """Tables, queues and bucket."""
    with (
        installed(PCE_VEN_RELEASES=RELEASES) as stores,
        mock.patch.object(api_gate, "count_request"),
    ):
        yield stores


@pytest.fixture(scope="module")
def shared_api(stores: Wiring) -> Api:
    """An org for tests that change nothing."""
    return new_org()
