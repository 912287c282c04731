"""What must survive everything else: tables, bucket, queues. Used by all other stacks."""

from collections.abc import Mapping

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.constructs.acknowledge import acknowledge
from infra.constructs.pce_function import Grantable
from infra.constructs.work_queue import WorkQueue
from infra.functions import Queue, Table, spec

STRING = dynamodb.AttributeType.STRING
BINARY = dynamodb.AttributeType.BINARY

Key = tuple[str, dynamodb.AttributeType]

#: Table -> partition key, sort key, TTL attribute. No index and no stream: each would add its own
#: write to every write.
TABLES: Mapping[Table, tuple[Key, Key, str | None]] = {
    "presence": (("p", STRING), ("v", BINARY), None),
    "objects": (("pk", STRING), ("sk", STRING), "ttl"),
    "events": (("pk", STRING), ("sk", STRING), "ttl"),
    "flows": (("pk", STRING), ("sk", STRING), "ttl"),
    "policy": (("pk", STRING), ("sk", STRING), "ttl"),
}

#: First folder of a key -> days after which its objects are deleted. The others are current state.
EXPIRY_DAYS = {
    "traffic_results": 1,
    "datafiles": 1,
    "reports": 7,
    "support_reports": 30,
    "enforcement_instructions": 30,
}

RECORDS_CHEAPER_AFTER_DAYS = 30
RECORDS_EXPIRY_DAYS = 120
"""Streamed records: what is asked about is mostly younger than a month. The cheaper class bills 90
days at least. Each further month costs 0.0003 USD a VEN."""


class DataStack(cdk.Stack):
    """Everything here is kept when the stack is deleted: removing data is done by hand."""

    def __init__(self, scope: Construct, id: str) -> None:
        super().__init__(scope, id, description="PCE: tables, bucket and queues")
        tables: dict[Table, dynamodb.ITableV2] = {name: self._table(name) for name in TABLES}
        queues: dict[Queue, WorkQueue] = {
            "compile": WorkQueue(self, "Compile", worker=spec("policy_compile"), fifo=True),
            "bolts": WorkQueue(self, "Bolts", worker=spec("bolts_fan_out")),
            "traffic_queries": WorkQueue(self, "TrafficQueries", worker=spec("traffic_query")),
            "streams": WorkQueue(self, "Streams", worker=spec("stream_out"), fifo=True),
        }
        bucket = self._bucket()
        self.records = self._records()
        self.records_arn_export = self._exported(self.records)
        cdk.CfnOutput(self, "RecordsBucket", value=self.records.bucket_name)
        self.grantable = Grantable(tables, queues, bucket, bucket_arn_export=self._exported(bucket))

    def _exported(self, bucket: s3.Bucket) -> str:
        """The name by which other stacks import a bucket's ARN."""
        name: str = self.resolve(self.export_value(bucket.bucket_arn))["Fn::ImportValue"]
        return name

    def _table(self, name: Table) -> dynamodb.TableV2:
        (partition, partition_type), (sort, sort_type), ttl = TABLES[name]
        return dynamodb.TableV2(
            self,
            name.capitalize(),
            partition_key=dynamodb.Attribute(name=partition, type=partition_type),
            sort_key=dynamodb.Attribute(name=sort, type=sort_type),
            billing=dynamodb.Billing.on_demand(),
            # AWS's own key: a customer's would cost 1 USD a month and a call per cold start.
            encryption=dynamodb.TableEncryptionV2.dynamo_owned_key(),
            time_to_live_attribute=ttl,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            deletion_protection=True,
            removal_policy=cdk.RemovalPolicy.RETAIN,
        )

    def _bucket(self) -> s3.Bucket:
        bucket = s3.Bucket(
            self,
            "Archive",
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            encryption=s3.BucketEncryption.S3_MANAGED,
            enforce_ssl=True,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            # Everything here can be made again or is worth days: no versions to pay for.
            versioned=False,
            lifecycle_rules=[
                s3.LifecycleRule(id=folder, prefix=f"{folder}/", expiration=cdk.Duration.days(days))
                for folder, days in EXPIRY_DAYS.items()
            ]
            + [
                s3.LifecycleRule(
                    id="unfinished_uploads",
                    abort_incomplete_multipart_upload_after=cdk.Duration.days(1),
                )
            ],
            removal_policy=cdk.RemovalPolicy.RETAIN,
        )
        acknowledge(
            bucket,
            "AwsSolutions-S1",
            "Only functions and URLs that they sign reach it, and the PCE writes an audit event for"
            " each; access logs would need a second bucket and say less.",
        )
        return bucket

    def _records(self) -> s3.Bucket:
        """Flow summaries and audit events, for as long as somebody wants them: a bucket of its own,
        so that a consumer can be given it and nothing else."""
        bucket = s3.Bucket(
            self,
            "Records",
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            encryption=s3.BucketEncryption.S3_MANAGED,
            enforce_ssl=True,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            versioned=False,  # objects are written once, under names that do not repeat
            lifecycle_rules=[
                s3.LifecycleRule(
                    id="cheaper",
                    transitions=[
                        s3.Transition(
                            storage_class=s3.StorageClass.GLACIER_INSTANT_RETRIEVAL,
                            transition_after=cdk.Duration.days(RECORDS_CHEAPER_AFTER_DAYS),
                        )
                    ],
                    expiration=cdk.Duration.days(RECORDS_EXPIRY_DAYS),
                )
            ],
            removal_policy=cdk.RemovalPolicy.RETAIN,
        )
        acknowledge(
            bucket,
            "AwsSolutions-S1",
            "Firehose alone writes it, under names that it makes; who reads it is for the trail of"
            " the account.",
        )
        return bucket
