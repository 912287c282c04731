"""A flow post: the connections of one window, in columns.

``encode_batch`` turns summaries into the bytes that a VEN compresses and posts; ``decode_batch``
gives them back on the PCE, checked: after it, every index points into its dictionary, every column
has one entry per summary or none at all, and every number lies in its range. A batch is data from
a host that may be hostile, so nothing in it is believed before that.

The form is described for other implementers in ``docs/ven-api/flow-batch.md``.
"""

from collections.abc import Iterable, Sequence
from itertools import compress
from operator import gt, ne
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from ven_protocol.limits import MAX_FLOWS_PER_POST
from ven_protocol.messages import Heartbeat, Message

FLOW_BATCH_VERSION = 1
"""Version of the columns. Adding a column keeps it: an older PCE ignores what it does not know."""

MAX_TEXT = 1024
"""Characters of one text (process, user, service, FQDN). Longer ones are cut by the encoder: a
process path may have 4,096 characters, and its first thousand name it well enough."""

ICMP_PROTOCOLS = frozenset({1, 58})
"""ICMP and ICMPv6: their flows have a type and a code instead of a port."""

ABSENT = -1
"""In a column of numbers: this summary does not have the value."""

Direction = Literal["I", "O"]
State = Literal["A", "C", "T", "S", "N", ""]
Transmission = Literal["U", "M", "B"]


class FlowBatchError(ValueError):
    """A batch that breaks the format. ``field`` is the path of the offending part."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field


class FlowSummary(Struct, frozen=True, kw_only=True):
    """Connections with the same ends, service and fate in one window, merged into one row.

    The source is the connection's initiator and the destination its responder, whoever reports.
    Names follow the vendor's flow summary ("traffic flow summaries", schema version 4).
    """

    src_ip: bytes
    """Packed in network order, 4 or 16 bytes (``socket.inet_pton``, ``ip_address(x).packed``)."""
    dst_ip: bytes
    proto: int
    dst_port: int = 0
    """0 for protocols without ports."""
    icmp_type: int | None = None
    """Of the first flow; for ICMP and ICMPv6 both it and the code must be there."""
    icmp_code: int | None = None
    dir: Direction
    """The reporter's side: I, it is the responder; O, it is the initiator."""
    state: State = ""
    """Active, Closed, Timed out, Snapshot, New (a dropped TCP SYN), or not known."""
    pd: int
    """Decision of the policy: 0 allowed, 1 potentially blocked, 2 blocked, 3 unknown."""
    pd_qualifier: int | None = None
    """Why blocked: 0 no rule, 1 deny rule, 2 override deny, 3 a deny that is not ours."""
    transmission: Transmission = "U"
    """Unicast, multicast or broadcast."""
    count: int = 1
    """Connections merged."""
    first: int
    """Epoch second at which the first of them began; may lie before the window."""
    last: int
    """Epoch second at which one of them was last seen; first <= last <= end of the window."""
    process: str | None = None
    user: str | None = None
    service: str | None = None
    """Windows service name."""
    fqdn: str | None = None
    """Name by which the reporter resolved the destination."""
    tbi: int | None = None
    """Bytes into the destination over the flows' life so far (link headers excluded, IP and TCP
    headers and retransmissions included). All four byte counts are there, or none."""
    tbo: int | None = None
    """Bytes out of the destination over the flows' life so far."""
    dbi: int | None = None
    """Bytes into the destination in this window."""
    dbo: int | None = None
    """Bytes out of the destination in this window."""
    tdms: int | None = None
    """Milliseconds that the flows lasted, summed over their life so far. With ``ddms``, or not."""
    ddms: int | None = None
    """Milliseconds that they lasted within this window."""


_Address = Annotated[bytes, Meta(min_length=4, max_length=16)]
_Text = Annotated[str, Meta(max_length=MAX_TEXT)]
_Index = Annotated[int, Meta(ge=0, le=2 * MAX_FLOWS_PER_POST)]
_OptionalIndex = Annotated[int, Meta(ge=ABSENT, le=4 * MAX_FLOWS_PER_POST)]
_Byte = Annotated[int, Meta(ge=0, le=255)]
_OptionalByte = Annotated[int, Meta(ge=ABSENT, le=255)]
_Port = Annotated[int, Meta(ge=0, le=65_535)]
_Count = Annotated[int, Meta(ge=1, le=2**32 - 1)]
_Ago = Annotated[int, Meta(ge=0, le=2**32 - 1)]
_Amount = Annotated[int, Meta(ge=ABSENT, le=2**53 - 1)]
_Epoch = Annotated[int, Meta(ge=0, le=2**32 - 1)]
_Rows = Meta(max_length=MAX_FLOWS_PER_POST)


def _letters_of(alphabet: str) -> Meta:
    # "$" alone would let a line feed through at the end.
    return Meta(max_length=MAX_FLOWS_PER_POST, pattern=f"^[{alphabet}]*$(?!\\n)")


class FlowColumns(Message, frozen=True, kw_only=True):
    """Summaries in columns: entry *i* of every column belongs to summary *i*.

    A column that may be left out is empty then, and means the default for all. Columns of letters
    are texts with one letter a summary; ``-`` is "none". In columns of numbers -1 is "none".
    """

    addresses: Annotated[list[_Address], Meta(max_length=2 * MAX_FLOWS_PER_POST)]
    strings: Annotated[list[_Text], Meta(max_length=4 * MAX_FLOWS_PER_POST)] = []
    src: Annotated[list[_Index], _Rows]
    """Index into ``addresses``; so is ``dst``."""
    dst: Annotated[list[_Index], _Rows]
    proto: Annotated[list[_Byte], _Rows]
    port: Annotated[list[_Port], _Rows] = []
    icmp_type: Annotated[list[_OptionalByte], _Rows] = []
    icmp_code: Annotated[list[_OptionalByte], _Rows] = []
    dir: Annotated[str, _letters_of("IO")]
    state: Annotated[str, _letters_of("ACTSN-")] = ""
    pd: Annotated[str, _letters_of("0-3")]
    pd_qualifier: Annotated[str, _letters_of("0-3-")] = ""
    transmission: Annotated[str, _letters_of("UMB")] = ""
    count: Annotated[list[_Count], _Rows] = []
    first_ago: Annotated[list[_Ago], _Rows]
    """Seconds before the end of the window; so is ``last_ago``. Small numbers are short bytes."""
    last_ago: Annotated[list[_Ago], _Rows]
    process: Annotated[list[_OptionalIndex], _Rows] = []
    """Index into ``strings``; so are ``user``, ``service`` and ``fqdn``."""
    user: Annotated[list[_OptionalIndex], _Rows] = []
    service: Annotated[list[_OptionalIndex], _Rows] = []
    fqdn: Annotated[list[_OptionalIndex], _Rows] = []
    tbi: Annotated[list[_Amount], _Rows] = []
    tbo: Annotated[list[_Amount], _Rows] = []
    dbi: Annotated[list[_Amount], _Rows] = []
    dbo: Annotated[list[_Amount], _Rows] = []
    tdms: Annotated[list[_Amount], _Rows] = []
    ddms: Annotated[list[_Amount], _Rows] = []


class FlowBatch(Message, frozen=True, kw_only=True):
    """POST .../flows: the summaries of one window and the heartbeat that comes with them."""

    version: int
    seq: Annotated[int, Meta(ge=0, le=2**53 - 1)]
    """Rises with every batch of a VEN and never repeats; a batch is posted again under its own."""
    start: _Epoch
    """First second of the window, by the VEN's clock."""
    end: _Epoch
    """Last second of the window; start <= end."""
    heartbeat: Heartbeat
    container: Annotated[str, Meta(max_length=255)] = ""
    """Of a container host: these flows were seen in the network of this container workload (its
    ``ContainerWorkload.id``). Empty: they are the host's own."""
    flows: FlowColumns

    def __len__(self) -> int:
        """Number of summaries."""
        return len(self.flows.src)


class _Version(Struct):
    version: int


_Decoded = TypeVar("_Decoded")

_encoder = msgspec.msgpack.Encoder()
_version_decoder = msgspec.msgpack.Decoder(_Version)
_batch_decoder = msgspec.msgpack.Decoder(FlowBatch)

_TEXT_COLUMNS = ("process", "user", "service", "fqdn")
_BYTE_COLUMNS = ("tbi", "tbo", "dbi", "dbo")
_OPTIONAL_COLUMNS = (
    "port", "icmp_type", "icmp_code", "state", "pd_qualifier", "transmission", "count",
    *_TEXT_COLUMNS, *_BYTE_COLUMNS, "tdms", "ddms",
)  # fmt: skip
_REQUIRED_COLUMNS = ("dst", "proto", "dir", "pd", "first_ago", "last_ago")


def encode_batch(
    seq: int,
    start: int,
    end: int,
    heartbeat: Heartbeat,
    flows: Sequence[FlowSummary],
    container: str = "",
) -> bytes:
    """The bytes of a flow post, not yet compressed.

    ``start`` and ``end`` are epoch seconds. Whatever this returns, ``decode_batch`` accepts: a
    summary that it would refuse raises :class:`FlowBatchError` here. Texts are cut to
    ``MAX_TEXT`` characters, and NUL and what is not UTF-8 in them is escaped.
    """
    strings: dict[str, int] = {}
    addresses: dict[bytes, int] = {}

    def text(value: str | None) -> int:
        if value is None:
            return ABSENT
        clean = value.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")[:MAX_TEXT]
        return strings.setdefault(clean, len(strings))

    def address(value: bytes) -> int:
        return addresses.setdefault(value, len(addresses))

    columns = FlowColumns(
        src=[address(flow.src_ip) for flow in flows],
        dst=[address(flow.dst_ip) for flow in flows],
        addresses=list(addresses),
        proto=[flow.proto for flow in flows],
        port=_unless_all(0, [flow.dst_port for flow in flows]),
        icmp_type=_optional(flow.icmp_type for flow in flows),
        icmp_code=_optional(flow.icmp_code for flow in flows),
        dir="".join([flow.dir for flow in flows]),
        state=_letters("-", (flow.state or "-" for flow in flows)),
        pd="".join([str(flow.pd) for flow in flows]),
        pd_qualifier=_letters(
            "-", ("-" if flow.pd_qualifier is None else str(flow.pd_qualifier) for flow in flows)
        ),
        transmission=_letters("U", (flow.transmission for flow in flows)),
        count=_unless_all(1, [flow.count for flow in flows]),
        first_ago=[end - flow.first for flow in flows],
        last_ago=[end - flow.last for flow in flows],
        process=_unless_all(ABSENT, [text(flow.process) for flow in flows]),
        user=_unless_all(ABSENT, [text(flow.user) for flow in flows]),
        service=_unless_all(ABSENT, [text(flow.service) for flow in flows]),
        fqdn=_unless_all(ABSENT, [text(flow.fqdn) for flow in flows]),
        strings=list(strings),
        tbi=_optional(flow.tbi for flow in flows),
        tbo=_optional(flow.tbo for flow in flows),
        dbi=_optional(flow.dbi for flow in flows),
        dbo=_optional(flow.dbo for flow in flows),
        tdms=_optional(flow.tdms for flow in flows),
        ddms=_optional(flow.ddms for flow in flows),
    )
    batch = FlowBatch(
        version=FLOW_BATCH_VERSION,
        seq=seq,
        start=start,
        end=end,
        heartbeat=heartbeat,
        container=container,
        flows=columns,
    )
    body = _encoder.encode(batch)
    decode_batch(body)
    return body


def decode_batch(body: bytes) -> FlowBatch:
    """The batch in an inflated flow post, checked throughout.

    Raises :class:`FlowBatchError`, which names the field, for a version that is not spoken here,
    a column of the wrong length, an index outside its dictionary, a number outside its range, and
    for contradictions (a flow that ends before it begins). Unknown keys are ignored. About a
    microsecond a summary.
    """
    version = _decode(_version_decoder, body).version
    if version != FLOW_BATCH_VERSION:
        raise FlowBatchError(
            "version", f"{version} is not spoken here; post version {FLOW_BATCH_VERSION}"
        )
    batch = _decode(_batch_decoder, body)
    if batch.start > batch.end:
        raise FlowBatchError("start", f"{batch.start} is after end {batch.end}")
    _check_lengths(batch.flows)
    _check_values(batch.flows, batch.end)
    return batch


def to_summaries(batch: FlowBatch) -> list[FlowSummary]:
    """The batch as one object a summary: for people, tests and small batches; not for ingestion."""
    flows, end, rows = batch.flows, batch.end, range(len(batch))

    def number(column: list[int], row: int) -> int | None:
        return None if not column or column[row] == ABSENT else column[row]

    def text(column: list[int], row: int) -> str | None:
        index = number(column, row)
        return None if index is None else flows.strings[index]

    def letter(column: str, row: int) -> str:
        return column[row] if column else "-"

    return [
        FlowSummary(
            src_ip=flows.addresses[flows.src[row]],
            dst_ip=flows.addresses[flows.dst[row]],
            proto=flows.proto[row],
            dst_port=flows.port[row] if flows.port else 0,
            icmp_type=number(flows.icmp_type, row),
            icmp_code=number(flows.icmp_code, row),
            dir=flows.dir[row],  # type: ignore[arg-type]
            state=letter(flows.state, row).replace("-", ""),  # type: ignore[arg-type]
            pd=int(flows.pd[row]),
            pd_qualifier=(
                None
                if letter(flows.pd_qualifier, row) == "-"
                else int(letter(flows.pd_qualifier, row))
            ),
            transmission=letter(flows.transmission, row).replace("-", "U"),  # type: ignore[arg-type]
            count=flows.count[row] if flows.count else 1,
            first=end - flows.first_ago[row],
            last=end - flows.last_ago[row],
            process=text(flows.process, row),
            user=text(flows.user, row),
            service=text(flows.service, row),
            fqdn=text(flows.fqdn, row),
            tbi=number(flows.tbi, row),
            tbo=number(flows.tbo, row),
            dbi=number(flows.dbi, row),
            dbo=number(flows.dbo, row),
            tdms=number(flows.tdms, row),
            ddms=number(flows.ddms, row),
        )
        for row in rows
    ]


def _unless_all(default: int, column: list[int]) -> list[int]:
    return [] if column.count(default) == len(column) else column


def _optional(values: Iterable[int | None]) -> list[int]:
    return _unless_all(ABSENT, [ABSENT if value is None else value for value in values])


def _letters(default: str, values: Iterable[str]) -> str:
    column = "".join(values)
    return "" if column.count(default) == len(column) else column


def _decode(decoder: "msgspec.msgpack.Decoder[_Decoded]", body: bytes) -> _Decoded:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        # msgspec ends its message with "- at `$.path`" when the fault is not the whole.
        message, _, path = str(error).partition(" - at `$.")
        raise FlowBatchError(path.rstrip("`") or "body", message) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FlowBatchError("body", f"not a MessagePack map: {error}") from None


def _check_lengths(flows: FlowColumns) -> None:
    rows = len(flows.src)
    for names, allowed in ((_REQUIRED_COLUMNS, (rows,)), (_OPTIONAL_COLUMNS, (rows, 0))):
        for name in names:
            length = len(getattr(flows, name))
            if length not in allowed:
                raise FlowBatchError(f"flows.{name}", f"has {length} entries for {rows} summaries")


def _check_values(flows: FlowColumns, end: int) -> None:
    """Whole columns at a time: a loop over rows would cost more than the decoding."""
    if not flows.src:
        return
    if not {4, 16}.issuperset(map(len, flows.addresses)):
        raise FlowBatchError("flows.addresses", "an address has 4 or 16 bytes")
    if "\0" in "".join(flows.strings):
        raise FlowBatchError("flows.strings", "a text holds a NUL")
    for name in ("src", "dst"):
        _check_below(name, getattr(flows, name), len(flows.addresses))
    for name in _TEXT_COLUMNS:
        _check_below(name, getattr(flows, name), len(flows.strings))
    _check_icmp(flows)
    if max(flows.first_ago) > end:
        raise FlowBatchError("flows.first_ago", "before 1970")
    _check_not_above("last_ago", flows.last_ago, "first_ago", flows.first_ago)
    for delta, total in (("dbi", "tbi"), ("dbo", "tbo"), ("ddms", "tdms")):
        _check_same_rows(delta, getattr(flows, delta), total, getattr(flows, total))
        _check_not_above(delta, getattr(flows, delta), total, getattr(flows, total))
    _check_same_rows("tbo", flows.tbo, "tbi", flows.tbi)


def _check_below(name: str, indexes: list[int], length: int) -> None:
    if indexes and max(indexes) >= length:
        raise FlowBatchError(f"flows.{name}", f"index {max(indexes)} of {length} entries")


def _check_not_above(name: str, lower: list[int], other: str, upper: list[int]) -> None:
    if any(map(gt, lower, upper)):
        row = list(map(gt, lower, upper)).index(True)
        raise FlowBatchError(f"flows.{name}[{row}]", f"{lower[row]} is above {other} {upper[row]}")


def _check_same_rows(name: str, column: list[int], other: str, twin: list[int]) -> None:
    """Both columns have their value in the same rows."""
    if len(column) != len(twin):
        raise FlowBatchError(f"flows.{name}", f"is there without flows.{other}, or lacks it")
    if any(map(ne, map(ABSENT.__eq__, column), map(ABSENT.__eq__, twin))):
        raise FlowBatchError(f"flows.{name}", f"has a value where flows.{other} has none")


def _check_icmp(flows: FlowColumns) -> None:
    """A type and a code for ICMP, none for all others."""
    wanted = [proto in ICMP_PROTOCOLS for proto in flows.proto]
    for name in ("icmp_type", "icmp_code"):
        column = getattr(flows, name)
        present = map(ABSENT.__ne__, column) if column else [False] * len(wanted)
        if any(map(ne, wanted, present)):
            raise FlowBatchError(f"flows.{name}", "ICMP has it, and no other protocol does")
    if any(compress(flows.port, wanted)):
        raise FlowBatchError("flows.port", "ICMP has none: 0")
