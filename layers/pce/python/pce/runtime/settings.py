"""Configuration from the environment, read once per function environment.

``infra`` (on AWS) and the local host set the same variables; a function gets only those it uses.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from pce.store.archive_streams import StreamNames
from pce.store.endpoint import Credentials, Endpoint
from pce.store.queues import QueueUrls
from pce.store.table_names import TableNames
from ven_protocol.limits import FLOW_INTERVAL_S, HEARTBEAT_INTERVAL_S
from ven_protocol.messages import Intervals, Settings


@dataclass(frozen=True, slots=True)
class Environment:
    """What a function knows of where it runs."""

    region: str
    dynamodb: Endpoint
    s3: Endpoint
    tables: TableNames
    queues: QueueUrls
    bucket: str
    archive_streams: StreamNames
    archive_url: str | None
    """Public endpoint of the bucket, where it is not AWS's own."""
    url: str
    bolts_url: str
    bolts_management: Endpoint
    heartbeat_interval_s: int
    flow_interval_s: int
    sweep_interval_s: int
    ven_releases: tuple[str, ...]
    """Releases of the VEN that this PCE offers."""

    @classmethod
    def read(cls, env: Mapping[str, str] = os.environ) -> "Environment":
        """The environment of this process; missing variables are empty or the default."""
        region = env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or "us-east-1"
        return cls(
            region=region,
            dynamodb=_endpoint(env, region, "AWS_ENDPOINT_URL_DYNAMODB"),
            s3=_endpoint(env, region, "AWS_ENDPOINT_URL_S3"),
            tables=TableNames(
                presence=env.get("PCE_PRESENCE_TABLE", ""),
                objects=env.get("PCE_OBJECTS_TABLE", ""),
                events=env.get("PCE_EVENTS_TABLE", ""),
                flows=env.get("PCE_FLOWS_TABLE", ""),
                policy=env.get("PCE_POLICY_TABLE", ""),
            ),
            queues=QueueUrls(
                compile=env.get("PCE_COMPILE_QUEUE_URL", ""),
                bolts=env.get("PCE_BOLTS_QUEUE_URL", ""),
                traffic=env.get("PCE_TRAFFIC_QUEUE_URL", ""),
                streams=env.get("PCE_STREAMS_QUEUE_URL", ""),
            ),
            bucket=env.get("PCE_BUCKET", ""),
            archive_streams=StreamNames(
                summaries=env.get("PCE_SUMMARIES_STREAM", ""),
                auditable=env.get("PCE_AUDITABLE_STREAM", ""),
            ),
            archive_url=env.get("PCE_ARCHIVE_URL") or None,
            url=env.get("PCE_URL", ""),
            bolts_url=env.get("PCE_BOLTS_URL", ""),
            bolts_management=Endpoint(
                region,
                _credentials(env),
                env.get("PCE_BOLTS_MANAGEMENT_URL", ""),
                env.get("AWS_CA_BUNDLE", ""),
            ),
            heartbeat_interval_s=int(env.get("PCE_HEARTBEAT_INTERVAL_S", HEARTBEAT_INTERVAL_S)),
            flow_interval_s=int(env.get("PCE_FLOW_INTERVAL_S", FLOW_INTERVAL_S)),
            sweep_interval_s=int(env.get("PCE_SWEEP_INTERVAL_S", "60")),
            ven_releases=tuple(filter(None, env.get("PCE_VEN_RELEASES", "").split(","))),
        )

    def ven_settings(self) -> Settings:
        """What a VEN is told about clocks and addresses."""
        return Settings(
            intervals=Intervals(
                heartbeat_s=self.heartbeat_interval_s, flows_s=self.flow_interval_s
            ),
            bolts_url=self.bolts_url,
        )


def _endpoint(env: Mapping[str, str], region: str, own_variable: str) -> Endpoint:
    """A service as AWS's own SDKs would find it from the environment."""
    url = env.get(own_variable) or env.get("AWS_ENDPOINT_URL") or ""
    return Endpoint(region, _credentials(env), url, env.get("AWS_CA_BUNDLE", ""))


def _credentials(env: Mapping[str, str]) -> Credentials:
    return Credentials(
        env.get("AWS_ACCESS_KEY_ID", ""),
        env.get("AWS_SECRET_ACCESS_KEY", ""),
        env.get("AWS_SESSION_TOKEN", ""),
    )
