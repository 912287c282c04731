"""Connections and summaries as bytes: tens of thousands of them are kept, and looked up all day."""

import struct

from ven.core.kernel import Attempts, Connection, Decision, Untold

TCP = 6

QUALIFIED = (Decision.POTENTIALLY_BLOCKED, Decision.BLOCKED)
"""Decisions that have a reason."""

IDENTITY = struct.Struct("<BHHBB")
"""Protocol, source port, destination port, ICMP type and code; after both addresses."""
ROW = struct.Struct("<BHBBccBB")
"""Protocol, destination port, ICMP type and code, direction, state, decision, qualifier; after both
addresses."""
PORT_OF_ROW = slice(-ROW.size, 3 - ROW.size)
"""Protocol and port within the key of a row."""


def row_key(
    of: Connection | Attempts, state: bytes, decision: Decision, direction: bytes = b"?"
) -> bytes:
    """The summary that it is counted in. ``direction``: as far as it is known without a look at the
    addresses."""
    return of.src + of.dst + ROW.pack(
        of.proto,
        of.dst_port,
        of.icmp_type or 0,
        of.icmp_code or 0,
        direction,
        state,
        decision,
        of.qualifier + 1 if decision in QUALIFIED else 0,
    )  # fmt: skip


def untold_key(of: Connection | Untold) -> bytes:
    """The row in which it will be when it has ended."""
    return row_key(of, b"C" if of.proto == TCP else b"T", of.decision)


def identity(connection: Connection) -> bytes:
    """By which a connection is told from another that has its number later."""
    return connection.src + connection.dst + IDENTITY.pack(
        connection.proto,
        connection.src_port,
        connection.dst_port,
        connection.icmp_type or 0,
        connection.icmp_code or 0,
    )  # fmt: skip


def from_identity(id: int, identity: bytes) -> Connection:
    """The connection, as far as its identity tells it."""
    width = (len(identity) - IDENTITY.size) // 2
    proto, src_port, dst_port, icmp_type, icmp_code = IDENTITY.unpack_from(identity, 2 * width)
    return Connection(
        phase="end",
        id=id,
        proto=proto,
        src=identity[:width],
        dst=identity[width : 2 * width],
        src_port=src_port,
        dst_port=dst_port,
        icmp_type=icmp_type,
        icmp_code=icmp_code,
    )
