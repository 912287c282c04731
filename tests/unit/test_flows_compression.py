"""``ven_protocol.compression``: bodies inflate to what they held, and never past the limit."""

import gzip
import tracemalloc
import zlib

import pytest
import zstandard

from ven_protocol.compression import Corrupt, TooLarge, inflate

CONTENT = bytes(range(256)) * 40


def zstd_without_size(content: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_content_size=False).compress(content)


COMPRESSORS = [gzip.compress, zstandard.compress, zstd_without_size]


@pytest.mark.parametrize("compress", COMPRESSORS)
@pytest.mark.parametrize("content", [b"", b"x", CONTENT])
def test_content_comes_back(compress, content):
    """What was compressed is returned, up to and including the limit itself."""
    assert inflate(compress(content), 100_000) == content
    assert inflate(compress(content), len(content)) == content


def test_plain_body_is_returned():
    """A body without magic bytes is not compressed, and is measured as it is."""
    assert inflate(b"\x85plain", 6) == b"\x85plain"
    with pytest.raises(TooLarge):
        inflate(b"\x85plain", 5)


@pytest.mark.parametrize("compress", COMPRESSORS)
def test_one_byte_over_the_limit_is_too_large(compress):
    """The limit is exact."""
    with pytest.raises(TooLarge) as caught:
        inflate(compress(CONTENT), len(CONTENT) - 1)
    assert caught.value.limit == len(CONTENT) - 1


@pytest.mark.parametrize("compress", COMPRESSORS)
def test_a_bomb_is_refused_before_it_goes_off(compress):
    """200 MB of zeros in a small body never occupy more than the limit, and a little."""
    bomb = compress(bytes(200_000_000))
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            inflate(bomb, 1_000_000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4_000_000


@pytest.mark.parametrize("compress", COMPRESSORS)
@pytest.mark.parametrize("rest", [b"x", "again"])
def test_nothing_may_follow(compress, rest):
    """A chain of members, each below the limit, is refused: together they would be above it."""
    body = compress(CONTENT)
    with pytest.raises(Corrupt):
        inflate(body + (body if rest == "again" else rest), len(CONTENT))


@pytest.mark.parametrize("compress", COMPRESSORS)
def test_a_cut_body_is_corrupt(compress):
    """Every proper prefix that keeps its magic bytes is refused."""
    body = compress(CONTENT)
    for length in range(4, len(body)):
        with pytest.raises(Corrupt):
            inflate(body[:length], 100_000)


@pytest.mark.parametrize("compress", [gzip.compress])
def test_a_changed_body_is_corrupt(compress):
    """gzip's checksum is looked at."""
    body = bytearray(compress(CONTENT))
    body[-6] ^= 1
    with pytest.raises(Corrupt):
        inflate(bytes(body), 100_000)


def test_a_frame_that_asks_for_much_memory_is_corrupt():
    """A zstd window of 128 MB is refused, however small the content is said to be."""
    parameters = zstandard.ZstdCompressionParameters(window_log=27, write_content_size=False)
    stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    body = stream.compress(b"a" * 1000) + stream.flush()
    with pytest.raises(Corrupt):
        inflate(body, 100_000)


def test_zlib_without_a_gzip_header_is_not_inflated():
    """Only the two announced encodings are known; the decoder then refuses the rest."""
    assert inflate(zlib.compress(b"x"), 100) == zlib.compress(b"x")
