"""What lies in the archive: JSON lines, compressed, each piece naming its own place.

A piece is a gzip member whose file name says org and decision. Members behind each other are a
gzip file again, so that Firehose may join the pieces of one place into an object, and only has to
read the name to know the place.
"""

import gzip
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from pce.identifiers import OrgId

MAX_PIECE_LINES = 4_000
"""Lines in one piece: 2 MB, 150 kB compressed, well under Firehose's 1,000 KiB a record."""

_NAME = re.compile(rb"org_id=(\d{1,9})(?:,pd=([0-3]))?\.json\x00")
_FLAG_NAME = 0x08
_NAME_AT = 10
"""Bytes before the name (RFC 1952, 2.3); no other optional field comes first here."""


def pieces(
    org_id: OrgId, documents: Iterable[Mapping[str, Any]], pd: int | None = None
) -> Iterator[bytes]:
    """The documents as gzip members, in order; the same documents give the same bytes.

    ``pd`` is the decision of flow summaries, None for audit events.
    """
    name = f"org_id={org_id}.json" if pd is None else f"org_id={org_id},pd={pd}.json"
    lines = [msgspec.json.encode(document) + b"\n" for document in documents]
    for at in range(0, len(lines), MAX_PIECE_LINES):
        held = io.BytesIO()
        # Level 6 is 3 % smaller than 4 and takes a third longer; it is stored for years.
        with gzip.GzipFile(name, "wb", 6, held, mtime=0) as member:
            member.write(b"".join(lines[at : at + MAX_PIECE_LINES]))
        yield held.getvalue()


def place_of(piece: bytes) -> dict[str, str]:
    """Under which keys a piece belongs: ``{"org_id": "1", "pd": "0"}``; no ``pd`` for events.

    Raises ValueError for bytes that are no piece.
    """
    named = _NAME.match(piece, _NAME_AT)
    if piece[:3] != b"\x1f\x8b\x08" or not piece[3] & _FLAG_NAME or named is None:
        raise ValueError("not a piece of the archive: a gzip member named org_id=<n>[,pd=<n>].json")
    place = {"org_id": named[1].decode()}
    return place if named[2] is None else {**place, "pd": named[2].decode()}
