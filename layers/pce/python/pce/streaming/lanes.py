"""How far one destination has got in one source, and when to try again. Pure."""

from dataclasses import dataclass, replace

from pce.identifiers import OrgId

ARCHIVE = "archive"
"""The destination that every org has: the bucket, through Firehose."""

FIRST_RETRY_S = 30
LONGEST_RETRY_S = 600
"""A destination that comes back is noticed within ten minutes."""

MAX_ERROR = 500
"""Characters of an error that are kept."""


@dataclass(frozen=True, slots=True)
class Lane:
    """One destination's way through one source. Workers of a lane run one at a time."""

    org_id: OrgId
    destination: str
    """``archive``, or the id of a syslog destination."""
    source: str
    """One of ``pce.streaming.records.SOURCES``."""

    @property
    def name(self) -> str:
        """``1/archive/events``."""
        return f"{self.org_id}/{self.destination}/{self.source}"

    @classmethod
    def named(cls, name: str) -> "Lane":
        """The lane of a name."""
        org_id, destination, source = name.split("/")
        return cls(OrgId(int(org_id)), destination, source)


@dataclass(frozen=True, slots=True)
class Progress:
    """What a lane remembers."""

    position: str
    """Sort key of the last thing delivered; what comes after it is the backlog."""
    delivered: int = 0
    """Records so far; the next one's sequence number."""
    failing_since: int = 0
    """Epoch seconds of the first failure in a row; 0 when the last try went well."""
    attempts: int = 0
    """Failures in a row."""
    retry_at: int = 0
    """Epoch seconds before which there is no other try."""
    error: str = ""

    def past(self, position: str, records: int) -> "Progress":
        """After a delivery."""
        return Progress(position, self.delivered + records)

    def failed(self, now: int, why: str) -> "Progress":
        """After a failure: 30, 60, 120, ... at most 600 seconds until the next try."""
        wait_s = min(FIRST_RETRY_S * 2**self.attempts, LONGEST_RETRY_S)
        return replace(
            self,
            failing_since=self.failing_since or now,
            attempts=min(self.attempts + 1, 32),
            retry_at=now + wait_s,
            error=why[:MAX_ERROR],
        )
