"""A flow post: the connections of one window, in columns.

``encode_batch`` turns summaries into the bytes that a VEN compresses and posts; ``decode_batch``
gives them back on the PCE, checked: after it, every index points into its dictionary, every column
has one entry per summary or none at all, and every number lies in its range. A batch is data from
a host that may be hostile, so nothing in it is believed before that.

The form is described for other implementers in ``docs/ven-api/flow-batch.md``.
"""

from collections.abc import Iterable, Sequence
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from ven_protocol.flow_columns import (
    ABSENT,
    MAX_TEXT,
    FlowBatchError,
    FlowColumns,
    check_columns,
)
from ven_protocol.messages import Heartbeat, Message

FLOW_BATCH_VERSION = 1
"""Version of the columns. Adding a column keeps it: an older PCE ignores what it does not know."""

Direction = Literal["I", "O"]
State = Literal["A", "C", "T", "S", "N", ""]
Transmission = Literal["U", "M", "B"]
_Epoch = Annotated[int, Meta(ge=0, le=2**32 - 1)]


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
    check_columns(batch.flows, batch.end)
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
