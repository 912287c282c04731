"""What use cases are given: the stores, and the few facts of the installation that they need.

``runtime.wiring`` provides it with real stores, each made when it is first asked for; tests
provide it with whatever they like. A use case asks only for what it uses.
"""

import secrets
import uuid
from typing import TYPE_CHECKING, Protocol

from pce.events.journal import HttpAction, Journal, JsonObject
from pce.identifiers import OrgId, uuid7
from pce.timestamps import rfc3339
from ven_protocol.messages import Settings

if TYPE_CHECKING:
    from pce.store.address_sets import AddressSets
    from pce.store.archive import Archive
    from pce.store.archive_streams import ArchiveStreams
    from pce.store.arrivals import ArrivalStore
    from pce.store.bolt_plans import BoltPlans
    from pce.store.bolts import BoltSender
    from pce.store.directory import DirectoryStore
    from pce.store.event_log import EventLog
    from pce.store.events import EventStore
    from pce.store.flow_drops import FlowDrops
    from pce.store.flows import FlowStore
    from pce.store.lanes import LaneStore
    from pce.store.object_counts import ObjectCounts
    from pce.store.objects import ObjectStore
    from pce.store.policies import PolicyStore
    from pce.store.policy_versions import PolicyVersions
    from pce.store.presence import PresenceStore
    from pce.store.queues import Queues
    from pce.store.rollups import RollupStore
    from pce.store.tallies import Tallies
    from pce.usecases.warm_engines import WarmEngines


class Stores(Protocol):
    """The stores of an installation, and what it knows of itself."""

    @property
    def presence(self) -> "PresenceStore":
        """The presence table."""

    @property
    def objects(self) -> "ObjectStore":
        """Objects, change log and audit events."""

    @property
    def events(self) -> "EventStore":
        """Audit events, for reading."""

    @property
    def policies(self) -> "PolicyStore":
        """Computed policies."""

    @property
    def address_sets(self) -> "AddressSets":
        """Versions of the address sets that computed policies use."""

    @property
    def engines(self) -> "WarmEngines":
        """Policy engines that this process keeps from one compile to the next."""

    @property
    def policy_versions(self) -> "PolicyVersions":
        """Drafts, provisioned versions and their revisions."""

    @property
    def flow_drops(self) -> "FlowDrops":
        """Which flows orgs do not want to keep."""

    @property
    def flows(self) -> "FlowStore":
        """Flow batches."""

    @property
    def arrivals(self) -> "ArrivalStore":
        """Flow batches in the order in which they arrived."""

    @property
    def rollups(self) -> "RollupStore":
        """Hourly sums of flows."""

    @property
    def event_log(self) -> "EventLog":
        """Audit events in the order in which they happened."""

    @property
    def lanes(self) -> "LaneStore":
        """How far each destination of the streams has got."""

    @property
    def archive_streams(self) -> "ArchiveStreams":
        """The Firehose streams that fill the archive."""

    @property
    def directory(self) -> "DirectoryStore":
        """Which workload has which address."""

    @property
    def archive(self) -> "Archive":
        """The bucket."""

    @property
    def tallies(self) -> "Tallies":
        """Counts of a minute."""

    @property
    def object_counts(self) -> "ObjectCounts":
        """How many objects there are."""

    @property
    def queues(self) -> "Queues":
        """The queues."""

    @property
    def bolt_plans(self) -> "BoltPlans":
        """When bolts go out."""

    @property
    def bolts(self) -> "BoltSender":
        """The WebSocket management API."""

    @property
    def ven_settings(self) -> Settings:
        """What a VEN is told about clocks and addresses."""

    @property
    def ven_releases(self) -> tuple[str, ...]:
        """Releases of the VEN that can be had here."""

    @property
    def pce_fqdn(self) -> str:
        """The host name under which the PCE is known."""


def journal(
    stores: Stores,
    org_id: OrgId,
    created_by: JsonObject,
    now: float,
    action: HttpAction | None = None,
) -> Journal:
    """A journal for one request or task at ``now`` (epoch seconds)."""

    def new_id() -> uuid.UUID:
        return uuid7(int(now * 1000), secrets.token_bytes(10))

    return Journal(org_id, created_by, rfc3339(now), new_id, stores.pce_fqdn, action)
