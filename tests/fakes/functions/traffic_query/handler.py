"""Stands in for traffic_query: notes its messages; a message with "fail" fails that many times."""

import json

from tests.fakes.record import record


def handler(event, context):
    failures = []
    bodies = [json.loads(r["body"]) for r in event["Records"]]
    record("traffic_query", event, bodies=bodies)
    for one, body in zip(event["Records"], bodies, strict=True):
        if int(one["attributes"]["ApproximateReceiveCount"]) <= body.get("fail", 0):
            failures.append({"itemIdentifier": one["messageId"]})
    if any(body.get("raise") for body in bodies):
        raise RuntimeError("the batch fell over")
    return {"batchItemFailures": failures}
