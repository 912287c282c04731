"""The environment that the functions see: what ``infra`` sets on AWS, with this host's values."""

import os
from collections.abc import Mapping

from pce_local.config import REGION, HostConfig
from pce_local.resources import BUCKET
from pce_local.signatures import AwsKey
from pce_local.state_dir import StateDir

_FOREIGN = (
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
)
"""Settings of the person who starts the host, which would lead the functions elsewhere."""


def function_environment(
    config: HostConfig,
    state: StateDir,
    key: AwsKey,
    store_url: str,
    loopback_url: str,
    queue_urls: Mapping[str, str],
) -> dict[str, str]:
    """Every variable that a function may read."""
    return {
        # The product's own.
        "PCE_PRESENCE_TABLE": "presence",
        "PCE_OBJECTS_TABLE": "objects",
        "PCE_EVENTS_TABLE": "events",
        "PCE_FLOWS_TABLE": "flows",
        "PCE_POLICY_TABLE": "policy",
        "PCE_BUCKET": BUCKET,
        "PCE_ARCHIVE_URL": config.archive_url,
        "PCE_COMPILE_QUEUE_URL": queue_urls["compile.fifo"],
        "PCE_BOLTS_QUEUE_URL": queue_urls["bolts"],
        "PCE_TRAFFIC_QUEUE_URL": queue_urls["traffic_queries"],
        "PCE_URL": config.url,
        "PCE_BOLTS_URL": config.bolts_url,
        "PCE_BOLTS_MANAGEMENT_URL": loopback_url,
        "PCE_HEARTBEAT_INTERVAL_S": str(config.heartbeat_interval_s),
        "PCE_FLOW_INTERVAL_S": str(config.flow_interval_s),
        "PCE_SWEEP_INTERVAL_S": str(config.sweep_interval_s),
        "PCE_VEN_PACKAGE": str(state.ven_package),
        # AWS's, which every SDK understands.
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": key.access_key,
        "AWS_SECRET_ACCESS_KEY": key.secret_key,
        "AWS_ENDPOINT_URL": store_url,
        "AWS_ENDPOINT_URL_SQS": loopback_url,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        **_no_proxy(os.environ),
    }


def set_environment(variables: Mapping[str, str]) -> None:
    """Make these the environment of this process, before any handler is imported."""
    for name in _FOREIGN:
        os.environ.pop(name, None)
    os.environ.update(variables)


def _no_proxy(environment: Mapping[str, str]) -> dict[str, str]:
    """Calls to this machine must not go to the proxy of whoever starts the host."""
    said = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    hosts = [host for host in said.split(",") if host] + ["127.0.0.1", "localhost"]
    return dict.fromkeys(("no_proxy", "NO_PROXY"), ",".join(dict.fromkeys(hosts)))
