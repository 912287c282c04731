"""An installation per test file, as for the other tests of the API."""

from tests.integration.conftest import api, shared_api, stores

__all__ = ["api", "shared_api", "stores"]
