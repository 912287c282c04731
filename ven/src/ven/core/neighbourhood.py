"""What a host's own addresses say of others' addresses."""

from collections.abc import Iterable
from ipaddress import ip_interface

from msgspec import Struct

from ven_protocol.flows import Direction, Transmission
from ven_protocol.messages import Interface

_EVERYBODY = b"\xff\xff\xff\xff"


class Neighbourhood(Struct, frozen=True, kw_only=True):
    """Own and broadcast addresses, packed in network order."""

    own: frozenset[bytes] = frozenset()
    broadcast: frozenset[bytes] = frozenset({_EVERYBODY})

    def transmission(self, dst: bytes) -> Transmission:
        """Unicast, multicast or broadcast."""
        if dst in self.broadcast:
            return "B"
        multicast = dst[0] == 0xFF if len(dst) == 16 else 224 <= dst[0] < 240
        return "M" if multicast else "U"

    def direction(self, src: bytes, dst: bytes) -> Direction | None:
        """This host's side of a connection; None when it is neither end (forwarded) or both."""
        if src in self.own:
            return None if dst in self.own else "O"
        return "I" if dst in self.own or self.transmission(dst) != "U" else None


def neighbourhood(interfaces: Iterable[Interface]) -> Neighbourhood:
    """Of a host with these interfaces."""
    own: set[bytes] = set()
    broadcast = {_EVERYBODY}
    for interface in interfaces:
        text = interface.address.partition("%")[0]
        bits = "" if interface.cidr_block is None else f"/{interface.cidr_block}"
        address = ip_interface(text + bits)
        own.add(address.packed)
        if address.version == 4 and address.network.prefixlen < 31:
            broadcast.add(address.network.broadcast_address.packed)
    return Neighbourhood(own=frozenset(own), broadcast=frozenset(broadcast))
