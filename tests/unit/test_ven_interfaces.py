"""What kind of network an interface leads to."""

from pathlib import Path

import pytest

from ven.edge import interfaces

UP, LOOPBACK = 0x1, 0x8
ETHERNET, PPP, NONE = 1, 512, 65534


@pytest.mark.parametrize(
    ("name", "flags", "hardware", "software", "kind"),
    [
        ("lo", UP | LOOPBACK, 772, "", "loopback"),
        ("eth0", UP, ETHERNET, "", "ethernet"),
        ("bond0", UP, ETHERNET, "bond", "ethernet"),
        ("wlan0", UP, ETHERNET, "", "wireless"),
        ("wlp3s0", UP, ETHERNET, "", "wireless"),
        ("tun0", UP, NONE, "tun", "vpn"),
        ("wg0", UP, NONE, "wireguard", "vpn"),
        ("ppp0", UP, PPP, "", "vpn"),
        ("gre1", UP, 778, "gre", "vpn"),
        ("tap0", UP, ETHERNET, "tun", "virtual"),
        ("docker0", UP, ETHERNET, "bridge", "bridge"),
        ("veth1", UP, ETHERNET, "veth", "virtual"),
    ],
)
def test_kinds_of_interfaces(
    name: str,
    flags: int,
    hardware: int,
    software: str,
    kind: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Wireless by what the driver puts into sysfs, VPNs by link and hardware type."""
    (tmp_path / "wlan0" / "wireless").mkdir(parents=True)
    (tmp_path / "wlp3s0" / "phy80211").mkdir(parents=True)
    monkeypatch.setattr(interfaces, "SYSFS", tmp_path)
    assert interfaces._kind(name, flags, hardware, software) == kind
