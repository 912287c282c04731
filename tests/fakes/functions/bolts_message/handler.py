"""Stands in for bolts_message."""

from tests.fakes.record import record


def handler(event, context):
    record("bolts_message", event)
    if event.get("body") == "raise":
        raise RuntimeError("message fell over")
    return {"statusCode": 200, "body": "nobody sees this"}
