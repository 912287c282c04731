"""Stands in for bolts_disconnect."""

from tests.fakes.record import record


def handler(event, context):
    record("bolts_disconnect", event)
