"""What on this host may get in the way of policy: others' firewalls, forwarding, IPsec, what is
missing. Read only; of this network namespace."""

import errno
import os
import re
import shutil
import socket
import struct
from collections.abc import Iterable
from ipaddress import IPv6Address
from pathlib import Path

from ven.core.table import TABLE
from ven.edge import nft_messages as nft
from ven.edge.netlink import (
    NETLINK_NETFILTER,
    NETLINK_XFRM,
    NetlinkError,
    NetlinkSocket,
    netfilter_header,
)
from ven.edge.sockets import connected_sockets
from ven_protocol.messages import CompatibilityReport

OLDEST_KERNEL = (4, 17)
"""``ct original ip saddr`` in a rule needs it."""
FIREWALL_SERVICES = (
    *("firewalld", "ufw", "nftables", "iptables", "ip6tables"),
    *("netfilter-persistent", "shorewall", "ferm"),
)
"""systemd units that write rules of their own, at a start or later."""

_XFRM_GETPOLICY = 21  # linux/xfrm.h
_XFRM_POLICY_BYTES, _XFRM_INDEX_AT = 168, 156
_FIRST_SOCKET_DIRECTION = 3
"""Policies of single sockets say nothing of the host."""

_SO_GET_INFO = 64  # linux/netfilter_ipv4/ip_tables.h
_INFO = struct.Struct("=32sI5I5III")
"""struct ipt_getinfo: name, hooks, their entries, their ends, number of entries, bytes."""


def read_compatibility(root: Path = Path("/")) -> CompatibilityReport:
    """The host as it is now. 2 ms, and 10 microseconds for each rule of others and each open
    connection. ``root``: where /proc and /run are."""
    missing = [] if _recent(os.uname().release) else [f"Linux {'.'.join(map(str, OLDEST_KERNEL))}"]
    if shutil.which("nft") is None:
        missing.append("nftables")
    ipv4, ipv6, untracking = 0, 0, 0
    try:
        ipv4, ipv6, untracking = _nft_rules()
    except OSError:
        missing.append("nf_tables")
    proc = root / "proc"
    names = proc / "thread-self/net"
    snmp = _text(names / "snmp")
    return CompatibilityReport(
        ipv4_rules=ipv4 + _legacy_rules(socket.AF_INET, _text(names / "ip_tables_names")),
        ipv6_rules=ipv6 + _legacy_rules(socket.AF_INET6, _text(names / "ip6_tables_names")),
        untracking_rules=untracking,
        firewall_services=[
            name
            for name in FIREWALL_SERVICES
            if os.path.lexists(root / f"run/systemd/units/invocation:{name}.service")
        ],
        ipv4_forwarding=_text(proc / "sys/net/ipv4/ip_forward").strip() == "1",
        ipv4_forwarded_packets=about(forwarded(snmp)),
        ipv6_connections=about(sum(1 for _ in _ipv6_peers())),
        ipsec=_has_ipsec_policy(),
        missing=missing,
    )


def about(count: int) -> int:
    """Rounded down to a power of ten, so that a host in use is not reported again and again."""
    return 10 ** (len(str(count)) - 1) if count else 0


def forwarded(snmp: str) -> int:
    """IPv4 packets that the host passed on since its start, of ``/proc/net/snmp``."""
    lines = [line.split() for line in snmp.splitlines() if line.startswith("Ip:")]
    if len(lines) != 2:
        return 0
    return int(dict(zip(*lines, strict=True)).get("ForwDatagrams", 0))


def _recent(release: str) -> bool:
    found = re.match(r"(\d+)\.(\d+)", release)
    return found is None or (int(found[1]), int(found[2])) >= OLDEST_KERNEL


def _nft_rules() -> tuple[int, int, int]:
    """Rules in tables of others that see IPv4 and that see IPv6, chains that drop counted as
    one; and how many take packets away from connection tracking. Raises OSError."""
    ipv4 = ipv6 = untracking = 0
    netlink = NetlinkSocket(NETLINK_NETFILTER)
    try:
        for kind in (nft.GETRULE, nft.GETCHAIN):
            for body in _bodies(netlink, kind):
                family, table = body[0], nft.table_of(body)
                if family == socket.AF_INET6:
                    sees = (0, 1)
                elif family in (nft.FAMILY_INET, socket.AF_INET):
                    sees = (1, int(family == nft.FAMILY_INET))
                else:
                    continue  # bridges, ARP
                ours = family == nft.FAMILY_INET and table == TABLE
                if ours or (kind == nft.GETCHAIN and not nft.drops_by_default(body)):
                    continue
                ipv4 += sees[0]
                ipv6 += sees[1]
                untracking += kind == nft.GETRULE and "notrack" in nft.expressions_of(body)
    finally:
        netlink.close()
    return ipv4, ipv6, untracking


def _bodies(netlink: NetlinkSocket, kind: int) -> Iterable[bytes]:
    try:
        for message in netlink.dump(kind, netfilter_header()):
            yield message.body
    except NetlinkError as error:
        if error.errno != errno.EINTR:  # changed meanwhile: the next look is soon enough
            raise


def _legacy_rules(family: int, tables: str) -> int:
    """Rules of the older iptables, which nftables does not show. A chain of somebody's own counts
    as two."""
    if not tables.split():
        return 0
    import ctypes  # hardly any host needs it

    level = socket.IPPROTO_IP if family == socket.AF_INET else socket.IPPROTO_IPV6
    ask = ctypes.CDLL(None, use_errno=True).getsockopt
    count = 0
    with socket.socket(family, socket.SOCK_DGRAM) as any_socket:
        for name in tables.split():
            answer = ctypes.create_string_buffer(_INFO.pack(name.encode()[:31], *[0] * 13))
            length = ctypes.c_uint32(_INFO.size)
            if ask(any_socket.fileno(), level, _SO_GET_INFO, answer, ctypes.byref(length)):
                count += 1  # it is there, and more is not told
                continue
            _, hooks, *rest = _INFO.unpack(answer.raw[: _INFO.size])
            count += max(0, rest[10] - hooks.bit_count() - 1)
    return count


def _ipv6_peers() -> Iterable[bytes]:
    """Of connections that are open, but for those of the host with itself."""
    for connection in connected_sockets():
        for address in (connection.src, connection.dst):
            if len(address) != 16 or IPv6Address(address).is_loopback:
                break
        else:
            yield connection.src


def _has_ipsec_policy() -> bool:
    """Whether the kernel encrypts some traffic, or lets it in encrypted only."""
    netlink = NetlinkSocket(NETLINK_XFRM)
    try:
        for message in netlink.dump(_XFRM_GETPOLICY, bytes(64)):
            (index,) = struct.unpack_from("=I", message.body, _XFRM_INDEX_AT)
            if len(message.body) >= _XFRM_POLICY_BYTES and index & 7 < _FIRST_SOCKET_DIRECTION:
                return True
    except OSError:
        pass  # a kernel without IPsec
    finally:
        netlink.close()
    return False


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
