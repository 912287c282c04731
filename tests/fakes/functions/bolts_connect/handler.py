"""Stands in for bolts_connect: the Authorization header says what to answer."""

from tests.fakes.record import record


def handler(event, context):
    record("bolts_connect", event)
    headers = {name.lower(): value for name, value in event["headers"].items()}
    answer = headers.get("authorization", "401")
    if answer == "raise":
        raise RuntimeError("connect fell over")
    return {"statusCode": int(answer)}
