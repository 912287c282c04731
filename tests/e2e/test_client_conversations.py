"""What public clients send, replayed byte for byte over TLS, and what they need to hear in return.

The conversations are in `clients/`, one module a family of clients.
"""

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType

import pytest

from demo.operator import Credentials, Operator
from tests.e2e.clients import (
    go_library,
    operations,
    pretty_cool_events,
    pylo,
    python_sdk,
    servicenow,
    terraform,
)
from tests.e2e.clients.wire import Wire
from tests.e2e.stocked_org import flow
from tests.e2e.ven_client import VenClient

FAMILIES = (
    python_sdk,
    pylo,
    go_library,
    terraform,
    servicenow,
    pretty_cool_events,
    operations,
)

pytestmark = pytest.mark.e2e


def conversations() -> list[object]:
    return [
        pytest.param(
            family, converse, id=f"{family.__name__.rsplit('.', 1)[-1]}-{converse.__name__}"
        )
        for family in FAMILIES
        for converse in family.CONVERSATIONS
    ]


@pytest.fixture(scope="module")
def keys(operator: Operator) -> dict[ModuleType, Credentials]:
    """A key for each family, since requests are counted by key, in an org with two hosts that have
    seen each other."""
    vens = [VenClient.pair(operator, f"10.97.0.{number}") for number in (1, 2)]
    for ven, direction in zip(vens, "OI", strict=True):
        ven.heartbeat()
        ven.post_flows(0, [flow(vens[0].address, vens[1].address, direction)])
    me = operator.get("/users/login")["href"]
    made = {}
    for family in FAMILIES:
        key = operator.create(f"{me}/api_keys", {"name": family.__name__})
        known = {"api_key": key["auth_username"], "api_secret": key["secret"]}
        made[family] = replace(operator.credentials, **known)
    return made


@pytest.mark.parametrize(("family", "converse"), conversations())
def test_a_conversation(
    family: ModuleType, converse: Callable[[Wire], None], keys: dict[ModuleType, Credentials]
) -> None:
    """The client gets what its code does something with; the function's own words say what."""
    converse(Wire(keys[family], family.HEADERS))
