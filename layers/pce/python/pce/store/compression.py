"""How JSON documents are kept: canonical JSON, zstd level 3 (about a quarter of the bytes, and
write units are counted in bytes)."""

import threading
from typing import Any

import msgspec
import zstandard

_ENCODER = msgspec.json.Encoder(order="sorted")


class _Zstd(threading.local):
    """One pair for each thread: two threads in one compressor crash the process. Kept, because a
    compile reads thousands of documents and a new decompressor costs 11 us."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=3)
        self.decompressor = zstandard.ZstdDecompressor()


_ZSTD = _Zstd()

MAX_DOCUMENT_BYTES = 64_000_000
"""Inflated size above which a stored document counts as damaged."""


def pack_json(document: Any) -> bytes:
    """Compressed canonical JSON of a document."""
    return _ZSTD.compressor.compress(_ENCODER.encode(document))


def unpack_json(body: bytes) -> Any:
    """The document in :func:`pack_json`'s bytes."""
    return msgspec.json.decode(inflated(body))


def inflated(body: bytes) -> bytes:
    """The JSON in :func:`pack_json`'s bytes, canonical as it was packed."""
    return _ZSTD.decompressor.decompress(body, max_output_size=MAX_DOCUMENT_BYTES)
