"""Links, addresses and default gateways of this network namespace, by rtnetlink."""

import errno
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from msgspec import Struct

from ven.core.kernel import Drained
from ven.edge.netlink import (
    NETLINK_ROUTE,
    Message,
    NetlinkError,
    NetlinkSocket,
    attribute,
    attributes,
)
from ven_protocol.messages import Interface

Kind = Literal["ethernet", "wireless", "vpn", "bridge", "virtual", "loopback", "other"]
LinkState = Literal["up", "down", "unknown"]

# linux/rtnetlink.h, linux/if_link.h, linux/if_addr.h
_GETLINK, _GETADDR, _GETROUTE, _GETNSID = 18, 22, 26, 90
_GROUPS = (1, 5, 7, 9, 11)  # links, IPv4 addresses and routes, IPv6 addresses and routes
_IFLA_IFNAME, _IFLA_OPERSTATE, _IFLA_LINKINFO, _IFLA_INFO_KIND = 3, 16, 18, 1
_IFLA_LINK_NETNSID = 37
_NETNSA_NSID, _NETNSA_FD = 1, 3
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RTA_OIF, _RTA_GATEWAY, _RTA_PRIORITY, _RTA_MULTIPATH, _RTA_VIA = 4, 5, 6, 9, 18
_IFF_UP, _IFF_LOOPBACK, _IFF_RUNNING = 0x1, 0x8, 0x40
_OPERATIONALLY_UP, _OPERATIONALLY_UNKNOWN = 6, 0
_RTN_UNICAST = 1

_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")
_ROUTE = struct.Struct("=BBBBBBBBI")
_NEXT_HOP = struct.Struct("=HBBi")

SYSFS = Path("/sys/class/net")
"""What the kernel says of each device beside netlink."""

_ETHER = 1
_VPN_KINDS = frozenset(
    ("tun", "wireguard", "ovpn", "ppp", "l2tp", "ipsec", "xfrm", "vti", "vti6")
) | frozenset(("ipip", "ip6tnl", "gre", "gretap", "ip6gre", "sit"))
_VPN_TYPES = frozenset((512, 768, 769, 776, 778, 823, 65534))
"""ARPHRD_PPP, TUNNEL, TUNNEL6, SIT, IPGRE, IP6GRE, NONE."""
_WIRED_KINDS = frozenset(("bond", "team", "vlan", ""))
"""They carry a real network; no kind at all is hardware."""


class _Link(Struct, frozen=True):
    name: str
    state: LinkState
    kind: Kind


class Pairs(Struct, frozen=True):
    """This network's ends of pairs of links."""

    behind: dict[int, int | None]
    """Index to the number (as this network counts) of the network where the other end is."""
    uplinks: frozenset[int]
    """Those that a default route uses."""


class InterfaceEvents:
    """Tells that something about links, addresses or routes changed, from now on."""

    def __init__(self) -> None:
        self._netlink = NetlinkSocket(NETLINK_ROUTE, groups=_GROUPS)

    def fileno(self) -> int:
        """Descriptor to wait on."""
        return self._netlink.fileno()

    def drain(self, limit: int = 2000) -> Drained[None]:
        """One item when anything changed; what did is read again."""
        changed = False
        for _ in range(limit):
            try:
                if self._netlink.receive() is None:
                    return Drained([None] if changed else [])
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
            changed = True
        return Drained([None], more=True)

    def close(self) -> None:
        """Stop listening."""
        self._netlink.close()


def read_interfaces() -> list[Interface]:
    """Every address of the host, sorted by interface name and address; under a millisecond."""
    netlink = NetlinkSocket(NETLINK_ROUTE)
    try:
        links = {index: link for index, link in map(_link, _dump(netlink, _GETLINK)) if link}
        gateways = _default_gateways(_dump(netlink, _GETROUTE))
        found = [
            interface
            for message in _dump(netlink, _GETADDR)
            if (interface := _interface(message, links, gateways))
        ]
    finally:
        netlink.close()
    return sorted(found, key=lambda interface: (interface.name, interface.address))


def read_container_links() -> list[str]:
    """Names, sorted, of the links behind which this host's containers are: made by software (a
    bridge, the host's end of a pair), and not the way to the rest of the world."""
    netlink = NetlinkSocket(NETLINK_ROUTE)
    try:
        links = {index: link for index, link in map(_link, _dump(netlink, _GETLINK)) if link}
        uplinks = {index for _family, index in _default_gateways(_dump(netlink, _GETROUTE))}
    finally:
        netlink.close()
    return sorted(
        link.name
        for index, link in links.items()
        if link.kind in ("bridge", "virtual") and index not in uplinks
    )


def read_pairs() -> Pairs:
    """Ends of pairs. Raises OSError when they change all the time. Half a millisecond for 100
    links."""
    netlink = NetlinkSocket(NETLINK_ROUTE)
    try:
        messages = _dump(netlink, _GETLINK)
        uplinks = {index for _family, index in _default_gateways(_dump(netlink, _GETROUTE))}
    finally:
        netlink.close()
    if not messages:
        raise OSError(errno.EINTR, "the list of links changed while it was read")
    behind: dict[int, int | None] = {}
    for message in messages:
        _family, _hardware, index, _flags, _change = _LINK.unpack_from(message.body)
        found = dict(attributes(message.body, _LINK.size))
        if _software(found) == "veth":
            number = found.get(_IFLA_LINK_NETNSID)
            behind[index] = struct.unpack("=i", number)[0] if number else None
    return Pairs(behind, frozenset(uplinks & behind.keys()))


def number_of_network(descriptor: int) -> int | None:
    """How this network counts another, open as ``descriptor``; None while no link leads there.
    20 microseconds."""
    netlink = NetlinkSocket(NETLINK_ROUTE)
    try:
        request = bytes(4) + attribute(_NETNSA_FD, struct.pack("=I", descriptor))
        answer = netlink.request(_GETNSID, 0, request)
    finally:
        netlink.close()
    number = dict(attributes(answer.body, 4)).get(_NETNSA_NSID) if answer else None
    found = struct.unpack("=i", number)[0] if number else -1
    return found if found >= 0 else None


def _dump(netlink: NetlinkSocket, kind: int) -> list[Message]:
    header = struct.pack("=B3x12x", socket.AF_UNSPEC)
    for _attempt in range(3):
        try:
            return list(netlink.dump(kind, header))
        except NetlinkError as error:
            if error.errno != errno.EINTR:
                raise
    # It changes all the time; the change that comes last is followed by a quiet read.
    return []


def _link(message: Message) -> tuple[int, _Link | None]:
    _family, hardware, index, flags, _change = _LINK.unpack_from(message.body)
    found = dict(attributes(message.body, _LINK.size))
    if _IFLA_IFNAME not in found:
        return index, None
    name = found[_IFLA_IFNAME].rstrip(b"\0").decode(errors="replace")
    software = _software(found)
    operational = found.get(_IFLA_OPERSTATE, b"\0")[0]
    return index, _Link(name, _state(flags, operational), _kind(name, flags, hardware, software))


def _software(found: dict[int, bytes]) -> str:
    """What kind of link software made; "" for hardware."""
    info = dict(attributes(found.get(_IFLA_LINKINFO, b"")))
    return info.get(_IFLA_INFO_KIND, b"").rstrip(b"\0").decode(errors="replace")


def _state(flags: int, operational: int) -> LinkState:
    if not flags & _IFF_UP:
        return "down"
    if operational == _OPERATIONALLY_UP:
        return "up"
    if operational == _OPERATIONALLY_UNKNOWN:  # loopback and tunnels do not tell
        return "up" if flags & _IFF_RUNNING else "unknown"
    return "down"


def _kind(name: str, flags: int, hardware: int, software: str) -> Kind:
    if flags & _IFF_LOOPBACK:
        return "loopback"
    if software == "tun" and hardware == _ETHER:
        return "virtual"  # a tap device: virtual machines use them, VPN clients rarely
    if software in _VPN_KINDS or hardware in _VPN_TYPES:
        return "vpn"
    if software == "bridge":
        return "bridge"
    if software not in _WIRED_KINDS:
        return "virtual"
    directory = SYSFS / name
    if (directory / "wireless").exists() or (directory / "phy80211").exists():
        return "wireless"
    return "ethernet" if hardware == _ETHER else "other"


def _interface(
    message: Message, links: dict[int, _Link], gateways: dict[tuple[int, int], str]
) -> Interface | None:
    family, length, _flags, _scope, index = _ADDRESS.unpack_from(message.body)
    found = dict(attributes(message.body, _ADDRESS.size))
    # On a point-to-point link the address is the other end's, the local one is ours.
    packed = found.get(_IFA_LOCAL) or found.get(_IFA_ADDRESS)
    link = links.get(index)
    if packed is None or link is None or family not in (socket.AF_INET, socket.AF_INET6):
        return None
    return Interface(
        name=link.name,
        address=socket.inet_ntop(family, packed),
        cidr_block=length,
        default_gateway_address=gateways.get((family, index)),
        link_state=link.state,
        loopback=link.kind == "loopback",
        kind=link.kind,
    )


def _default_gateways(routes: list[Message]) -> dict[tuple[int, int], str]:
    """(family, interface index) -> gateway of its default route with the lowest metric."""
    best: dict[tuple[int, int], tuple[int, str]] = {}
    for message in routes:
        family, length, _source, _tos, _table, _proto, _scope, kind, _ = _ROUTE.unpack_from(
            message.body
        )
        if length != 0 or kind != _RTN_UNICAST:
            continue
        found = dict(attributes(message.body, _ROUTE.size))
        (metric,) = struct.unpack("=I", found.get(_RTA_PRIORITY, b"\0\0\0\0"))
        for index, gateway in _hops(family, found):
            key = family, index
            if key not in best or metric < best[key][0]:
                best[key] = metric, gateway
    return {key: gateway for key, (_metric, gateway) in best.items()}


def _hops(family: int, route: dict[int, bytes]) -> Iterator[tuple[int, str]]:
    if _RTA_OIF in route:
        (index,) = struct.unpack("=I", route[_RTA_OIF])
        gateway = _gateway(family, route)
        if gateway:
            yield index, gateway
    hops = route.get(_RTA_MULTIPATH, b"")
    while len(hops) >= _NEXT_HOP.size:
        length, _flags, _weight, index = _NEXT_HOP.unpack_from(hops)
        if length < _NEXT_HOP.size:
            return
        gateway = _gateway(family, dict(attributes(hops, _NEXT_HOP.size, length)))
        if gateway:
            yield index, gateway
        hops = hops[(length + 3) & ~3 :]


def _gateway(family: int, found: dict[int, bytes]) -> str:
    if _RTA_GATEWAY in found:
        return socket.inet_ntop(family, found[_RTA_GATEWAY])
    via = found.get(_RTA_VIA)  # an IPv4 route through an IPv6 router
    if via is None:
        return ""
    (via_family,) = struct.unpack_from("=H", via)
    return socket.inet_ntop(via_family, via[2:])
