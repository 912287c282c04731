"""One synthesis for all tests of the templates."""

import pytest

from tests.infra.assembly import Assembly, synthesize


@pytest.fixture(scope="session")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> Assembly:
    """The app without any context: what `cdk deploy` makes of a fresh checkout."""
    return synthesize(tmp_path_factory.mktemp("cdk.out"))
