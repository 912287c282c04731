"""A support report: what a person needs to see of a VEN that misbehaves, and no secrets."""

import hashlib
import io
import platform
import tarfile
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ven.configuration import VERSION, Identity
from ven.core.kernel import Kernel
from ven.edge.files import DataDirectory
from ven_protocol.limits import MAX_SUPPORT_REPORT_BYTES
from ven_protocol.messages import SupportReportRequest

_BLOCK_BYTES = 1 << 20


class ReportTooLarge(Exception):
    """The PCE would not take it."""


@dataclass(frozen=True)
class SupportReport:
    """A report on disk: a gzipped tar file."""

    path: Path
    size_bytes: int
    sha256: str

    def request(self, action_id: str = "") -> SupportReportRequest:
        """What the PCE is asked; ``action_id`` names its own wish for the report. Raises
        :class:`ReportTooLarge`."""
        if self.size_bytes > MAX_SUPPORT_REPORT_BYTES:
            raise ReportTooLarge(
                f"the support report has {self.size_bytes} bytes, and the PCE takes at most"
                f" {MAX_SUPPORT_REPORT_BYTES}; fetch it from the host"
                " (ven gen-supportreport --output FILE)"
            )
        return SupportReportRequest(
            size_bytes=self.size_bytes, sha256=self.sha256, action_id=action_id
        )


def write(
    target: Path, data: DataDirectory, kernel: Kernel, identity: Identity | None
) -> SupportReport:
    """Write a report to ``target``. Seconds when the logs are full."""
    with tarfile.open(target, "w:gz") as archive:
        for log in sorted((data.path / "log").glob("*.log*")):
            archive.add(log, f"log/{log.name}")
        for name in ("status.json", "policy.json", "policy.previous.json", "addresses.json"):
            if (data.path / name).exists():
                archive.add(data.path / name, name)
        _add(archive, "configuration.json", _configuration(identity))
        _add(archive, "host.txt", f"VEN {VERSION}\n{' '.join(platform.uname())}\n".encode())
        _add(archive, "firewall.txt", kernel.listing().encode())
        _add(archive, "interfaces.json", msgspec.json.encode(kernel.interfaces()))
    target.chmod(0o600)
    digest = hashlib.sha256()
    with target.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return SupportReport(target, target.stat().st_size, digest.hexdigest())


def _configuration(identity: Identity | None) -> bytes:
    if identity is None:
        return b"{}"
    shown = msgspec.structs.asdict(identity) | {"agent_token": "(left out)"}
    return msgspec.json.encode(shown)


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))
