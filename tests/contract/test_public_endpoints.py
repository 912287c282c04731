"""What public clients call is there."""

import pytest

from pce.runtime.api_answer import _OPEN, ROUTES
from tests.contract.public_endpoints import endpoints


@pytest.mark.parametrize(("method", "path"), endpoints())
def test_there_is_an_endpoint(method: str, path: str) -> None:
    """For each method and path that is known of a public client; its table is plain data, so that
    a route that disappears is missed."""
    path = path.replace("*", "3")
    matching = [route.method for route in ROUTES if route.pattern.fullmatch(path)]
    assert method in matching or (method == "GET" and path in _OPEN)
