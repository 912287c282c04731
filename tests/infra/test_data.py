"""Tables, bucket and queues of the template. The emulator ignores half of what stands here."""

from typing import Any

import pytest

from infra.functions import FUNCTIONS
from pce_local.resources import TABLES as LOCAL_TABLES
from tests.infra.assembly import Assembly

TABLES = ("Presence", "Objects", "Events", "Flows", "Policy")


def table(assembly: Assembly, name: str) -> dict[str, Any]:
    found = assembly.resources("AWS::DynamoDB::GlobalTable")
    (one,) = (properties for id, properties in found.items() if id.startswith(name))
    return one


def test_every_data_resource_outlives_its_stack(assembly: Assembly) -> None:
    """`cdk destroy` removes no table and no bucket."""
    kept = {
        logical_id
        for logical_id, resource in assembly.templates["pce-data"]["Resources"].items()
        if resource["Type"] in ("AWS::DynamoDB::GlobalTable", "AWS::S3::Bucket")
        and (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("Retain", "Retain")
    }
    assert len(kept) == len(TABLES) + 2


@pytest.mark.parametrize("name", TABLES)
def test_a_table_recovers_costs_nothing_idle_and_has_no_index(
    assembly: Assembly, name: str
) -> None:
    """Point-in-time recovery, deletion protection, on demand, AWS's own key; no index, no stream,
    for each would add its own write to every write."""
    properties = table(assembly, name)
    (replica,) = properties["Replicas"]
    assert replica["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert replica["DeletionProtectionEnabled"] is True
    assert properties["BillingMode"] == "PAY_PER_REQUEST"
    assert properties["SSESpecification"] == {"SSEEnabled": False}  # not KMS: AWS's own key
    assert not {"GlobalSecondaryIndexes", "LocalSecondaryIndexes", "StreamSpecification"} & set(
        properties
    )


def test_tables_are_those_of_the_local_host(assembly: Assembly) -> None:
    """Keys and time-to-live are the same in both places, so one store serves both."""
    for local in LOCAL_TABLES:
        properties = table(assembly, local.name.capitalize())
        types = {a["AttributeName"]: a["AttributeType"] for a in properties["AttributeDefinitions"]}
        keys = {k["KeyType"]: k["AttributeName"] for k in properties["KeySchema"]}
        assert local.partition_key == (keys["HASH"], types[keys["HASH"]])
        assert local.sort_key == (keys["RANGE"], types[keys["RANGE"]])
        ttl = properties.get("TimeToLiveSpecification")
        expected = {"AttributeName": local.ttl_attribute, "Enabled": True}
        assert ttl == (expected if local.ttl_attribute else None)


def test_the_bucket_is_private_and_forgets(assembly: Assembly) -> None:
    """Nothing public, encrypted; what can be asked for again lives a day, support reports a
    month."""
    buckets = assembly.resources("AWS::S3::Bucket").items()
    (bucket,) = (bucket for name, bucket in buckets if name.startswith("Archive"))
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    (encryption,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert encryption["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    expiry = {
        rule["Prefix"]: rule["ExpirationInDays"]
        for rule in bucket["LifecycleConfiguration"]["Rules"]
        if "ExpirationInDays" in rule
    }
    assert expiry == {
        "traffic_results/": 1,
        "datafiles/": 1,
        "reports/": 7,
        "support_reports/": 30,
        "enforcement_instructions/": 30,
    }
    assert "VersioningConfiguration" not in bucket


@pytest.mark.parametrize("kind", ["AWS::S3::BucketPolicy", "AWS::SQS::QueuePolicy"])
def test_bucket_and_queues_refuse_requests_without_tls(assembly: Assembly, kind: str) -> None:
    """Each has a policy that denies everything which did not come by TLS."""
    guarded = {"AWS::S3::BucketPolicy": 2, "AWS::SQS::QueuePolicy": 9}  # 4 queues, 5 dead-letter
    policies = assembly.resources(kind)
    assert len(policies) == guarded[kind]
    for policy in policies.values():
        assert any(
            statement["Effect"] == "Deny"
            and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
            for statement in policy["PolicyDocument"]["Statement"]
        )


@pytest.mark.parametrize("spec", [spec for spec in FUNCTIONS if spec.queue], ids=lambda s: s.name)
def test_a_work_queue_sets_aside_what_cannot_be_done(assembly: Assembly, spec: Any) -> None:
    """A dead-letter queue of the same kind behind it; a message stays hidden six times as long as
    its function may run; the function names the messages that failed."""
    queues = assembly.resources("AWS::SQS::Queue", "pce-data")
    prefix = "".join(part.capitalize() for part in spec.queue.split("_"))
    (queue,) = (p for id, p in queues.items() if id.startswith(f"{prefix}Queue"))
    (behind,) = (p for id, p in queues.items() if id.startswith(f"{prefix}DeadLetters"))
    (target, _) = queue["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"]
    assert queues[target] is behind
    assert queue["RedrivePolicy"]["maxReceiveCount"] == 5
    assert behind["MessageRetentionPeriod"] == 14 * 86_400
    fifo = spec.queue in ("compile", "streams") or None
    assert queue.get("FifoQueue") == behind.get("FifoQueue") == fifo
    assert queue["VisibilityTimeout"] >= 6 * assembly.functions()[spec.name]["Timeout"]
    assert queue["SqsManagedSseEnabled"] is behind["SqsManagedSseEnabled"] is True

    mappings = assembly.resources("AWS::Lambda::EventSourceMapping").values()
    (mapping,) = (m for m in mappings if m["BatchSize"] and _reads(m, f"{prefix}Queue"))
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": 10}
    assert mapping["BatchSize"] == spec.batch_size


def _reads(mapping: dict[str, Any], queue: str) -> bool:
    return f"GetAtt{queue}" in mapping["EventSourceArn"]["Fn::ImportValue"]
