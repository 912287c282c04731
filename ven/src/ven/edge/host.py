"""What there is to know of the host: names, versions, identity, uptime."""

import contextlib
import platform
import socket
from pathlib import Path

from ven.configuration import VERSION
from ven_protocol.messages import HostFacts


def host_facts(hostname: str = "", public_ip: str = "") -> HostFacts:
    """The host as it is now; ``hostname`` overrides its own name (simulated hosts)."""
    release = _os_release()
    name = release.get("ID", "linux")
    version = release.get("VERSION_ID", "")
    system = platform.uname()
    return HostFacts(
        hostname=(hostname or socket.gethostname())[:255],
        os_id="-".join(part for part in (name, version, system.machine) if part)[:255],
        os_detail=f"{system.release} {system.version} ({release.get('PRETTY_NAME', name)})"[:1024],
        version=VERSION,
        public_ip=public_ip or None,
    )


def machine_id() -> str:
    """Stable identity of this installation, by which a clone can be noticed; empty if none."""
    for path in (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id")):
        with contextlib.suppress(OSError):
            return path.read_text().strip()[:128]
    return ""


def uptime_s() -> int:
    """Seconds since the host started."""
    return int(Path("/proc/uptime").read_text().split()[0].split(".")[0])


def _os_release() -> dict[str, str]:
    with contextlib.suppress(OSError):
        return platform.freedesktop_os_release()
    return {}
