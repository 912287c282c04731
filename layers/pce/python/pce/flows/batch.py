"""The stored form of a flow batch: compressed columns, with the identities of the moment.

``pack`` runs once for every flow post, ``unpack`` for every batch that a query reads; both work on
whole columns. The form is described in ``docs/flows.md``.

What makes it small: a summary has two parts. Its *profile* (own address, service, process, state,
decision) comes from a few dozen combinations, which are listed once; the rest (peer, times,
counts) is its own. Summaries are sorted by peer and profile, so that peers become small steps.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, islice
from operator import sub

import msgspec
import zstandard
from msgspec import Struct, structs

from pce.flows.columns import Amounts, SheetReader, SheetWriter, steps
from pce.flows.directory import Directory, Workload, canonical
from pce.flows.identities import read_identities, write_identities
from pce.flows.profiles import Profile, profile_columns, read_profiles, write_profiles
from ven_protocol.flow_columns import ABSENT
from ven_protocol.flows import FlowBatch, FlowSummary

STORED_VERSION = 1
"""First number of every stored batch; ``unpack`` reads every version that was ever written."""

MAX_INFLATED_BYTES = 64_000_000
"""A part of a stored batch that claims to be larger is damaged: the largest post has 8 MB."""

MAX_PART_BYTES = 390_000
"""A DynamoDB item has at most 400 KB, key and attribute names included."""

_LEVEL = 9
"""zstd. What does not compress was taken out before, so levels differ little: this one is 1 %
smaller than level 3, and 1 % larger than 14, which takes two microseconds more for a summary."""


@dataclass(frozen=True)
class StoredBatch:
    """An unpacked batch. Entry *i* of every column belongs to summary *i*; amounts are decoded
    when they are first asked for, and -1 in them is "not known"."""

    reporter: uuid.UUID
    seq: int
    start: int
    """Epoch seconds, by the VEN's clock; so are ``end``, ``first`` and ``last``."""
    end: int
    addresses: list[bytes]
    workloads: list[Workload | None]
    """Who was behind each address."""
    strings: list[str | None]
    """Entry 0 is None."""
    profiles: list[Profile]
    peer: Sequence[int]
    """Column: index into ``addresses`` of the side that is not the reporter's."""
    profile: Sequence[int]
    """Column: index into ``profiles``."""
    fqdn: Sequence[int]
    """Column: index into ``strings``."""
    _count: Amounts
    _last_ago: Amounts
    _lasted: Amounts
    _deltas: tuple[Amounts, ...]
    _before: tuple[Amounts, ...]

    def __len__(self) -> int:
        """Number of summaries."""
        return len(self.peer)

    @cached_property
    def count(self) -> list[int]:
        """Column: connections merged."""
        return [value + 1 for value in self._count.decode()]

    @cached_property
    def last(self) -> list[int]:
        """Column: second at which a connection was last seen."""
        return [self.end - ago for ago in self._last_ago.decode()]

    @cached_property
    def first(self) -> list[int]:
        """Column: second at which the first connection began; may lie before ``start``."""
        return list(map(sub, self.last, self._lasted.decode()))

    @cached_property
    def has_measures(self) -> bool:
        """Whether any summary counts bytes or milliseconds."""
        return any(self._deltas)

    @cached_property
    def deltas(self) -> tuple[list[int], list[int], list[int]]:
        """Columns ``dbi``, ``dbo``, ``ddms``: bytes and milliseconds within the window."""
        dbi, dbo, ddms = ([value - 1 for value in column.decode()] for column in self._deltas)
        return dbi, dbo, ddms

    @cached_property
    def before(self) -> tuple[list[int], list[int], list[int]]:
        """What the flows had moved, and how long they had lasted, before the window: the columns
        ``tbi - dbi``, ``tbo - dbo``, ``tdms - ddms``; 0 where the delta is not known."""
        tbi, tbo, tdms = (column.decode() for column in self._before)
        return tbi, tbo, tdms


class _Stored(Struct, frozen=True, array_like=True):
    version: int
    reporter: bytes
    seq: int
    start: int
    end: int
    rows: int
    profiles: int
    groups: list[int]
    """Numbers of addresses: IPv4 unknown, IPv4 known, IPv6 unknown, IPv6 known."""
    strings: int
    labels: list[int]
    """Number of labels of each key."""
    sheet: bytes
    noise: bytes
    texts: bytes
    ids: bytes


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Stored)
_COMPRESSION = zstandard.ZstdCompressionParameters.from_level(_LEVEL, source_size=16_384)


def _compressor() -> zstandard.ZstdCompressor:
    """One for each use: two threads in one compressor crash the process. Costs 14 us."""
    return zstandard.ZstdCompressor(compression_params=_COMPRESSION)


def pack(batch: FlowBatch, reporter: uuid.UUID, directory: Directory) -> bytes:
    """The bytes to store; the same arguments give the same bytes.

    ``reporter`` is the VEN's id. ``directory`` needs to know only ``addresses_of(batch)``. The
    batch must come from ``decode_batch``, which checked it. Cost: about 5 microseconds a summary.
    """
    flows, rows = batch.flows, len(batch)
    sheet = SheetWriter()
    canonicals = list(map(canonical, flows.addresses))
    used = {canonicals[index] for index in set(flows.src).union(flows.dst)}
    identities = write_identities(sheet, used, directory)
    own, peer = _own_and_peer(batch, identities.addresses, canonicals)
    strings, text_columns = _renumber_strings(batch)
    *profile_texts, fqdn = text_columns
    keys = list(zip(flows.dir, own, *profile_columns(batch), *profile_texts, strict=True))
    profiles = sorted(set(keys))
    write_profiles(sheet, profiles)
    profile_at = {profile: index for index, profile in enumerate(profiles)}
    profile = [profile_at[key] for key in keys]

    rank = [p * len(profiles) + q for p, q in zip(peer, profile, strict=True)]
    order = sorted(range(rows), key=rank.__getitem__)

    def sorted_rows(column: Sequence[int]) -> list[int]:
        return [column[row] for row in order] if column else [0] * rows

    sheet.indexes(steps(sorted_rows(peer)))
    sheet.indexes(sorted_rows(profile))
    sheet.indexes(sorted_rows(fqdn))
    sheet.amounts(list(map((-1).__add__, sorted_rows(flows.count))) if flows.count else [])
    sheet.amounts(sorted_rows(flows.last_ago))
    sheet.amounts(list(map(sub, sorted_rows(flows.first_ago), sorted_rows(flows.last_ago))))
    for delta, total in (
        (flows.dbi, flows.tbi),
        (flows.dbo, flows.tbo),
        (flows.ddms, flows.tdms),
    ):
        # Absent is 0 here, so that a column which is absent throughout takes one byte.
        sheet.amounts(list(map((1).__add__, sorted_rows(delta))) if delta else [])
        sheet.amounts(list(map(sub, sorted_rows(total), sorted_rows(delta))))

    # A NUL separates texts here; one in a host name or a label is written as the wire writes it.
    names = (text.replace("\0", "\\0") for text in identities.texts)
    texts = [*(flows.strings[index] for index in strings), *names]
    compressor = _compressor()
    return _encoder.encode(
        _Stored(
            version=STORED_VERSION,
            reporter=reporter.bytes,
            seq=batch.seq,
            start=batch.start,
            end=batch.end,
            rows=rows,
            profiles=len(profiles),
            groups=identities.groups,
            strings=len(strings),
            labels=identities.labels,
            sheet=compressor.compress(sheet.plain),
            noise=sheet.noise,
            texts=compressor.compress("\0".join(texts).encode()),
            ids=compressor.compress(identities.ids),
        )
    )


def pack_parts(
    batch: FlowBatch, reporter: uuid.UUID, directory: Directory, limit: int = MAX_PART_BYTES
) -> list[bytes]:
    """The batch as stored batches of at most ``limit`` bytes: nearly always one.

    The parts have the same header, and queries treat them like batches. Deterministic, so part *n*
    of a batch that is posted again is the same part.
    """
    stored = pack(batch, reporter, directory)
    if len(stored) <= limit or len(batch) == 1:
        return [stored]
    middle = len(batch) // 2
    return [
        part
        for rows in (slice(0, middle), slice(middle, None))
        for part in pack_parts(_only(batch, rows), reporter, directory, limit)
    ]


def unpack(stored: bytes) -> StoredBatch:
    """The batch in :func:`pack`'s bytes.

    Raises ValueError for bytes that are none: of an unknown version, cut or damaged.
    """
    try:
        record = _decoder.decode(stored)
        decompressor = zstandard.ZstdDecompressor()  # not shared, like the compressor
        plain, texts, ids = (
            decompressor.decompress(part, max_output_size=MAX_INFLATED_BYTES)
            for part in (record.sheet, record.texts, record.ids)
        )
    except (msgspec.DecodeError, zstandard.ZstdError) as error:
        raise ValueError(f"not a stored flow batch: {error}") from error
    if record.version != STORED_VERSION:
        raise ValueError(f"stored flow batch of version {record.version}: deploy a newer release")
    sheet = SheetReader(plain, record.noise)
    words = iter(texts.decode().split("\0"))
    strings = [None, *islice(words, record.strings)]
    addresses, workloads = read_identities(sheet, record.groups, record.labels, words, ids)
    profiles = read_profiles(sheet, record.profiles, strings)
    peer = list(accumulate(sheet.indexes(record.rows)))
    profile = sheet.indexes(record.rows)
    fqdn = sheet.indexes(record.rows)
    count, last_ago, lasted, *measures = (sheet.amounts(record.rows) for _ in range(9))
    return StoredBatch(
        reporter=uuid.UUID(bytes=record.reporter),
        seq=record.seq,
        start=record.start,
        end=record.end,
        addresses=addresses,
        workloads=workloads,
        strings=strings,
        profiles=profiles,
        peer=peer,
        profile=profile,
        fqdn=fqdn,
        _count=count,
        _last_ago=last_ago,
        _lasted=lasted,
        _deltas=tuple(measures[0::2]),
        _before=tuple(measures[1::2]),
    )


def to_summaries(stored: StoredBatch) -> list[FlowSummary]:
    """One object a summary, in stored order: for people, tests and exports; queries use columns."""

    def none_if_absent(value: int) -> int | None:
        return None if value == ABSENT else value

    def total(delta: int, before: int) -> int | None:
        return None if delta == ABSENT else delta + before

    summaries: list[FlowSummary] = []
    for row in range(len(stored)):
        profile = stored.profiles[stored.profile[row]]
        own, peer = stored.addresses[profile.own], stored.addresses[stored.peer[row]]
        (dbi, tbi), (dbo, tbo), (ddms, tdms) = (
            (none_if_absent(delta[row]), total(delta[row], before[row]))
            for delta, before in zip(stored.deltas, stored.before, strict=True)
        )
        summaries.append(
            FlowSummary(
                src_ip=peer if profile.dir == "I" else own,
                dst_ip=own if profile.dir == "I" else peer,
                proto=profile.proto,
                dst_port=profile.port,
                icmp_type=profile.icmp_type,
                icmp_code=profile.icmp_code,
                dir=profile.dir,
                state=profile.state,
                pd=profile.pd,
                pd_qualifier=profile.pd_qualifier,
                transmission=profile.transmission,
                count=stored.count[row],
                first=stored.first[row],
                last=stored.last[row],
                process=profile.process,
                user=profile.user,
                service=profile.service,
                fqdn=stored.strings[stored.fqdn[row]],
                tbi=tbi,
                tbo=tbo,
                dbi=dbi,
                dbo=dbo,
                tdms=tdms,
                ddms=ddms,
            )
        )
    return summaries


def _only(batch: FlowBatch, rows: slice) -> FlowBatch:
    """The batch with some of its rows; its dictionaries stay as they are."""
    columns = {
        name: getattr(batch.flows, name)[rows]
        for name in batch.flows.__struct_fields__
        if name not in ("addresses", "strings")
    }
    return structs.replace(batch, flows=structs.replace(batch.flows, **columns))


def _own_and_peer(
    batch: FlowBatch, addresses: list[bytes], canonicals: list[bytes]
) -> tuple[list[int], list[int]]:
    """The reporter's and the other side of each summary, as indexes of the stored addresses."""
    position = {address: index for index, address in enumerate(addresses)}
    renumbered = [position.get(address, 0) for address in canonicals]
    src = [renumbered[index] for index in batch.flows.src]
    dst = [renumbered[index] for index in batch.flows.dst]
    inbound = [letter == "I" for letter in batch.flows.dir]
    own = [d if i else s for i, s, d in zip(inbound, src, dst, strict=True)]
    peer = [s if i else d for i, s, d in zip(inbound, src, dst, strict=True)]
    return own, peer


def _renumber_strings(batch: FlowBatch) -> tuple[list[int], list[list[int]]]:
    """Old indexes of the strings in use, and the columns with new indexes: 0 is none."""
    flows, rows = batch.flows, len(batch)
    columns = (flows.process, flows.user, flows.service, flows.fqdn)
    used = sorted(set().union(*columns) - {ABSENT}, key=flows.strings.__getitem__)
    # One entry more than there are strings: index -1, "none", meets the 0 at the end.
    renumbered = [0] * (len(flows.strings) + 1)
    for index, old in enumerate(used, start=1):
        renumbered[old] = index
    return used, [[renumbered[old] for old in column] or [0] * rows for column in columns]
