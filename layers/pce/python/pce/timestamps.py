"""Times as text: RFC 3339, UTC, milliseconds, the form of every time in the APIs. Pure."""

from datetime import UTC, datetime


def rfc3339(epoch_s: float) -> str:
    """``2026-01-31T12:00:00.000Z``."""
    at = datetime.fromtimestamp(epoch_s, UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"
