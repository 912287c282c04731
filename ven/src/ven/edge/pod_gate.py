"""The gate in front of pods: links of this host that are ends of pairs are closed until admitted.

Two tables ``ven_pods``, for what the host routes (``inet``) and for what a bridge forwards
(``bridge``), look at the kind of the link alone, so a link is closed from the instant that the
kernel knows it and nobody has to be quick. Neighbour discovery passes, as under full enforcement.
Both change in one transaction. They stay when the VEN stops or is killed.

Links that are no pairs (macvlan, ipvlan, devices handed to a pod) and network plug-ins that hand
packets over before netfilter (eBPF redirects) are not seen here.
"""

import contextlib
import json
import socket
import subprocess
from collections.abc import Iterable

from ven.core.kernel import KernelRefused
from ven.edge import nft_messages as nft
from ven.edge.netlink import NETLINK_NETFILTER, NetlinkSocket, netfilter_header

GATE = "ven_pods"
_FAMILIES = ("inet", "bridge")
_FIRST, _LAST = -450, 450
"""Priorities before and after everybody else's."""

NFT_TIMEOUT_S = 60
"""As for the VEN's own table."""


class PodGate:
    """This network namespace's gate. Needs CAP_NET_ADMIN."""

    def __init__(self) -> None:
        self._held: frozenset[int] | None = None
        self._text = ""
        self._generation = -1
        self._netlink = NetlinkSocket(NETLINK_NETFILTER)

    @property
    def up(self) -> bool:
        """Whether it holds anything back now."""
        return self._held is not None

    def admitted(self) -> frozenset[int] | None:
        """Indexes of the links that the kernel admits; None when there is no gate. 10 ms."""
        listed = _nft("-j", "list", "set", "inet", GATE, "admitted")
        if listed is None:
            return None
        [links] = (entry["set"] for entry in json.loads(listed)["nftables"] if "set" in entry)
        return frozenset(filter(None, map(_index, links.get("elem", ()))))

    def hold(self, admitted: frozenset[int]) -> None:
        """Admit exactly these links. Raises KernelRefused. 20 ms when it differs from what is
        held."""
        if admitted != self._held:
            _load("".join(_table(family, admitted) for family in _FAMILIES))
            self._held, self._text = admitted, _listing()

    def intact(self) -> bool:
        """Whether the gate is as it was left; one that is not is made anew by :meth:`hold`. 20
        microseconds while nobody changes nftables, else 10 ms."""
        answer = self._netlink.request(nft.GETGEN, 0, netfilter_header())
        generation = nft.generation(answer.body)[0] if answer else -1
        if self._held is None or generation == self._generation:
            return True
        if _listing() == self._text:
            self._generation = generation
            return True
        self._held = None
        return False

    def close(self) -> None:
        """Give the socket back; the gate stays."""
        self._netlink.close()

    def remove(self) -> None:
        """Take it away; does nothing when it is not there. Raises KernelRefused."""
        self._held = None
        _load("".join(f"add table {f} {GATE}\ndelete table {f} {GATE}\n" for f in _FAMILIES))


def _table(family: str, admitted: Iterable[int]) -> str:
    links = ", ".join(map(str, sorted(admitted)))
    members = f"add element {family} {GATE} admitted {{ {links} }}\n" if links else ""
    passing = "ether type arp accept\n        " if family == "bridge" else ""
    return f"""
add table {family} {GATE}
delete table {family} {GATE}
table {family} {GATE} {{
    set admitted {{
        type iface_index
    }}
    chain closed {{
        {passing}{_DISCOVERY}
        drop
    }}
    chain arriving {{
        type filter hook prerouting priority {_FIRST}; policy accept;
        meta iifkind "veth" iif != @admitted jump closed
    }}
    chain leaving {{
        type filter hook postrouting priority {_LAST}; policy accept;
        meta oifkind "veth" oif != @admitted jump closed
    }}
}}
{members}"""


_DISCOVERY = (
    "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, nd-router-advert }"
    " ip6 hoplimit 255 accept"
)


def _index(listed: str) -> int | None:
    """Of a link as nft names it: by its name, or its number when it is gone."""
    with contextlib.suppress(OSError):
        return socket.if_nametoindex(listed)
    return int(listed) if listed.isdecimal() else None


def _listing() -> str:
    return "".join(_nft("--stateless", "list", "table", f, GATE) or "" for f in _FAMILIES)


def _load(script: str) -> None:
    done = _run("-f", "-", script=script)
    if done.returncode != 0:
        raise KernelRefused(f"the gate in front of pods: {done.stderr.strip()}")


def _nft(*words: str) -> str | None:
    done = _run(*words)
    return done.stdout if done.returncode == 0 else None


def _run(*words: str, script: str | None = None) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ("nft", *words),
            input=script,
            capture_output=True,
            text=True,
            timeout=NFT_TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError:
        raise KernelRefused("the program 'nft' is not installed: install nftables") from None
    except subprocess.TimeoutExpired:
        raise KernelRefused(f"nft did not end within {NFT_TIMEOUT_S} s") from None
