"""The archive of streamed records: Firehose sorts them into the bucket, Athena reads them there.

``<pce_fqdn>/org_id=<n>/summaries/pd=<0..3>/<yyyy/MM/dd/HH>/...json.gz`` and
``<pce_fqdn>/org_id=<n>/auditable/<yyyy/MM/dd/HH>/...json.gz``: JSON lines, gzip.
"""

from urllib.parse import urlsplit

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesisfirehose as firehose
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.constructs.acknowledge import acknowledge
from infra.constructs.pce_function import PceFunction

BUFFER_S = 900
BUFFER_MB = 128
"""The most that Firehose takes: an object per place and quarter of an hour. Each costs two PUTs'
money, and Athena reads few large objects faster."""

PLACE_BUFFER_MB = 1
"""Of one call of the function that tells the place; its event has room for 6 MB in base64."""

HOUR = "!{timestamp:yyyy/MM/dd/HH}/"


def fqdn_of(url: str) -> str:
    """The host name in a base URL, which may be known only at the deployment."""
    if cdk.Token.is_unresolved(url):
        host: str = cdk.Fn.select(2, cdk.Fn.split("/", url))
        return host
    return urlsplit(url).hostname or ""


class RecordArchive(Construct):
    """Two delivery streams, ``summaries`` and ``auditable``, into one bucket."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        name: str,
        url: str,
        bucket: s3.IBucket,
        bucket_arn_export: str,
        place: PceFunction,
    ) -> None:
        """``place`` is the function that tells each record's place; Firehose alone invokes it."""
        super().__init__(scope, id)
        self.fqdn = fqdn_of(url)
        self._bucket = bucket
        self._role = iam.Role(
            self, "Role", assumed_by=iam.ServicePrincipal("firehose.amazonaws.com")
        )
        objects = bucket.arn_for_objects("*")
        self._allow(["s3:PutObject", "s3:AbortMultipartUpload"], objects)
        self._allow(["s3:GetBucketLocation", "s3:ListBucketMultipartUploads"], bucket.bucket_arn)
        self._allow(["lambda:InvokeFunction"], place.function.function_arn)
        acknowledge(
            self._role,
            f"AwsSolutions-IAM5[Resource::{bucket_arn_export}/*]",
            "The bucket holds nothing but what this role writes; Firehose makes the names.",
        )
        self._place = place
        org = f"{self.fqdn}/org_id=!{{partitionKeyFromLambda:org_id}}"
        self.summaries = self._stream(
            "Summaries",
            f"{name}-summaries",
            f"{org}/summaries/pd=!{{partitionKeyFromLambda:pd}}/{HOUR}",
        )
        self.auditable = self._stream("Auditable", f"{name}-auditable", f"{org}/auditable/{HOUR}")

    def allow_puts(self, function: PceFunction) -> None:
        """Let a function put records into both streams."""
        function.role.add_to_policy(
            iam.PolicyStatement(
                actions=["firehose:PutRecordBatch"],
                resources=[self.summaries.attr_arn, self.auditable.attr_arn],
            )
        )

    def _allow(self, actions: list[str], resource: str) -> None:
        self._role.add_to_policy(iam.PolicyStatement(actions=actions, resources=[resource]))

    def _stream(self, id: str, name: str, prefix: str) -> firehose.CfnDeliveryStream:
        stream = firehose.CfnDeliveryStream
        parameter = stream.ProcessorParameterProperty
        created = stream(
            self,
            id,
            delivery_stream_name=name,
            delivery_stream_type="DirectPut",
            delivery_stream_encryption_configuration_input=(
                stream.DeliveryStreamEncryptionConfigurationInputProperty(key_type="AWS_OWNED_CMK")
            ),
            extended_s3_destination_configuration=stream.ExtendedS3DestinationConfigurationProperty(
                bucket_arn=self._bucket.bucket_arn,
                role_arn=self._role.role_arn,
                prefix=prefix,
                error_output_prefix=f"errors/!{{firehose:error-output-type}}/{id.lower()}/{HOUR}",
                buffering_hints=stream.BufferingHintsProperty(
                    interval_in_seconds=BUFFER_S, size_in_m_bs=BUFFER_MB
                ),
                # The records are gzip members already: behind each other they are a gzip file.
                compression_format="UNCOMPRESSED",
                file_extension=".json.gz",
                dynamic_partitioning_configuration=(
                    stream.DynamicPartitioningConfigurationProperty(
                        enabled=True,
                        # Seconds; longer than an hour a record is of no use to wait for here:
                        # what S3 refuses then lies under errors/.
                        retry_options=stream.RetryOptionsProperty(duration_in_seconds=3_600),
                    )
                ),
                processing_configuration=stream.ProcessingConfigurationProperty(
                    enabled=True,
                    processors=[
                        stream.ProcessorProperty(
                            type="Lambda",
                            parameters=[
                                parameter(
                                    parameter_name="LambdaArn",
                                    parameter_value=self._place.function.function_arn,
                                ),
                                parameter(
                                    parameter_name="BufferSizeInMBs",
                                    parameter_value=str(PLACE_BUFFER_MB),
                                ),
                                parameter(
                                    parameter_name="BufferIntervalInSeconds",
                                    parameter_value="60",
                                ),
                            ],
                        )
                    ],
                ),
            ),
        )
        created.node.add_dependency(self._role)
        return created
