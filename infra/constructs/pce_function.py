"""One Lambda function, made from its line in ``infra/functions.py`` and nothing more."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.build_layers import ROOT
from infra.constructs.acknowledge import acknowledge
from infra.constructs.function_layers import ARCHITECTURE, NOT_SHIPPED, RUNTIME, FunctionLayers
from infra.constructs.underlying import underlying
from infra.constructs.work_queue import WorkQueue
from infra.functions import FunctionSpec, Queue, Setting, Table

LOG_RETENTION = logs.RetentionDays.ONE_MONTH
"""Long enough to look into last week's fault; 0.03 USD per GB and month."""

QUEUE_VARIABLES: Mapping[Queue, str] = {
    "compile": "PCE_COMPILE_QUEUE_URL",
    "bolts": "PCE_BOLTS_QUEUE_URL",
    "traffic_queries": "PCE_TRAFFIC_QUEUE_URL",
    "streams": "PCE_STREAMS_QUEUE_URL",
}


@dataclass(frozen=True)
class Grantable:
    """What functions can be granted."""

    tables: Mapping[Table, dynamodb.ITableV2]
    queues: Mapping[Queue, WorkQueue]
    bucket: s3.IBucket
    bucket_arn_export: str
    """The name by which other stacks import the bucket's ARN; findings are named after it."""


class PceFunction(Construct):
    """A function, its role and its log group. ``settings`` gives values for ``spec.settings``."""

    def __init__(
        self,
        scope: Construct,
        spec: FunctionSpec,
        *,
        deployment_name: str,
        grantable: Grantable,
        layers: FunctionLayers,
        settings: Mapping[Setting, str],
        code: Path | None = None,
    ) -> None:
        super().__init__(scope, construct_id(spec.name))
        self.spec = spec
        function_name = f"{deployment_name}-{spec.name}"
        log_group = logs.LogGroup(
            self,
            "Log",
            log_group_name=f"/aws/lambda/{function_name}",
            retention=LOG_RETENTION,
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        self.role = role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
            description=spec.does,
        )
        log_group.grant_write(role)
        self.function = lambda_.Function(
            self,
            "Function",
            function_name=function_name,
            description=spec.does,
            runtime=RUNTIME,
            architecture=ARCHITECTURE,
            code=lambda_.Code.from_asset(
                str(code or ROOT / "functions" / spec.name),
                exclude=NOT_SHIPPED,
                ignore_mode=cdk.IgnoreMode.GLOB,
            ),
            handler="handler.handler",
            layers=layers.versions,
            memory_size=spec.size.memory_mb,
            timeout=cdk.Duration.seconds(spec.size.timeout_s),
            role=role,
            log_group=log_group,
            logging_format=lambda_.LoggingFormat.JSON,
            # Platform lines of each call (START, END, REPORT) would cost more than the call.
            system_log_level_v2=lambda_.SystemLogLevel.WARN,
            # Metrics are log lines without a level, which count as INFO.
            application_log_level_v2=lambda_.ApplicationLogLevel.INFO
            if spec.emits_metrics
            else lambda_.ApplicationLogLevel.WARN,
            environment=_environment(spec, grantable, settings),
        )
        # Without a hash, so that `sam local invoke` and people can name it.
        underlying(self.function, lambda_.CfnFunction).override_logical_id(construct_id(spec.name))
        _grant(role, spec, grantable)


def construct_id(name: str) -> str:
    """``ven_heartbeat`` -> ``VenHeartbeat``; also the function's name in the template."""
    return "".join(part.capitalize() for part in name.split("_"))


def _environment(
    spec: FunctionSpec, grantable: Grantable, settings: Mapping[Setting, str]
) -> dict[str, str]:
    environment = {
        f"PCE_{table.upper()}_TABLE": grantable.tables[table].table_name for table in spec.tables
    }
    # A worker knows its own queue too: it may say when a failed message is to come back.
    for queue in (*spec.sends, *([spec.queue] if spec.queue else [])):
        environment[QUEUE_VARIABLES[queue]] = grantable.queues[queue].queue.queue_url
    if spec.bucket:
        environment["PCE_BUCKET"] = grantable.bucket.bucket_name
    # A setting without a value is one that only emulators need.
    environment |= {name: settings[name] for name in spec.settings if settings[name]}
    return environment


def _grant(role: iam.Role, spec: FunctionSpec, grantable: Grantable) -> None:
    for table, actions in spec.tables.items():
        _allow(role, "dynamodb", actions, grantable.tables[table].table_arn)
    for queue in spec.sends:
        _allow(role, "sqs", ("SendMessage",), grantable.queues[queue].queue.queue_arn)
    for folder, actions in spec.bucket.items():
        _allow(role, "s3", actions, grantable.bucket.arn_for_objects(f"{folder}/*"))
        acknowledge(
            role,
            f"AwsSolutions-IAM5[Resource::{grantable.bucket_arn_export}/{folder}/*]",
            "The objects of one folder of one bucket; their names are made at run time.",
        )
        if "GetObject" in actions:
            _allow(role, "s3", ("ListBucket",), grantable.bucket.bucket_arn)


def _allow(role: iam.Role, service: str, actions: tuple[str, ...], resource: str) -> None:
    role.add_to_policy(
        iam.PolicyStatement(
            actions=[f"{service}:{action}" for action in actions], resources=[resource]
        )
    )
