"""The PCE that the end-to-end tests drive: a local host of their own, or one that runs already."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.operator import Credentials, Operator
from tests.fakes.local_host import LocalHost

pytest.register_assert_rewrite("tests.e2e.clients")
SWEEP_INTERVAL_S = 1
"""So that tests of silent VENs need not wait for a minute."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--target-credentials",
        metavar="FILE",
        type=Path,
        help="drive the PCE that wrote this credentials.json instead of starting a local host",
    )


@pytest.fixture(scope="session")
def credentials_file(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """How to reach the PCE under test."""
    # The default: pytest knows the option only when tests/e2e was named on its command line.
    given = request.config.getoption("target_credentials", default=None)
    if given is not None:
        yield given
        return
    state = tmp_path_factory.mktemp("pce") / "state"
    with LocalHost(state, arguments=["--sweep-interval", str(SWEEP_INTERVAL_S)]):
        yield state / "credentials.json"


@pytest.fixture(scope="session")
def operator(credentials_file: Path) -> Operator:
    """The first org's API key, at work."""
    return Operator(Credentials.read(credentials_file))
