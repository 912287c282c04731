"""The archive of streamed records: where Firehose puts them, and how Athena finds them."""

import re
import uuid
from typing import Any

import pytest

from pce.flows.batch import pack, unpack
from pce.flows.directory import Label, Workload
from pce.flows.summary import summary_json
from pce.identifiers import OrgId
from tests.infra.assembly import Assembly, listed
from tests.property.flow_batches import HEARTBEAT
from ven_protocol.flows import FlowSummary, decode_batch, encode_batch

STREAMS = {
    "pce-summaries": "/org_id=!{partitionKeyFromLambda:org_id}"
    "/summaries/pd=!{partitionKeyFromLambda:pd}/!{timestamp:yyyy/MM/dd/HH}/",
    "pce-auditable": "/org_id=!{partitionKeyFromLambda:org_id}"
    "/auditable/!{timestamp:yyyy/MM/dd/HH}/",
}
TABLES = {
    "summaries": "/org_id=${org_id}/summaries/pd=${pd}/${hour}/",
    "auditable": "/org_id=${org_id}/auditable/${hour}/",
}


def destination(assembly: Assembly, stream: str) -> dict[str, Any]:
    streams = assembly.resources("AWS::KinesisFirehose::DeliveryStream").values()
    (found,) = [one for one in streams if one["DeliveryStreamName"] == stream]
    settings: dict[str, Any] = found["ExtendedS3DestinationConfiguration"]
    return settings


@pytest.mark.parametrize("stream", STREAMS)
def test_the_layout_is_the_vendors(assembly: Assembly, stream: str) -> None:
    """``<pce_fqdn>/org_id=<n>/...``, by what the function says of each record; the host name is
    that of the API, which the deployment learns."""
    settings = destination(assembly, stream)
    fqdn, rest = settings["Prefix"]["Fn::Join"][1]
    assert "HttpApi" in str(fqdn) or "Http" in str(fqdn)
    assert fqdn["Fn::Select"][0] == 2
    assert rest == STREAMS[stream]
    assert settings["ErrorOutputPrefix"].startswith("errors/!{firehose:error-output-type}/")
    assert settings["CompressionFormat"] == "UNCOMPRESSED"  # the records are gzip members
    assert settings["FileExtension"] == ".json.gz"
    assert settings["DynamicPartitioningConfiguration"]["Enabled"] is True
    (processor,) = settings["ProcessingConfiguration"]["Processors"]
    said = {each["ParameterName"]: each["ParameterValue"] for each in processor["Parameters"]}
    assert said["LambdaArn"] == {"Fn::GetAtt": ["ArchivePlace", "Arn"]}


def test_firehose_may_fill_one_bucket_only(assembly: Assembly) -> None:
    """Its role writes objects there and calls one function."""
    role = destination(assembly, "pce-summaries")["RoleARN"]["Fn::GetAtt"][0]
    rights = {
        action
        for holder, statement in assembly.statements()
        if holder == role
        for action in listed(statement["Action"])
    }
    assert rights == {
        "s3:PutObject",
        "s3:AbortMultipartUpload",
        "s3:GetBucketLocation",
        "s3:ListBucketMultipartUploads",
        "lambda:InvokeFunction",
    }
    buckets = {
        str(statement["Resource"])
        for holder, statement in assembly.statements()
        if holder == role and "s3:" in str(statement["Action"])
    }
    assert all("Records" in bucket for bucket in buckets), buckets


def test_the_archive_is_kept(assembly: Assembly) -> None:
    """A bucket of its own, private, kept when the stack goes, cheaper after a month."""
    (logical_id,) = [
        name for name in assembly.resources("AWS::S3::Bucket", "pce-data") if "Records" in name
    ]
    resource = assembly.templates["pce-data"]["Resources"][logical_id]
    assert resource["DeletionPolicy"] == "Retain"
    (rule,) = resource["Properties"]["LifecycleConfiguration"]["Rules"]
    assert rule["Transitions"] == [
        {"StorageClass": "GLACIER_IR", "TransitionInDays": 30},
    ]
    assert rule["ExpirationInDays"] == 120
    assert resource["Properties"]["PublicAccessBlockConfiguration"]["BlockPublicPolicy"] is True


@pytest.mark.parametrize("name", TABLES)
def test_athena_reads_what_firehose_writes(assembly: Assembly, name: str) -> None:
    """The table's partitions are the stream's folders; an org must be named."""
    tables = assembly.resources("AWS::Glue::Table").values()
    (table,) = [one["TableInput"] for one in tables if one["TableInput"]["Name"] == name]
    said = table["Parameters"]
    template = said["storage.location.template"]["Fn::Join"][1]
    assert template[0] == "s3://" and template[-1] == TABLES[name]
    as_prefix = re.sub(r"!\{partitionKeyFromLambda:(\w+)\}", r"${\1}", STREAMS[f"pce-{name}"])
    assert as_prefix.replace("!{timestamp:yyyy/MM/dd/HH}", "${hour}") == TABLES[name]
    assert said["projection.enabled"] == "true"
    assert said["projection.org_id.type"] == "injected"
    assert said["projection.hour.format"] == "yyyy/MM/dd/HH"
    keys = [key["Name"] for key in table["PartitionKeys"]]
    assert keys == re.findall(r"\$\{(\w+)\}", TABLES[name])


def test_the_table_has_a_column_for_every_attribute(assembly: Assembly) -> None:
    """Of a summary with everything in it; what is a partition is no column."""
    own, peer = bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])
    labels = (Label("1", "app", "shop"),)

    known = {ip: Workload(uuid.UUID(int=ip[3]), "host", labels) for ip in (own, peer)}
    usual: dict[str, Any] = {"src_ip": peer, "dst_ip": own, "dir": "I", "first": 1, "last": 2}
    flows = [
        FlowSummary(
            **usual, proto=6, dst_port=1, pd=0, process="p", user="u", service="s", fqdn="f",
            tbi=1, tbo=1, dbi=1, dbo=1, tdms=1, ddms=1,
        ),
        FlowSummary(**usual, proto=1, icmp_type=8, icmp_code=0, pd=2, pd_qualifier=1),
    ]  # fmt: skip
    batch = decode_batch(encode_batch(1, 1, 3, HEARTBEAT, flows))
    documents = summary_json(unpack(pack(batch, known[own].id, known)), OrgId(1), "pce", "net")
    written = {name for document in documents for name in document} - {"org_id", "pd"}
    tables = assembly.resources("AWS::Glue::Table").values()
    (table,) = [t["TableInput"] for t in tables if t["TableInput"]["Name"] == "summaries"]
    assert {column["Name"] for column in table["StorageDescriptor"]["Columns"]} == written
