"""The two Firehose streams that fill the archive: summaries and audit events."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pce.store.aws import aws_client
from pce.store.delivery import Undelivered

MAX_RECORDS = 500
MAX_BATCH_BYTES = 4_000_000
"""What PutRecordBatch takes at once: 500 records, 4 MiB with what surrounds them."""


@dataclass(frozen=True, slots=True)
class StreamNames:
    """Names of the delivery streams; empty where there is no archive."""

    summaries: str = ""
    auditable: str = ""


class ArchiveStreams:
    """Puts pieces (``pce.streaming.archive_object``) into the streams."""

    def __init__(self, names: StreamNames, region: str) -> None:
        self._names = names
        self._region = region

    @property
    def exists(self) -> bool:
        """Whether this deployment has an archive."""
        return bool(self._names.summaries and self._names.auditable)

    def put_summaries(self, pieces: Sequence[bytes]) -> None:
        """Put pieces of flow summaries. Firehose has stored what it took before it answers.

        Raises :class:`Undelivered` when it refuses any; the others are in the archive then, and
        will be twice.
        """
        self._put(self._names.summaries, pieces)

    def put_events(self, pieces: Sequence[bytes]) -> None:
        """Put pieces of audit events; as :meth:`put_summaries`."""
        self._put(self._names.auditable, pieces)

    def _put(self, stream: str, pieces: Sequence[bytes]) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        for batch in _batches(pieces):
            records = [{"Data": piece} for piece in batch]
            try:
                reply = self._client.put_record_batch(DeliveryStreamName=stream, Records=records)
            except (BotoCoreError, ClientError) as error:
                raise Undelivered(f"Firehose stream {stream}: {error}") from error
            if failed := reply.get("FailedPutCount"):
                codes = {r["ErrorCode"] for r in reply["RequestResponses"] if "ErrorCode" in r}
                named = ", ".join(sorted(codes))
                raise Undelivered(f"Firehose stream {stream} refused {failed} records: {named}")

    @cached_property
    def _client(self) -> Any:
        return aws_client("firehose", self._region)


def _batches(pieces: Sequence[bytes]) -> list[list[bytes]]:
    batches: list[list[bytes]] = []
    size = MAX_BATCH_BYTES
    for piece in pieces:
        if size + len(piece) > MAX_BATCH_BYTES or len(batches[-1]) == MAX_RECORDS:
            batches.append([])
            size = 0
        batches[-1].append(piece)
        size += len(piece)
    return batches
