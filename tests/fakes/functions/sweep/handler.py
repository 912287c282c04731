"""Stands in for sweep: takes longer than its interval, so that an overlap would show."""

import time

from tests.fakes.record import record


def handler(event, context):
    record("sweep", event, phase="begin")
    time.sleep(1.3)
    record("sweep", event, phase="end")
