"""What one local host is told when it starts."""

from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
"""The checkout that this package is a part of."""

REGION = "us-east-1"
"""The emulated region; handlers see it as AWS_REGION."""

ACCOUNT = "123456789012"
"""The emulated account, as the store names it in ARNs and queue URLs."""


class StartError(Exception):
    """The host cannot start (or go on); the message says what was wrong and what to do."""


@dataclass(frozen=True, slots=True)
class HostConfig:
    """Everything that may differ between two hosts on one machine."""

    port: int
    state_dir: Path
    bind: str = "127.0.0.1"
    """Address to listen on; not more than this machine unless asked."""
    hostname: str = "localhost"
    """Name (or address) by which clients reach this host; in the URLs and the certificate."""
    heartbeat_interval_s: int = 300
    flow_interval_s: int = 600
    sweep_interval_s: int = 60
    functions_dir: Path = REPOSITORY / "functions"
    """Holds ``<name>/handler.py``; tests pass their own."""
    bolt_idle_s: float = 10 * 60
    """API Gateway closes a WebSocket without messages after 10 minutes; only tests change it."""
    bolt_life_s: float = 2 * 60 * 60
    """API Gateway closes every WebSocket after 2 hours; only tests change it."""
    handler_timeout_s: float = 30
    """API Gateway's integration time-out, not adjustable on HTTP APIs; only tests change it."""

    @property
    def authority(self) -> str:
        """``host:port`` for URLs; IPv6 addresses are bracketed."""
        host = f"[{self.hostname}]" if ":" in self.hostname else self.hostname
        return f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """Public base URL of the HTTP API."""
        return f"https://{self.authority}"

    @property
    def bolts_url(self) -> str:
        """Public URL of the WebSocket API."""
        return f"wss://{self.authority}/bolts"

    @property
    def archive_url(self) -> str:
        """Public S3 endpoint for presigned URLs (path-style)."""
        return f"https://{self.authority}/archive"
