"""A support report: what a person needs to see of a VEN that misbehaves, and no secrets."""

import hashlib
import io
import platform
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ven.configuration import VERSION, Identity
from ven.core.kernel import Kernel
from ven.edge.files import DataDirectory
from ven.edge.http import Pce, upload
from ven_protocol.messages import SupportReportRequest

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class SupportReport:
    """A report on disk: a gzipped tar file."""

    path: Path
    size_bytes: int
    sha256: str

    def upload(self, pce: Pce, identity: Identity, action_id: str = "") -> None:
        """Ask the PCE where to, and put it there; raises as :func:`ven.edge.http.upload`."""
        request = SupportReportRequest(
            size_bytes=self.size_bytes, sha256=self.sha256, action_id=action_id
        )
        upload(pce.support_report(request), self.path, identity.ca_file)


def send(
    data: DataDirectory, kernel: Kernel, identity: Identity, pce: Pce, action_id: str = ""
) -> None:
    """Write a report and upload it; ``action_id`` names the PCE's request for it. Blocking.
    Raises as a request does."""
    with tempfile.TemporaryDirectory(prefix="report-", dir=data.path) as folder:
        report = write(Path(folder) / "support_report.tar.gz", data, kernel, identity)
        report.upload(pce, identity, action_id)


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
