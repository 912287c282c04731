"""Wake-ups through SQS. A message says that there is work, never what the work is: whoever
receives it reads the present state, so a message that is late or repeated does no harm."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from pce.identifiers import OrgId
from pce.store.aws import aws_client

BOLTS_PER_MESSAGE = 100
"""Bolts in one message: a fraction of a second of work, repeated when its function is killed."""

MESSAGES_PER_CALL = 10
"""The most that SendMessageBatch takes."""


BoltKind = Literal["policy", "heartbeat"]
"""What a bolt asks for: fetch this policy, or send a heartbeat, whose reply has news."""


class BoltOrder(msgspec.Struct, frozen=True):
    """One bolt to send: to which connection of which VEN, and the policy that it announces."""

    ven_id: str
    connection_id: str
    etag: str


class BoltBatch(msgspec.Struct, frozen=True, tag="bolts"):
    """Bolts to send now."""

    org_id: int
    orders: list[BoltOrder]
    reason: str = ""
    spread_s: float = 0
    report_after_s: float = 0
    """As :class:`~ven_protocol.bolts.Bolt` has them."""
    kind: BoltKind = "policy"
    repeated: bool = False
    """These were tried once, and their connections were busy."""


class WaveOrder(msgspec.Struct, frozen=True, tag="wave"):
    """An org's wide parts changed: find its VENs that have them and queue their bolts."""

    org_id: int
    tightens: bool
    reason: str = ""


class WavePart(msgspec.Struct, frozen=True, tag="wave_part"):
    """One presence partition's share of a wave."""

    org_id: int
    tightens: bool
    reason: str
    generation: int
    slots: bytes
    """Which wide parts changed: a bit a slot, the lowest first."""
    partition: str


BoltMessage = BoltBatch | WaveOrder | WavePart


class NotSent(Exception):
    """SQS could not be reached, or refused a message."""


@dataclass(frozen=True, slots=True)
class QueueUrls:
    """Where the queues are; a function names only those that it may use."""

    compile: str = ""
    bolts: str = ""
    traffic: str = ""
    streams: str = ""


class Queues:
    """Sends to the product's queues."""

    def __init__(self, urls: QueueUrls, region: str) -> None:
        self._client = aws_client("sqs", region)
        self._urls = urls

    def wake_compiler(self, org_id: OrgId, change_id: str) -> None:
        """Tell the policy compiler that an org has changes.

        One group per org, so an org compiles once at a time. The deduplication id is the change's
        own, never the content: within five minutes SQS would swallow an equal message even after
        the first one was consumed. Raises :class:`NotSent`.
        """
        from botocore.exceptions import BotoCoreError, ClientError  # not for hot functions

        try:
            self._client.send_message(
                QueueUrl=self._urls.compile,
                MessageBody=msgspec.json.encode({"org_id": org_id}).decode(),
                MessageGroupId=str(org_id),
                MessageDeduplicationId=change_id,
            )
        except (BotoCoreError, ClientError) as error:
            raise NotSent(f"no wake-up for org {org_id}: {error}") from error

    def compile_again(self, receipt_handle: str, attempts: int) -> None:
        """Let a wake-up whose compile failed come back after 5, 10, 20, ... at most 120 seconds.

        Without this it would stay hidden for the queue's whole visibility timeout, and with it
        every later wake-up of the same org.
        """
        self._client.change_message_visibility(
            QueueUrl=self._urls.compile,
            ReceiptHandle=receipt_handle,
            VisibilityTimeout=min(5 * 2 ** (attempts - 1), 120),
        )

    def send_bolts(self, messages: Sequence[tuple[BoltMessage, int]]) -> None:
        """Queue messages for the fan-out, each to be delivered so many seconds (0 to 900) from
        now. Ten to a request, in order. Raises :class:`NotSent` when SQS refuses one."""
        for at in range(0, len(messages), MESSAGES_PER_CALL):
            entries = [
                {
                    "Id": str(number),
                    "MessageBody": msgspec.json.encode(message).decode(),
                    "DelaySeconds": delay_s,
                }
                for number, (message, delay_s) in enumerate(messages[at : at + MESSAGES_PER_CALL])
            ]
            reply = self._client.send_message_batch(QueueUrl=self._urls.bolts, Entries=entries)
            if refused := reply.get("Failed"):
                raise NotSent(f"{len(refused)} messages with bolts: {refused[0].get('Message')}")

    def wake_streamers(self, lanes: Sequence[str], now: int) -> None:
        """Have each of these lanes (by name) taken forward, once for this second.

        A group per lane, so that its records stay in order. Raises :class:`NotSent`.
        """
        for at in range(0, len(lanes), MESSAGES_PER_CALL):
            entries = [
                {
                    "Id": str(number),
                    "MessageBody": msgspec.json.encode({"lane": lane}).decode(),
                    "MessageGroupId": lane,
                    "MessageDeduplicationId": f"{lane}/{now}",
                }
                for number, lane in enumerate(lanes[at : at + MESSAGES_PER_CALL])
            ]
            reply = self._client.send_message_batch(QueueUrl=self._urls.streams, Entries=entries)
            if refused := reply.get("Failed"):
                raise NotSent(f"{len(refused)} wake-ups of streams: {refused[0].get('Message')}")

    def run_traffic_query(self, org_id: OrgId, query_id: str) -> None:
        """Queue a traffic query for its worker."""
        body = msgspec.json.encode({"org_id": org_id, "query_id": query_id}).decode()
        self._client.send_message(QueueUrl=self._urls.traffic, MessageBody=body)

    def run_export(self, org_id: OrgId, job_id: str) -> None:
        """Queue a job whose file is to be written. It goes to the worker of traffic queries: a
        queue of its own would be polled all month for a few exports a day."""
        body = msgspec.json.encode({"org_id": org_id, "job_id": job_id}).decode()
        self._client.send_message(QueueUrl=self._urls.traffic, MessageBody=body)

    def run_label_mapping(self, org_id: OrgId, run_id: str) -> None:
        """Queue a run of label mapping rules, for the same worker."""
        body = msgspec.json.encode({"org_id": org_id, "label_mapping_id": run_id}).decode()
        self._client.send_message(QueueUrl=self._urls.traffic, MessageBody=body)

    def run_report(self, org_id: OrgId, report_id: str) -> None:
        """Queue a report that is to be made, for the same worker."""
        body = msgspec.json.encode({"org_id": org_id, "report_id": report_id}).decode()
        self._client.send_message(QueueUrl=self._urls.traffic, MessageBody=body)
