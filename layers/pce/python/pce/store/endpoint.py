"""Where an AWS service is, and as whom to speak to it. Apart, so that settings import little."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Credentials:
    """An access key. On Lambda it is fixed for an environment's life, and outlives it."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One service in one region."""

    region: str
    credentials: Credentials
    url: str = ""
    """``http[s]://host[:port]``; empty for AWS's own."""
    ca_file: str = ""
    """Certificates to trust, in place of the machine's."""
