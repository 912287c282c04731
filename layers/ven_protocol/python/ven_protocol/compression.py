"""Inflating what arrived, and never more than was agreed."""

import zlib

from ven_protocol.limits import MAX_INFLATED_BYTES

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"

_MAX_ZSTD_WINDOW_BYTES = 8 * 2**20
"""A frame names the memory that its decoder needs; RFC 8878 asks decoders for 8 MB, so no
encoder that wants to be understood asks for more."""


class TooLarge(ValueError):
    """The body would inflate past the limit."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the body inflates to more than {limit} bytes: send it in parts")
        self.limit = limit


class Corrupt(ValueError):
    """The body is not what its first bytes say that it is."""


def inflate(body: bytes, limit: int = MAX_INFLATED_BYTES) -> bytes:
    """The content of a gzip or zstd body; a body with neither's magic bytes is returned as it is.

    The first bytes decide, not a header: a gateway may drop or change ``Content-Encoding``.
    Raises :class:`TooLarge` before more than ``limit`` bytes are held, and :class:`Corrupt` for a
    damaged or cut body. One gzip member or one zstd frame, with nothing after it: a chain of them
    has no use here and is how small bodies grow large. zstd needs the zstandard package, which the
    PCE has; it is imported when the first such body comes.
    """
    if body.startswith(_GZIP):
        return _inflate_gzip(body, limit)
    if body.startswith(_ZSTD):
        return _inflate_zstd(body, limit)
    if len(body) > limit:
        raise TooLarge(limit)
    return body


def _inflate_gzip(body: bytes, limit: int) -> bytes:
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)  # 16: with a gzip header
    try:
        # One more than allowed: a content of exactly ``limit`` bytes must reach its end here.
        content = inflater.decompress(body, limit + 1)
    except zlib.error as error:
        raise Corrupt(f"the gzip body is damaged: {error}") from None
    if len(content) > limit:
        raise TooLarge(limit)
    if not inflater.eof:
        raise Corrupt("the gzip body is cut short")
    if inflater.unused_data:
        raise Corrupt(f"{len(inflater.unused_data)} bytes follow the gzip member")
    return content


def _inflate_zstd(body: bytes, limit: int) -> bytes:
    import zstandard

    decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_ZSTD_WINDOW_BYTES)
    try:
        size = zstandard.get_frame_parameters(body).content_size
        if size == zstandard.CONTENTSIZE_UNKNOWN:
            # The one-shot call cannot say whether such a frame is cut or too large: look first.
            with decompressor.stream_reader(body) as reader:
                size = len(reader.read(limit + 1))
        if size > limit:
            raise TooLarge(limit)
        # Zero would mean "as the frame says", which it did not.
        return decompressor.decompress(body, max_output_size=size or 1, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise Corrupt(f"the zstd body is damaged: {error}") from None
