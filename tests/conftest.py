"""For every test: no way to a real AWS account, our node on PATH, how hard properties try."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent

# No test may reach an account that this machine knows, whatever the environment says.
for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN", "AWS_ROLE_ARN"):
    os.environ.pop(name, None)
os.environ.update(
    AWS_ACCESS_KEY_ID="test",
    AWS_SECRET_ACCESS_KEY="test",
    AWS_DEFAULT_REGION="us-east-1",
    AWS_REGION="us-east-1",
    AWS_CONFIG_FILE=os.devnull,
    AWS_SHARED_CREDENTIALS_FILE=os.devnull,
    AWS_EC2_METADATA_DISABLED="true",
)

# As the Makefile does, for those who start pytest by hand: the CDK needs the node of .venv.
os.environ["PATH"] = os.pathsep.join(
    [str(Path(sys.executable).parent), str(ROOT / "node_modules/.bin"), os.environ["PATH"]]
)

# `make check` is quick; `make test` says --hypothesis-profile=thorough. No deadline: a machine
# that is busy is not a bug. Where CI is set, hypothesis repeats the same examples every time.
settings.register_profile("quick", deadline=None, max_examples=50)
settings.register_profile("thorough", deadline=None, max_examples=200)
settings.load_profile("quick")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Kernel tests change firewalls and network namespaces, which only root may."""
    if item.get_closest_marker("kernel") and os.geteuid() != 0:
        pytest.skip("needs root: it makes network namespaces and loads nft rules")
