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
        machine_id=machine_id(),
        boot_id=_boot_id(),
    )


def machine_id() -> str:
    """Stable identity of this machine, by which a clone can be told from its original: that of the
    installation, which copies of a disk share, and that of the hardware or virtual machine, where
    there is one. Empty if none."""
    for path in (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id")):
        if installation := _read(path):
            hardware = _read(Path("/sys/class/dmi/id/product_uuid"))
            return "/".join(filter(None, (installation, hardware)))[:128]
    return ""


def _boot_id() -> str:
    return _read(Path("/proc/sys/kernel/random/boot_id"))[:64]


def _read(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text().strip()
    return ""


def uptime_s() -> int:
    """Seconds since the host started."""
    return int(Path("/proc/uptime").read_text().split()[0].split(".")[0])


def _os_release() -> dict[str, str]:
    with contextlib.suppress(OSError):
        return platform.freedesktop_os_release()
    return {}
