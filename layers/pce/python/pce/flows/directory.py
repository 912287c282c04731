"""Who is behind an address, as far as the PCE knew when a batch arrived.

Labels and host names are stored with the flows, so that a flow keeps the identity under which it
was seen, whatever becomes of the workload.
"""

import uuid
from collections import ChainMap
from collections.abc import Mapping

from msgspec import Struct

from ven_protocol.flows import FlowBatch

_MAPPED = bytes(10) + b"\xff\xff"
"""Prefix of an IPv4 address that a dual-stack socket reports as IPv6 (RFC 4291, 2.5.5.2)."""


class Label(Struct, frozen=True):
    """A label; ``id`` is the last part of its href."""

    id: str
    key: str
    value: str


class Workload(Struct, frozen=True):
    """A workload as it was when the batch arrived; at most one label of a key."""

    id: uuid.UUID
    hostname: str
    labels: tuple[Label, ...] = ()
    managed: bool = True
    """Has a VEN."""


Directory = Mapping[bytes, Workload]
"""Packed address (4 or 16 bytes, network order) to its workload; the others are not known."""


def canonical(address: bytes) -> bytes:
    """The address, as 4 bytes when it is an IPv4 address in IPv6 clothes."""
    return address[12:] if len(address) == 16 and address.startswith(_MAPPED) else address


def addresses_of(batch: FlowBatch) -> set[bytes]:
    """Every address that :func:`pce.flows.batch.pack` will look up for this batch."""
    used = set(batch.flows.src).union(batch.flows.dst)
    return {canonical(batch.flows.addresses[index]) for index in used}


def knowing_the_reporter(directory: Directory, batch: FlowBatch, reporter: uuid.UUID) -> Directory:
    """The directory, in which the reporter's own addresses are the reporter's.

    It needs this where the directory is older than the reporter, or where two hosts use one address
    behind different gateways: whoever else has it, these flows are the reporter's.
    """
    flows = batch.flows
    transmissions = flows.transmission or "U" * len(batch)
    own = {
        canonical(flows.addresses[dst if letter == "I" else src])
        for src, dst, letter, transmission in zip(
            flows.src, flows.dst, flows.dir, transmissions, strict=True
        )
        if transmission == "U"
    }
    unknown = [
        address for address in own if getattr(directory.get(address), "id", None) != reporter
    ]
    if not unknown:
        return directory
    workload = Workload(id=reporter, hostname=batch.heartbeat.host.hostname)
    return ChainMap(dict.fromkeys(unknown, workload), directory)  # type: ignore[arg-type]  # only read
