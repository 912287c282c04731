"""What works without being asked: the sweep and the streams' look by the clock; compiles, queries
and streams by their queues; and the archive that the streams fill."""

import aws_cdk as cdk
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.constructs.every_minute import EveryMinute
from infra.constructs.function_layers import FunctionLayers
from infra.constructs.pce_function import Grantable, PceFunction
from infra.constructs.record_archive import RecordArchive
from infra.constructs.record_tables import RecordTables
from infra.deployment import Deployment
from infra.functions import Setting, spec


class SchedulesStack(cdk.Stack):
    """The sweep and the queue workers that need no WebSocket API."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        deployment: Deployment,
        grantable: Grantable,
        records: s3.IBucket,
        records_arn_export: str,
        url: str,
    ) -> None:
        """``records`` is the bucket of the archive."""
        description = "PCE: sweep, policy compile, traffic queries, streams"
        super().__init__(scope, id, description=description)
        layers = FunctionLayers(self, "Layers", layers_for=deployment.layers)
        settings: dict[Setting, str] = {
            "PCE_URL": url,
            "PCE_HEARTBEAT_INTERVAL_S": str(deployment.heartbeat_interval_s),
            "PCE_FLOW_INTERVAL_S": str(deployment.flow_interval_s),
        }

        def function(name: str) -> PceFunction:
            return PceFunction(
                self,
                spec(name),
                deployment_name=deployment.name,
                grantable=grantable,
                layers=layers,
                settings=settings,
            )

        compile_ = function("policy_compile")
        compile_.function.add_event_source(grantable.queues["compile"].event_source())
        query = function("traffic_query")
        query.function.add_event_source(grantable.queues["traffic_queries"].event_source())
        sweep = function("sweep")
        self.sweep_schedule = EveryMinute(self, "SweepEveryMinute", function=sweep)
        place = function("archive_place")
        archive = RecordArchive(
            self,
            "Records",
            name=deployment.name,
            url=url,
            bucket=records,
            bucket_arn_export=records_arn_export,
            place=place,
        )
        settings["PCE_SUMMARIES_STREAM"] = archive.summaries.ref
        settings["PCE_AUDITABLE_STREAM"] = archive.auditable.ref
        out, wake = function("stream_out"), function("stream_wake")
        archive.allow_puts(out)
        out.function.add_event_source(grantable.queues["streams"].event_source())
        EveryMinute(
            self,
            "StreamsEveryMinute",
            function=wake,
            dead_letters=self.sweep_schedule.dead_letters,
        )
        RecordTables(self, "Tables", name=deployment.name, fqdn=archive.fqdn, bucket=records)
        self.functions = (compile_, query, sweep, place, out, wake)
