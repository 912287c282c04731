"""Names of the tables, and the keys in the objects, events and policy tables.

The tables themselves are made by ``infra`` (or the local host). All three share one
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

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TableNames:
    """Names of the tables, as deployed; a function names only those that it may use."""

    presence: str = ""
    objects: str = ""
    events: str = ""
    flows: str = ""
    policy: str = ""
