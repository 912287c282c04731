"""Builds the real stores once per function environment, each only when it is first used.

A hot function that sends nothing never imports botocore, nor pynamodb: heavy modules are imported
inside the property that needs them.
"""

from functools import cached_property, lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pce.runtime.metrics import write_line
from pce.runtime.settings import Environment
from ven_protocol.messages import Settings

if TYPE_CHECKING:
    from pce.identifiers import OrgId
    from pce.store.address_sets import AddressSets
    from pce.store.archive import Archive
    from pce.store.archive_streams import ArchiveStreams
    from pce.store.arrivals import ArrivalStore
    from pce.store.bolt_plans import BoltPlans
    from pce.store.bolts import BoltSender
    from pce.store.directory import DirectoryStore
    from pce.store.dynamodb import DynamoDB
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


class Wiring:
    """The stores of one function environment."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment

    @cached_property
    def ven_settings(self) -> Settings:
        """What a VEN is told about clocks and addresses."""
        return self.environment.ven_settings()

    @cached_property
    def pce_fqdn(self) -> str:
        """The host name under which the PCE is known."""
        return urlsplit(self.environment.url).hostname or ""

    @cached_property
    def ven_releases(self) -> tuple[str, ...]:
        """Releases of the VEN that can be had here."""
        return self.environment.ven_releases

    @cached_property
    def dynamodb(self) -> "DynamoDB":
        """DynamoDB, for all tables; audit events are read through pynamodb (``events``)."""
        from pce.store.dynamodb import DynamoDB

        return DynamoDB(self.environment.dynamodb)

    @cached_property
    def presence(self) -> "PresenceStore":
        """The presence table."""
        from pce.store.presence import PresenceStore

        return PresenceStore(self.environment.tables.presence, self.dynamodb)

    @cached_property
    def objects(self) -> "ObjectStore":
        """Objects, change log and audit events."""
        from pce.store.objects import ObjectStore

        return ObjectStore(
            self.dynamodb, self.environment.tables, wake_compiler=self._wake_compiler
        )

    def _wake_compiler(self, org_id: "OrgId", change_id: str) -> None:
        """What was committed is accepted, whatever becomes of the wake-up: who called must not
        hear of an error and repeat it. The sweep wakes orgs whose change log is not empty."""
        from pce.store.queues import NotSent

        try:
            self.queues.wake_compiler(org_id, change_id)
        except NotSent as error:
            write_line({"level": "WARN", "message": str(error)})

    @cached_property
    def events(self) -> "EventStore":
        """Audit events, for reading."""
        from pce.store.events import EventStore
        from pce.store.tables import bind_tables

        bind_tables(self.environment.tables, self.environment.region)
        return EventStore()

    @cached_property
    def policies(self) -> "PolicyStore":
        """Computed policies."""
        from pce.store.policies import PolicyStore

        return PolicyStore(self.environment.tables.policy, self.dynamodb)

    @cached_property
    def address_sets(self) -> "AddressSets":
        """Versions of address sets."""
        from pce.store.address_sets import AddressSets

        return AddressSets(self.policies)

    @cached_property
    def engines(self) -> "WarmEngines":
        """Policy engines that this process keeps."""
        from pce.usecases.warm_engines import WarmEngines

        return WarmEngines()

    @cached_property
    def policy_versions(self) -> "PolicyVersions":
        """Drafts, provisioned versions and their revisions."""
        from pce.store.policy_versions import PolicyVersions

        return PolicyVersions(self.objects)

    @cached_property
    def flow_drops(self) -> "FlowDrops":
        """Which flows orgs do not want to keep."""
        from pce.store.flow_drops import FlowDrops

        return FlowDrops(self.objects)

    @cached_property
    def flows(self) -> "FlowStore":
        """Flow batches."""
        from pce.store.flows import FlowStore

        return FlowStore(self.environment.tables.flows, self.dynamodb)

    @cached_property
    def arrivals(self) -> "ArrivalStore":
        """Flow batches in the order in which they arrived."""
        from pce.store.arrivals import ArrivalStore

        return ArrivalStore(self.environment.tables.flows, self.dynamodb)

    @cached_property
    def rollups(self) -> "RollupStore":
        """Hourly sums of flows."""
        from pce.store.rollups import RollupStore

        return RollupStore(self.environment.tables.flows, self.dynamodb)

    @cached_property
    def event_log(self) -> "EventLog":
        """Audit events in the order in which they happened."""
        from pce.store.event_log import EventLog

        return EventLog(self.environment.tables.events, self.dynamodb)

    @cached_property
    def lanes(self) -> "LaneStore":
        """How far each destination of the streams has got."""
        from pce.store.lanes import LaneStore

        return LaneStore(self.environment.tables.flows, self.dynamodb)

    @cached_property
    def archive_streams(self) -> "ArchiveStreams":
        """The Firehose streams that fill the archive."""
        from pce.store.archive_streams import ArchiveStreams

        return ArchiveStreams(self.environment.archive_streams, self.environment.region)

    @cached_property
    def directory(self) -> "DirectoryStore":
        """Which workload has which address."""
        from pce.store.directory import DirectoryStore

        return DirectoryStore(self.archive)

    @cached_property
    def archive(self) -> "Archive":
        """The bucket."""
        from pce.store.archive import Archive

        environment = self.environment
        return Archive(environment.bucket, environment.s3, environment.archive_url)

    @cached_property
    def tallies(self) -> "Tallies":
        """Counts of a minute."""
        from pce.store.tallies import Tallies

        return Tallies(self.environment.tables.objects, self.dynamodb)

    @cached_property
    def object_counts(self) -> "ObjectCounts":
        """How many objects there are."""
        from pce.store.object_counts import ObjectCounts

        return ObjectCounts(self.objects)

    @cached_property
    def queues(self) -> "Queues":
        """The queues."""
        from pce.store.queues import Queues

        return Queues(self.environment.queues, self.environment.region)

    @cached_property
    def bolt_plans(self) -> "BoltPlans":
        """When bolts go out."""
        from pce.store.bolt_plans import BoltPlans

        return BoltPlans(self.environment.tables.policy, self.dynamodb)

    @cached_property
    def bolts(self) -> "BoltSender":
        """The WebSocket management API."""
        from pce.store.bolts import BoltSender

        return BoltSender(self.environment.bolts_management)


@lru_cache(maxsize=1)
def wiring() -> Wiring:
    """The wiring of this process; tests that change the environment call ``wiring.cache_clear``."""
    return Wiring(Environment.read())
