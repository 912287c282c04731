"""The events table as a pynamodb model: audit events are read by it (keys: ``table_names.py``).

Hot functions never import this module: pynamodb brings botocore along, and with it 115 ms.
"""

from pynamodb.attributes import BinaryAttribute, NumberAttribute, UnicodeAttribute
from pynamodb.models import Model

from pce.store.table_names import TableNames

CONNECT_TIMEOUT_S = 2
READ_TIMEOUT_S = 5
"""A DynamoDB call that takes longer is lost; API Gateway gives up after 30 s altogether."""
MAX_RETRIES = 4
"""With exponential waits from 50 ms this rides out a partition split, and stays under 2 s."""


class _Meta:
    region = ""
    connect_timeout_seconds = CONNECT_TIMEOUT_S
    read_timeout_seconds = READ_TIMEOUT_S
    max_retry_attempts = MAX_RETRIES


class EventItem(Model):
    """One audit event: partition ``<org>#YYYY-MM-DD``, sort key the event's uuid7."""

    class Meta(_Meta):
        """Where it lies; ``table_name`` is set by :func:`bind_tables`."""

        table_name = ""

    pk = UnicodeAttribute(hash_key=True)
    sk = UnicodeAttribute(range_key=True)
    body = BinaryAttribute(legacy_encoding=False)
    ttl = NumberAttribute()


def bind_tables(names: TableNames, region: str) -> None:
    """Point the model at the deployed table; called once, by ``runtime.wiring``."""
    EventItem.Meta.table_name = names.events
    EventItem.Meta.region = region
    EventItem._connection = None  # a test may bind again, to other tables
