"""The columns of a flow post, and what must hold of them.

msgspec checks each value while it decodes; ``check_columns`` what columns say of one another.
"""

from itertools import compress
from operator import gt, ne
from typing import Annotated

from msgspec import Meta

from ven_protocol.limits import MAX_FLOWS_PER_POST
from ven_protocol.messages import Message

MAX_TEXT = 1024
"""Characters of one text (process, user, service, FQDN). Longer ones are cut by the encoder: a
process path may have 4,096 characters, and its first thousand name it well enough."""

ICMP_PROTOCOLS = frozenset({1, 58})
"""ICMP and ICMPv6: their flows have a type and a code instead of a port."""

ABSENT = -1
"""In a column of numbers: this summary does not have the value."""


class FlowBatchError(ValueError):
    """A batch that breaks the format. ``field`` is the path of the offending part."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field


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


_TEXT_COLUMNS = ("process", "user", "service", "fqdn")
_BYTE_COLUMNS = ("tbi", "tbo", "dbi", "dbo")
_OPTIONAL_COLUMNS = (
    "port", "icmp_type", "icmp_code", "state", "pd_qualifier", "transmission", "count",
    *_TEXT_COLUMNS, *_BYTE_COLUMNS, "tdms", "ddms",
)  # fmt: skip
_REQUIRED_COLUMNS = ("dst", "proto", "dir", "pd", "first_ago", "last_ago")


def check_columns(flows: FlowColumns, end: int) -> None:
    """Every index points into its dictionary, every column has one entry a summary or none at all,
    no flow contradicts itself. ``end``: the last second of the window.

    Raises :class:`FlowBatchError`, which names the column.
    """
    _check_lengths(flows)
    _check_values(flows, end)


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
