"""Stands in for org_create; like it, wakes the compiler while the host is still starting."""

import os
import secrets

import boto3

from tests.fakes.record import record


def handler(event, context):
    record("org_create", event)
    boto3.client("sqs").send_message(
        QueueUrl=os.environ["PCE_COMPILE_QUEUE_URL"],
        MessageBody='{"case": "first org"}',
        MessageGroupId="1",
        MessageDeduplicationId="first",
    )
    return {
        "org_id": 1,
        "api_key": "api_" + secrets.token_hex(4),
        "api_secret": secrets.token_hex(8),
        "activation_code": secrets.token_hex(8),
    }
