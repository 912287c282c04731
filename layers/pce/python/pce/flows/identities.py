"""Addresses of a stored batch and the workloads behind them: how both are written and read.

Addresses are listed in four groups (IPv4 unknown, IPv4 known, IPv6 unknown, IPv6 known), rising
within each, so that they become small steps and who is known needs no column. Labels have one
column a key, since a workload has at most one label of a key.
"""

import uuid
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, islice, repeat
from typing import NamedTuple

from pce.flows.columns import SheetReader, SheetWriter, steps
from pce.flows.directory import Directory, Label, Workload

_LOW_HALF = 2**64 - 1


class Identities(NamedTuple):
    """What is kept beside the sheet."""

    addresses: list[bytes]
    """In the order of their indexes."""
    groups: list[int]
    """Number of addresses in each of the four groups."""
    labels: list[int]
    """Number of labels of each key."""
    texts: list[str]
    """Host names of the known; then of each key its name, the labels' ids and their values."""
    ids: bytes
    """UUIDs of the known. They are noise, so they are kept apart from what compresses."""


def write_identities(sheet: SheetWriter, used: Iterable[bytes], directory: Directory) -> Identities:
    """Write addresses and labels into the sheet; ``used`` are canonical addresses."""
    addresses = sorted(used, key=lambda address: (len(address), address in directory, address))
    groups = [0, 0, 0, 0]
    for address in addresses:
        groups[(len(address) == 16) * 2 + (address in directory)] += 1
    _write_addresses(sheet, addresses, groups)
    known = [directory[address] for address in addresses if address in directory]
    sheet.indexes([not workload.managed for workload in known])
    labels = _write_labels(sheet, known)
    texts = [workload.hostname for workload in known]
    for group in labels:
        texts += [group[0].key, *(label.id for label in group), *(label.value for label in group)]
    return Identities(
        addresses,
        groups,
        [len(group) for group in labels],
        texts,
        b"".join([workload.id.bytes for workload in known]),
    )


def read_identities(
    sheet: SheetReader, groups: list[int], labels: list[int], words: Iterator[str], ids: bytes
) -> tuple[list[bytes], list[Workload | None]]:
    """Addresses, and the workload behind each of them or None."""
    addresses = _read_addresses(sheet, groups)
    v4_unknown, v4_known, v6_unknown, v6_known = groups
    known = _read_workloads(sheet, v4_known + v6_known, labels, words, ids)
    workloads: list[Workload | None] = [None] * v4_unknown
    workloads += known[:v4_known]
    workloads += [None] * v6_unknown
    workloads += known[v4_known:]
    return addresses, workloads


def _write_addresses(sheet: SheetWriter, addresses: list[bytes], groups: list[int]) -> None:
    at = 0
    for index, size in enumerate(groups):
        numbers = [int.from_bytes(address, "big") for address in addresses[at : at + size]]
        at += size
        if index < 2:
            sheet.amounts(steps(numbers))
        else:
            sheet.amounts(steps([number >> 64 for number in numbers]))
            sheet.amounts([number & _LOW_HALF for number in numbers])


def _read_addresses(sheet: SheetReader, groups: list[int]) -> list[bytes]:
    addresses: list[bytes] = []
    for index, size in enumerate(groups):
        numbers = list(accumulate(sheet.amounts(size).decode()))
        if index < 2:
            addresses += [number.to_bytes(4, "big") for number in numbers]
        else:
            lows = sheet.amounts(size).decode()
            addresses += [
                (high << 64 | low).to_bytes(16, "big")
                for high, low in zip(numbers, lows, strict=True)
            ]
    return addresses


def _write_labels(sheet: SheetWriter, known: list[Workload]) -> list[list[Label]]:
    """Returns the labels of each key, in the order of their indexes."""
    rows = [{label.key: label for label in workload.labels} for workload in known]
    labels: list[list[Label]] = []
    for key in sorted({key for row in rows for key in row}):
        group = sorted({row[key] for row in rows if key in row}, key=lambda label: label.id)
        index = {label: at for at, label in enumerate(group, start=1)}
        sheet.indexes([index[row[key]] if key in row else 0 for row in rows])
        labels.append(group)
    return labels


def _read_workloads(
    sheet: SheetReader, size: int, labels: list[int], words: Iterator[str], ids: bytes
) -> list[Workload]:
    unmanaged = sheet.indexes(size)
    hostnames = list(islice(words, size))
    columns: list[list[Label | None]] = []
    for count in labels:
        key, label_ids = next(words), list(islice(words, count))
        group = [None, *map(Label, label_ids, repeat(key), islice(words, count))]
        columns.append([group[index] for index in sheet.indexes(size)])
    rows: Iterable[Sequence[Label | None]] = zip(*columns, strict=True) if columns else [()] * size
    return [
        Workload(
            id=uuid.UUID(bytes=ids[16 * at : 16 * at + 16]),
            hostname=hostname,
            labels=tuple([label for label in row if label is not None]),
            managed=not unmanaged[at],
        )
        for at, (hostname, row) in enumerate(zip(hostnames, rows, strict=True))
    ]
