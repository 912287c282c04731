"""A whole installation on this machine: moto's AWS with the product's tables, queues and bucket.

moto serves HTTP on a loopback port, so that botocore, pynamodb and the product's own client all
reach it as they reach AWS. ``installed()`` gives the wiring that handlers use; ``Requests`` counts
what is asked of AWS.
"""

import contextlib
import os
import threading
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from typing import Any
from unittest import mock

import boto3
from moto.backends import get_backend
from moto.server import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

from pce.runtime import wiring as wiring_module
from pce.runtime.wiring import Wiring, wiring
from pce.store import aws as aws_module
from tests.fakes import moto_transactions

REGION = "us-east-1"
TABLES = {
    "presence": ("p", "v", "B"),
    **dict.fromkeys(("objects", "events", "flows", "policy"), ("pk", "sk", "S")),
}
SERVICES = ("dynamodb", "s3", "sqs", "firehose", "apigatewaymanagementapi")
ARCHIVE_STREAMS = {"PCE_SUMMARIES_STREAM": "summaries", "PCE_AUDITABLE_STREAM": "auditable"}


class FakeAws:
    """moto behind a port of its own; tells its listeners the operation of each request."""

    def __init__(self) -> None:
        self.listeners: list[Counter[str]] = []
        self._turn = threading.Lock()
        moto_transactions.install()
        self._moto = DomainDispatcherApplication(create_backend_app)
        server = make_server(
            "127.0.0.1", 0, self._serve, threaded=True, request_handler=_Connection
        )
        self.url = f"http://127.0.0.1:{server.server_port}"
        self._clients: dict[str, Any] = {}
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def reset(self) -> None:
        """Forget every table, queue and bucket."""
        moto_transactions.answered.clear()
        for service in SERVICES:
            for regions in get_backend(service).values():
                for backend in regions.values():
                    backend.reset()

    def client(self, service: str) -> Any:
        """boto3's client for preparing and inspecting; to make one takes longer than to use it."""
        if service not in self._clients:
            self._clients[service] = boto3.client(service, REGION, endpoint_url=self.url)
        return self._clients[service]

    def _serve(self, environ, start_response):
        for counts in self.listeners:
            counts[_operation(environ)] += 1
        if environ.get("HTTP_X_AMZ_TARGET", "").startswith("DynamoDB"):
            with self._turn:  # a transaction is atomic
                return self._moto(environ, start_response)
        return self._moto(environ, start_response)


class _Connection(MotoRequestHandler):
    """Serves in silence."""

    def log(self, *_):
        pass


def _operation(environ) -> str:
    """``UpdateItem``; S3, which names none, gets ``GetObject`` and the like."""
    target = environ.get("HTTP_X_AMZ_TARGET", "")
    return target.rpartition(".")[2] or f"{environ['REQUEST_METHOD'].title()}Object"


@lru_cache(maxsize=1)
def fake_aws() -> FakeAws:
    """The one of this process: to start it takes longer than to empty it."""
    return FakeAws()


@contextlib.contextmanager
def installed(**environment: str) -> Iterator[Wiring]:
    """Empty tables, queues and bucket; further environment variables may be given."""
    aws = fake_aws()
    aws.reset()
    with mock.patch.dict(os.environ, _environment(aws.url, environment)):
        for name, (partition, sort, sort_type) in TABLES.items():
            aws.client("dynamodb").create_table(
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
        aws.client("s3").create_bucket(Bucket="archive")
        sqs = aws.client("sqs")
        fifo = {"FifoQueue": "true"}
        urls = {
            "PCE_COMPILE_QUEUE_URL": sqs.create_queue(QueueName="compile.fifo", Attributes=fifo),
            "PCE_BOLTS_QUEUE_URL": sqs.create_queue(QueueName="bolts"),
            "PCE_TRAFFIC_QUEUE_URL": sqs.create_queue(QueueName="traffic_queries"),
            "PCE_STREAMS_QUEUE_URL": sqs.create_queue(QueueName="streams.fifo", Attributes=fifo),
        }
        os.environ.update({name: queue["QueueUrl"] for name, queue in urls.items()})
        for stream in ARCHIVE_STREAMS.values():
            aws.client("firehose").create_delivery_stream(
                DeliveryStreamName=stream,
                ExtendedS3DestinationConfiguration={
                    "RoleARN": "arn:aws:iam::123456789012:role/archive",
                    "BucketARN": "arn:aws:s3:::archive",
                    "Prefix": f"streamed/{stream}/",
                },
            )
        _forget()
        try:
            yield wiring()
        finally:
            _forget()


class Requests:
    """Counts requests to AWS by operation while it is entered: what went over the wire, so a
    request that is sent again counts again."""

    def __init__(self, stores: Wiring) -> None:
        self.counts: Counter[str] = Counter()

    def __enter__(self) -> "Requests":
        fake_aws().listeners.append(self.counts)
        return self

    def __exit__(self, *error: object) -> None:
        fake_aws().listeners.remove(self.counts)


def _environment(aws_url: str, more: dict[str, str]) -> dict[str, str]:
    return {
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_ENDPOINT_URL": aws_url,
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
        "PCE_BUCKET": "archive",
        **ARCHIVE_STREAMS,
        "PCE_URL": "https://pce.test",
        "PCE_BOLTS_URL": "wss://pce.test/bolts",
        "PCE_BOLTS_MANAGEMENT_URL": aws_url,
        **{f"PCE_{name.upper()}_TABLE": name for name in TABLES},
        **more,
    }


def _forget() -> None:
    """The next wiring is made from the environment as it then is."""
    wiring_module.wiring.cache_clear()
    aws_module._session.cache_clear()
