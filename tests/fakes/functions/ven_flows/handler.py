"""Stands in for ven_flows: answers with nothing, as fast as it can (for measuring the host)."""

ANSWER = {"statusCode": 204, "headers": {"content-type": "application/json"}}


def handler(event, context):
    return ANSWER
