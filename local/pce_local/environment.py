"""The environment that the functions see: what ``infra`` sets on AWS, with this host's values."""

import os
from collections.abc import Mapping

from pce_local.config import REGION, HostConfig
from pce_local.resources import BUCKET
from pce_local.signatures import AwsKey
from pce_local.state_dir import StateDir


def forget_aws_settings() -> None:
    """Drop the AWS account, profile and endpoints of whoever starts the host, and their proxy for
    this machine. Before any SDK is used: nothing here may ever reach a real account."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(
        {
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            **_no_proxy(os.environ),
        }
    )


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
        "PCE_STREAMS_QUEUE_URL": queue_urls["streams.fifo"],
        "PCE_SUMMARIES_STREAM": "summaries",
        "PCE_AUDITABLE_STREAM": "auditable",
        "PCE_URL": config.url,
        "PCE_BOLTS_URL": config.bolts_url,
        "PCE_BOLTS_MANAGEMENT_URL": loopback_url,
        "PCE_HEARTBEAT_INTERVAL_S": str(config.heartbeat_interval_s),
        "PCE_FLOW_INTERVAL_S": str(config.flow_interval_s),
        "PCE_SWEEP_INTERVAL_S": str(config.sweep_interval_s),
        "PCE_VEN_PACKAGES": str(state.ven_packages),
        "PCE_VEN_RELEASES": ",".join(state.ven_releases()),
        # AWS's, which every SDK understands.
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": key.access_key,
        "AWS_SECRET_ACCESS_KEY": key.secret_key,
        "AWS_ENDPOINT_URL": store_url,
        "AWS_ENDPOINT_URL_SQS": loopback_url,
        "AWS_ENDPOINT_URL_FIREHOSE": loopback_url,
    }


def _no_proxy(environment: Mapping[str, str]) -> dict[str, str]:
    """Calls to this machine must not go to the proxy of whoever starts the host."""
    said = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    hosts = [host for host in said.split(",") if host] + ["127.0.0.1", "localhost"]
    return dict.fromkeys(("no_proxy", "NO_PROXY"), ",".join(dict.fromkeys(hosts)))
