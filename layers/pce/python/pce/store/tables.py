"""The items of the objects, events and policy tables, and the events' pynamodb model.

Owns key forms; the tables themselves are made by ``infra`` (or the local host). All three share one
shape: partition key ``pk``, sort key ``sk``, a compressed JSON ``body``.
There is no index and no stream, so that a write costs what the item costs and any
DynamoDB-compatible store will do.

Keys of the objects table
    ``<org>#<collection>`` / id                      an object (ids that are numbers: 12 digits)
    ``<org>#draft#<collection>`` / id                the draft of a provisionable object
    ``<org>#revisions`` / revision                   an immutable state of a provisionable object
    ``<org>#manifests`` / ``<uuid>#<chunk>``         which revisions make up a policy version
    ``<org>#unique`` / claim                         holds a name that only one object may have
    ``<org>#counters`` / collection                  last number given out
    ``<org>#changes`` / uuid7                        change log: what the policy compiler must see
Org 0 is the installation: its collections ``orgs``, ``credentials`` (API keys) and ``pairing_keys``
(by the hash of the activation code) belong to no org.
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
