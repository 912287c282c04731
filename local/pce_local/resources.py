"""Tables, queues and the bucket that ``infra`` declares for AWS; made in the store when missing.

Also hands out the clients that reach them, and removes what has expired (the store accepts a TTL
but does not act on it).
"""

import json
import time
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config

from pce_local.config import REGION
from pce_local.routes import QUEUE_TRIGGERS
from pce_local.signatures import AwsKey

VISIBILITY_TIMEOUT_S = 10
"""A message that was being handled when the host was killed comes back after this time. Handlers
may take longer: the poller renews it while one runs."""

MAX_RECEIVES = 5
"""After that many failed tries a message goes to the dead-letter queue, as on AWS."""

DEAD_LETTER_RETENTION_S = 14 * 24 * 3600
"""The longest that SQS keeps a message: time for somebody to look."""

BUCKET = "pce-archive"
RECORDS_BUCKET = "pce-records"


@dataclass(frozen=True, slots=True)
class Table:
    """A table's keys, as (name, type) pairs of DynamoDB."""

    name: str
    partition_key: tuple[str, str]
    sort_key: tuple[str, str]
    ttl_attribute: str | None = "ttl"


TABLES: tuple[Table, ...] = (
    Table("presence", ("p", "S"), ("v", "B"), ttl_attribute=None),
    Table("objects", ("pk", "S"), ("sk", "S")),
    Table("events", ("pk", "S"), ("sk", "S")),
    Table("flows", ("pk", "S"), ("sk", "S")),
    Table("policy", ("pk", "S"), ("sk", "S")),
)


@dataclass(frozen=True, slots=True)
class StoreClients:
    """boto3 clients on the store, for the host's own calls."""

    dynamodb: Any
    sqs: Any
    s3: Any

    @classmethod
    def connect(cls, url: str, key: AwsKey) -> "StoreClients":
        """Clients for the store at ``url``; nothing is sent yet."""

        def client(service: str) -> Any:
            return boto3.client(
                service,
                endpoint_url=url,
                region_name=REGION,
                aws_access_key_id=key.access_key,
                aws_secret_access_key=key.secret_key,
                config=Config(
                    connect_timeout=2,  # seconds; it is on this machine
                    read_timeout=10,  # seconds; it answers in milliseconds
                    retries={"total_max_attempts": 1},
                    proxies={},
                    s3={"addressing_style": "path"},
                ),
            )

        return cls(client("dynamodb"), client("sqs"), client("s3"))


def ensure_resources(clients: StoreClients) -> dict[str, str]:
    """Make what is missing; returns queue name -> URL. Safe to call at every start."""
    existing = set(clients.dynamodb.list_tables()["TableNames"])
    for table in TABLES:
        if table.name not in existing:
            _create_table(clients.dynamodb, table)
    buckets = {bucket["Name"] for bucket in clients.s3.list_buckets().get("Buckets", [])}
    for name in {BUCKET, RECORDS_BUCKET} - buckets:
        clients.s3.create_bucket(Bucket=name)
    found = clients.sqs.list_queues().get("QueueUrls", [])
    urls: dict[str, str] = {url.rpartition("/")[2]: url for url in found}
    for trigger in QUEUE_TRIGGERS:
        if trigger.queue not in urls:
            urls[trigger.queue] = _create_queue(clients.sqs, trigger.queue)
    return urls


def dead_letter_queue(queue: str) -> str:
    """Name of a queue's dead-letter queue: ``bolts-dlq``, ``compile-dlq.fifo``."""
    name, dot, suffix = queue.partition(".")
    return f"{name}-dlq{dot}{suffix}"


def remove_expired(dynamodb: Any, now: float) -> int:
    """Delete the items whose TTL has passed; returns how many.

    ``now`` in seconds since the epoch. Cost: one scan of each table that has a TTL.
    """
    removed = 0
    for table in TABLES:
        if table.ttl_attribute is None:
            continue
        names = {"#ttl": table.ttl_attribute}
        expired = "#ttl < :now"
        value = {":now": {"N": str(int(now))}}
        keys = [table.partition_key[0], table.sort_key[0]]
        pages = dynamodb.get_paginator("scan").paginate(
            TableName=table.name,
            FilterExpression=expired,
            ProjectionExpression=", ".join(keys),
            ExpressionAttributeNames=names,
            ExpressionAttributeValues=value,
        )
        for page in pages:
            for key in page["Items"]:
                try:
                    # Conditional: it may have been written again since the scan saw it.
                    dynamodb.delete_item(
                        TableName=table.name,
                        Key=key,
                        ConditionExpression=expired,
                        ExpressionAttributeNames=names,
                        ExpressionAttributeValues=value,
                    )
                    removed += 1
                except dynamodb.exceptions.ConditionalCheckFailedException:
                    continue
    return removed


def _create_table(dynamodb: Any, table: Table) -> None:
    keys = {"HASH": table.partition_key, "RANGE": table.sort_key}
    dynamodb.create_table(
        TableName=table.name,
        KeySchema=[{"AttributeName": name, "KeyType": kind} for kind, (name, _) in keys.items()],
        AttributeDefinitions=[
            {"AttributeName": name, "AttributeType": kind} for name, kind in keys.values()
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    deadline = time.monotonic() + 10
    while True:
        status = dynamodb.describe_table(TableName=table.name)["Table"]["TableStatus"]
        if status == "ACTIVE":
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"table {table.name} is {status} after 10 s")
        time.sleep(0.05)  # seconds


def _create_queue(sqs: Any, name: str) -> str:
    fifo = {"FifoQueue": "true"} if name.endswith(".fifo") else {}
    dead_letters = sqs.create_queue(
        QueueName=dead_letter_queue(name),
        Attributes={**fifo, "MessageRetentionPeriod": str(DEAD_LETTER_RETENTION_S)},
    )["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead_letters, AttributeNames=["QueueArn"])
    redrive = {
        "deadLetterTargetArn": arn["Attributes"]["QueueArn"],
        "maxReceiveCount": MAX_RECEIVES,
    }
    attributes = {
        **fifo,
        "VisibilityTimeout": str(VISIBILITY_TIMEOUT_S),
        "RedrivePolicy": json.dumps(redrive),
    }
    url: str = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    return url
