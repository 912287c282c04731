"""Profiles: what summaries of a batch have in common, listed once."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from pce.flows.columns import SheetReader, SheetWriter
from ven_protocol.flow_columns import ICMP_PROTOCOLS
from ven_protocol.flows import Direction, FlowBatch, State, Transmission

_DIRECTIONS: tuple[Direction, ...] = ("I", "O")
_STATES: tuple[State, ...] = ("", "A", "C", "T", "S", "N")
_QUALIFIERS = "-0123"
_TRANSMISSIONS: tuple[Transmission, ...] = ("U", "M", "B")


class Profile(NamedTuple):
    """What summaries of a batch have in common. ``None`` means not known."""

    dir: Direction
    """I, the reporter is the destination; O, it is the source."""
    own: int
    """Index of the reporter's side in the batch's addresses."""
    proto: int
    port: int
    icmp_type: int | None
    icmp_code: int | None
    state: State
    pd: int
    pd_qualifier: int | None
    transmission: Transmission
    process: str | None
    user: str | None
    service: str | None


def profile_columns(batch: FlowBatch) -> tuple[Sequence[int | str], ...]:
    """Columns of a profile between ``own`` and the texts. ICMP keeps type and code as its port."""
    flows, rows = batch.flows, len(batch)
    port = flows.port or [0] * rows
    if flows.icmp_type:
        port = [
            (icmp_type << 8 | icmp_code) if proto in ICMP_PROTOCOLS else port
            for proto, port, icmp_type, icmp_code in zip(
                flows.proto, port, flows.icmp_type, flows.icmp_code, strict=True
            )
        ]
    return (
        flows.proto,
        port,
        flows.state or "-" * rows,
        flows.pd,
        flows.pd_qualifier or "-" * rows,
        flows.transmission or "U" * rows,
    )


def write_profiles(sheet: SheetWriter, profiles: list[tuple[Any, ...]]) -> None:
    """Write one column a part; each profile is (dir, own, ``profile_columns``, texts)."""
    columns = list(zip(*profiles, strict=True)) or [()] * 11
    dirs, owns, protos, ports, states, decisions, qualifiers, transmissions, *texts = columns
    sheet.indexes([_DIRECTIONS.index(letter) for letter in dirs])
    sheet.indexes(owns)
    sheet.indexes(protos)
    sheet.amounts(ports)
    sheet.indexes([_STATES.index(letter.replace("-", "")) for letter in states])
    sheet.indexes([int(letter) for letter in decisions])
    sheet.indexes([_QUALIFIERS.index(letter) for letter in qualifiers])
    sheet.indexes([_TRANSMISSIONS.index(letter) for letter in transmissions])
    for column in texts:
        sheet.indexes(column)


def read_profiles(sheet: SheetReader, size: int, strings: list[str | None]) -> list[Profile]:
    """The profiles; texts are looked up in ``strings``, whose entry 0 is None."""

    dirs, owns, protos = (sheet.indexes(size) for _ in range(3))
    ports = sheet.amounts(size).decode()
    states, decisions, qualifiers, transmissions = (sheet.indexes(size) for _ in range(4))
    processes, users, services = (sheet.indexes(size) for _ in range(3))
    return [
        Profile(
            dir=_DIRECTIONS[dirs[at]],
            own=owns[at],
            proto=protos[at],
            port=0 if protos[at] in ICMP_PROTOCOLS else ports[at],
            icmp_type=ports[at] >> 8 if protos[at] in ICMP_PROTOCOLS else None,
            icmp_code=ports[at] & 0xFF if protos[at] in ICMP_PROTOCOLS else None,
            state=_STATES[states[at]],
            pd=decisions[at],
            pd_qualifier=qualifiers[at] - 1 if qualifiers[at] else None,
            transmission=_TRANSMISSIONS[transmissions[at]],
            process=strings[processes[at]],
            user=strings[users[at]],
            service=strings[services[at]],
        )
        for at in range(size)
    ]
