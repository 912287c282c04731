"""botocore clients, for what hot functions never or seldom ask of AWS.

botocore is imported when the first client is made: a module that only names a store must not pay
115 ms for it. DynamoDB is reached without it, see ``store/dynamodb.py`` and ``store/tables.py``.
"""

import threading
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from botocore.session import Session

_CREATING = threading.Lock()
"""A botocore session may not create two clients at the same time; the clients are thread-safe."""


@lru_cache(maxsize=1)
def _session() -> "Session":
    import botocore.session

    return botocore.session.Session()


def aws_client(service: str, region: str, endpoint_url: str | None = None) -> Any:
    """A botocore client. ``AWS_ENDPOINT_URL`` in the environment is honoured by botocore itself."""
    import botocore.config

    config = botocore.config.Config(
        connect_timeout=2,  # seconds; in-region connects take milliseconds
        read_timeout=5,  # seconds; every caller must answer well within API Gateway's 30 s
        retries={"mode": "standard", "total_max_attempts": 4},
        parameter_validation=False,  # all parameters are built by us
        # botocore still presigns for S3 by the older method, which buckets made since 2020 refuse.
        signature_version="s3v4" if service == "s3" else None,
        s3={"addressing_style": "path"},  # one host name: one certificate serves all buckets
    )
    with _CREATING:
        return _session().create_client(
            service, region_name=region, endpoint_url=endpoint_url, config=config
        )
