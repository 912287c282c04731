"""How JSON documents are kept: canonical JSON, zstd level 3 (about a quarter of the bytes, and
write units are counted in bytes)."""

from typing import Any

import msgspec
import zstandard

_ENCODER = msgspec.json.Encoder(order="sorted")
_COMPRESS = zstandard.ZstdCompressor(level=3)
_DECOMPRESS = zstandard.ZstdDecompressor()

MAX_DOCUMENT_BYTES = 64_000_000
"""Inflated size above which a stored document counts as damaged."""


def pack_json(document: Any) -> bytes:
    """Compressed canonical JSON of a document."""
    return _COMPRESS.compress(_ENCODER.encode(document))


def unpack_json(body: bytes) -> Any:
    """The document in :func:`pack_json`'s bytes."""
    return msgspec.json.decode(_DECOMPRESS.decompress(body, max_output_size=MAX_DOCUMENT_BYTES))
