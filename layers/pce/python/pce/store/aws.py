"""botocore clients for the hot functions: one session, lean imports, time-outs with reasons.

boto3 and pynamodb are not imported here: both together would double a cold start.
"""

import threading
from functools import lru_cache
from typing import Any

import botocore.config
import botocore.session
from botocore.exceptions import ClientError

_CONFIG = botocore.config.Config(
    connect_timeout=2,  # seconds; in-region connects take milliseconds
    read_timeout=5,  # seconds; every caller must answer well within API Gateway's 30 s
    retries={"mode": "standard", "total_max_attempts": 4},
    parameter_validation=False,  # all parameters are built by us; saves CPU on the hot path
    s3={"addressing_style": "path"},  # one host name, so that one certificate serves all buckets
)


_CREATING = threading.Lock()
"""A botocore session may not create two clients at the same time; the clients are thread-safe."""


@lru_cache(maxsize=1)
def _session() -> botocore.session.Session:
    return botocore.session.Session()


def aws_client(service: str, region: str, endpoint_url: str | None = None) -> Any:
    """A botocore client. ``AWS_ENDPOINT_URL`` in the environment is honoured by botocore itself."""
    with _CREATING:
        return _session().create_client(
            service, region_name=region, endpoint_url=endpoint_url, config=_CONFIG
        )


def error_code(error: ClientError) -> str:
    """The service's code of a failed call, for example ``ConditionalCheckFailedException``."""
    return str(error.response.get("Error", {}).get("Code", ""))


def is_condition_failure(error: ClientError) -> bool:
    """Whether a conditional write was refused because its condition did not hold."""
    return error_code(error) == "ConditionalCheckFailedException"
