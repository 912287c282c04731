"""What the kernel counts by itself: sets that packets fill, as nft text; pure.

Theory: an element with a counter costs the kernel half a microsecond, whatever the rate, and is
read once for all its packets. So counts are exact where telling each packet or connection to the
VEN would cost too much:

- ``drops``: refused packets above the logging rate;
- ``begun``: new connections that are *untold* in sampling mode (``ven.core.sampling``);
- ``users``: which local user opened connections to which service. It counts nothing: its elements
  are facts that are looked up.

The first two are pairs of groups, ``a`` and ``b``: while one is read, the other is filled. A dump
that resets counters loses some (kernel 6.18).

Sources can be forged, so every set has a size. A full set ends the rule that would have added to
it. For drops the verdict is therefore in another rule; and a new connection becomes untold behind
the counting, in the same rule, so that one which could not be counted is told.
"""

from typing import Literal

from ven.core.mark import OUTBOUND, UNTOLD, VERDICT_MASK
from ven.core.services import FAMILIES, PORT_PROTOCOLS, Family

SIDES = ("a", "b")
Counted = Literal["drops", "begun"]
COUNTED: tuple[Counted, ...] = ("drops", "begun")

MAX_KEYS = 65_536
"""Distinct (verdict, source, destination, protocol, service) of one set between two readings;
8 MiB of kernel memory when full, half a second to read."""
MAX_USER_KEYS = 4_096
"""Distinct (user, destination, protocol, service): 30 ms to read."""
LIFETIME = "15m"
"""Of an element: longer than the longest time between two readings, a flow interval of 10
minutes."""

TELL_ONE_IN = 64
"""Connections of which one is told in sampling mode, at random. At 14,000 a second 220 a second,
which is as many as refused packets are logged."""

_KEY_MASK = VERDICT_MASK | OUTBOUND
_PORTED = f"meta l4proto {{ {', '.join(map(str, PORT_PROTOCOLS))} }}"
_ICMP = "meta l4proto { icmp, ipv6-icmp }"
_OTHERS = f"meta l4proto != {{ {', '.join(map(str, (*PORT_PROTOCOLS, 1, 58)))} }}"
_ASKED = ((_PORTED, "@th,16,16"), (_ICMP, "@th,0,16"), (_OTHERS, "0"))
"""Which packets, and their service: the port of the responder, or ICMP type and code. Of a packet
from the connection's initiator."""
_ANY_WAY = (
    (f"{_PORTED} ct direction original", "@th,16,16"),
    (f"{_PORTED} ct direction reply", "@th,0,16"),
    *_ASKED[1:],
)


def counting_set(counted: Counted, family: Family, side: str) -> str:
    """Name of a set that counts."""
    return f"{counted}{family}_{side}"


def user_set(family: Family) -> str:
    """Name of the set of users and the services that they use."""
    return f"users{family}"


def kept_sets() -> frozenset[str]:
    """All sets of this module: a new policy leaves them as they are."""
    counting = {counting_set(c, f, side) for c in COUNTED for f, _ in FAMILIES for side in SIDES}
    return frozenset(counting | {user_set(family) for family, _ in FAMILIES})


def counting_sets() -> str:
    """The sets, empty."""
    lines = [
        f"    set {counting_set(counted, family, side)} {{"
        f" type mark . ipv{family}_addr . ipv{family}_addr . inet_proto . inet_service;"
        f" size {MAX_KEYS}; flags dynamic,timeout; timeout {LIFETIME}; }}"
        for counted in COUNTED
        for side in SIDES
        for family, _ip in FAMILIES
    ]
    lines += [
        f"    set {user_set(family)} {{"
        f" type uid . ipv{family}_addr . inet_proto . inet_service;"
        f" size {MAX_USER_KEYS}; flags dynamic,timeout; timeout {LIFETIME}; }}"
        for family, _ip in FAMILIES
    ]
    return "\n".join(lines)


def counting_chains() -> str:
    """``drops_a`` and ``drops_b`` are jumped to with a refused packet, ``begun_a`` and ``begun_b``
    with the first packet of a connection that passes, ``used`` with that of one from this host."""
    chains = []
    for side in SIDES:
        chains.append(_chain(f"drops_{side}", _updates("drops", side, _ANY_WAY)))
        chains.append(
            _chain(
                f"begun_{side}",
                [
                    # The host with itself is nobody's flow: nothing to count, nothing to tell.
                    f"oif lo {_HUSH}",
                    f"numgen random mod {TELL_ONE_IN} == 0 return",
                    *(
                        f"{update} ct mark set ct mark or {UNTOLD:#010x} {_HUSH}"
                        for update in _updates("begun", side, _ASKED)
                    ),
                ],
            )
        )
    users = [
        f"{match} update @{user_set(family)} {{"
        f" meta skuid . ct reply {ip} saddr . meta l4proto . {service} }}"
        for family, ip in FAMILIES
        for match, service in _ASKED
    ]
    return "\n".join([*chains, _chain("used", users)])


_HUSH = "ct event set label return"
"""Of this connection only changes of labels are told from now on, and nobody changes labels."""


def _updates(counted: Counted, side: str, places: tuple[tuple[str, str], ...]) -> list[str]:
    return [
        f"{match} update @{counting_set(counted, family, side)} {{"
        f" ct mark and {_KEY_MASK:#010x} . ct original {ip} saddr . ct reply {ip} saddr"
        f" . meta l4proto . {service} counter }}"
        for family, ip in FAMILIES
        for match, service in places
    ]


def _chain(name: str, lines: list[str]) -> str:
    body = "\n        ".join(lines)
    return f"    chain {name} {{\n        {body}\n    }}"
