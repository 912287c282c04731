"""Stands in for org_create."""

import secrets

from tests.fakes.record import record


def handler(event, context):
    record("org_create", event)
    return {
        "org_id": 1,
        "api_key": "api_" + secrets.token_hex(4),
        "api_secret": secrets.token_hex(8),
        "activation_code": secrets.token_hex(8),
    }
