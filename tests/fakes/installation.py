"""A whole installation in this process: moto's AWS with the product's tables, queues and bucket.

``installed()`` gives the wiring that handlers use; ``Requests`` counts what is asked of AWS.
"""

import contextlib
import os
from collections import Counter
from collections.abc import Iterator
from unittest import mock

import boto3
import botocore.session
from moto import mock_aws

from pce.runtime import wiring as wiring_module
from pce.runtime.wiring import Wiring, wiring
from pce.store import aws as aws_module

REGION = "us-east-1"
TABLES = {
    "presence": ("p", "v", "B"),
    **dict.fromkeys(("objects", "events", "flows", "policy"), ("pk", "sk", "S")),
}


@contextlib.contextmanager
def installed(**environment: str) -> Iterator[Wiring]:
    """Empty tables, queues and bucket; further environment variables may be given."""
    with mock_aws(), mock.patch.dict(os.environ, _environment(environment)):
        dynamodb = boto3.client("dynamodb", REGION)
        for name, (partition, sort, sort_type) in TABLES.items():
            dynamodb.create_table(
                TableName=name,
                KeySchema=[
                    {"AttributeName": partition, "KeyType": "HASH"},
                    {"AttributeName": sort, "KeyType": "RANGE"},
                ],
                AttributeDefinitions=[
                    {"AttributeName": partition, "AttributeType": "S"},
                    {"AttributeName": sort, "AttributeType": sort_type},
                ],
                BillingMode="PAY_PER_REQUEST",
            )
        boto3.client("s3", REGION).create_bucket(Bucket="archive")
        sqs = boto3.client("sqs", REGION)
        fifo = {"FifoQueue": "true"}
        urls = {
            "PCE_COMPILE_QUEUE_URL": sqs.create_queue(QueueName="compile.fifo", Attributes=fifo),
            "PCE_BOLTS_QUEUE_URL": sqs.create_queue(QueueName="bolts"),
            "PCE_TRAFFIC_QUEUE_URL": sqs.create_queue(QueueName="traffic_queries"),
        }
        os.environ.update({name: queue["QueueUrl"] for name, queue in urls.items()})
        _forget()
        try:
            yield wiring()
        finally:
            _forget()


class Requests:
    """Counts requests to AWS by operation while it is entered."""

    def __init__(self, stores: Wiring) -> None:
        self._stores = stores
        self.counts: Counter[str] = Counter()

    def __enter__(self) -> "Requests":
        self._patch = mock.patch(
            "botocore.client.BaseClient._make_api_call", autospec=True, side_effect=self._count
        )
        self._real = botocore.client.BaseClient._make_api_call  # type: ignore[attr-defined]
        self._patch.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._patch.stop()

    def _count(self, client: object, operation: str, parameters: dict[str, object]) -> object:
        self.counts[operation] += 1
        return self._real(client, operation, parameters)


def _environment(more: dict[str, str]) -> dict[str, str]:
    return {
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "PCE_BUCKET": "archive",
        "PCE_URL": "https://pce.test",
        "PCE_BOLTS_URL": "wss://pce.test/bolts",
        "PCE_BOLTS_MANAGEMENT_URL": "https://bolts.execute-api.us-east-1.amazonaws.com/live",
        **{f"PCE_{name.upper()}_TABLE": name for name in TABLES},
        **more,
    }


def _forget() -> None:
    """The next wiring is made from the environment as it then is."""
    wiring_module.wiring.cache_clear()
    aws_module._session.cache_clear()
