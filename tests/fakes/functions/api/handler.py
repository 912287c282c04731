"""Stands in for the management API: the last part of the path says what to do."""

import base64
import json
import os
import time

import boto3
from botocore.config import Config

clients = {name: boto3.client(name) for name in ("dynamodb", "sqs", "s3")}
connections = boto3.client(
    "apigatewaymanagementapi", endpoint_url=os.environ["PCE_BOLTS_MANAGEMENT_URL"]
)
archive = boto3.client(
    "s3",
    endpoint_url=os.environ["PCE_ARCHIVE_URL"],
    config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
)
QUEUES = {
    "compile": os.environ["PCE_COMPILE_QUEUE_URL"],
    "bolts": os.environ["PCE_BOLTS_QUEUE_URL"],
    "traffic": os.environ["PCE_TRAFFIC_QUEUE_URL"],
}


def handler(event, context):
    what = event["rawPath"].rpartition("/")[2]
    return globals()[f"do_{what}"](event, context)


def body_of(event):
    body = event.get("body", "")
    return base64.b64decode(body) if event["isBase64Encoded"] else body.encode()


def ok(value):
    return {
        "statusCode": 200,
        "headers": {"content-type": "application/json"},
        "body": json.dumps(value),
    }


def do_echo(event, context):
    return ok({"event": event, "function": context.function_name, "id": context.aws_request_id})


def do_environment(event, context):
    return ok(dict(os.environ))


def do_bare(event, context):
    return {"no": "statusCode"}


def do_binary(event, context):
    return {
        "statusCode": 201,
        "headers": {"Content-Type": "application/octet-stream"},
        "body": base64.b64encode(body_of(event)).decode(),
        "isBase64Encoded": True,
        "cookies": ["a=1", "b=2"],
    }


def do_raise(event, context):
    raise RuntimeError("the handler fell over")


def do_malformed(event, context):
    return {"statusCode": "often"}


def do_not_json(event, context):
    return {"statusCode": 200, "body": object()}


def do_huge(event, context):
    return {"statusCode": 200, "body": "x" * 7_000_000}


def do_sleep(event, context):
    time.sleep(float(body_of(event)))
    return ok({"left_ms": context.get_remaining_time_in_millis()})


def do_write(event, context):
    """Acknowledges only what the store acknowledged."""
    key = {"pk": {"S": "writes"}, "sk": {"S": body_of(event).decode()}}
    clients["dynamodb"].put_item(TableName=os.environ["PCE_OBJECTS_TABLE"], Item=key)
    return ok({})


def do_written(event, context):
    pages = (
        clients["dynamodb"]
        .get_paginator("query")
        .paginate(
            TableName=os.environ["PCE_OBJECTS_TABLE"],
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": "writes"}},
        )
    )
    return ok([item["sk"]["S"] for page in pages for item in page["Items"]])


def do_send(event, context):
    """Body: {"queue": ..., "messages": [{"body": ..., "group": ...}]}; one send for each."""
    order = json.loads(body_of(event))
    for number, message in enumerate(order["messages"]):
        fifo = (
            {
                "MessageGroupId": message["group"],
                "MessageDeduplicationId": f"{context.aws_request_id}-{number}",
            }
            if "group" in message
            else {}
        )
        clients["sqs"].send_message(
            QueueUrl=QUEUES[order["queue"]],
            MessageBody=json.dumps({**message, "sent": time.time()}),
            MessageAttributes={"kind": {"DataType": "String", "StringValue": "test"}},
            **({"DelaySeconds": message["delay_s"]} if "delay_s" in message else {}),
            **fifo,
        )
    return ok({})


def do_depth(event, context):
    """How many messages a queue's dead-letter queue holds."""
    name = json.loads(body_of(event))["queue"]
    url = clients["sqs"].get_queue_url(QueueName=name)["QueueUrl"]
    found = clients["sqs"].get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    return ok(int(found["ApproximateNumberOfMessages"]))


def do_connection(event, context):
    """Body: {"id": ..., "post" | "get" | "delete": ...}; the name of the error, or what it gave."""
    order = json.loads(body_of(event))
    try:
        if "post" in order:
            data = order["post"].encode() * order.get("times", 1)
            connections.post_to_connection(ConnectionId=order["id"], Data=data)
        elif "get" in order:
            found = connections.get_connection(ConnectionId=order["id"])
            return ok({"sourceIp": found["Identity"]["SourceIp"]})
        else:
            connections.delete_connection(ConnectionId=order["id"])
    except connections.exceptions.ClientError as error:
        return ok({"error": error.response["Error"]["Code"]})
    return ok({})


def do_presign(event, context):
    """Body: {"operation": ..., "key": ..., "expires_s": ...}"""
    order = json.loads(body_of(event))
    parameters = {"Bucket": os.environ["PCE_BUCKET"], "Key": order["key"]}
    if "content_type" in order:
        parameters["ContentType"] = order["content_type"]
    url = archive.generate_presigned_url(
        order["operation"], Params=parameters, ExpiresIn=order["expires_s"]
    )
    return ok(url)


def do_stored(event, context):
    """Body: a key; what the bucket holds there, as the functions see it."""
    found = clients["s3"].get_object(Bucket=os.environ["PCE_BUCKET"], Key=body_of(event).decode())
    return ok({"body": found["Body"].read().decode(), "type": found["ContentType"]})
