import gzip
import zlib
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.otlp import compression
from collector.otlp.compression import Coding, Corrupt, TooLarge, decode

LIMIT = 4 << 20
BODIES = st.one_of(
    st.binary(max_size=2000),
    st.builds(lambda piece, times: piece * times, st.binary(min_size=1, max_size=50), st.integers(0, 60_000)),
)


def raw_deflate(body: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(body) + stream.flush()


COMPRESS = {Coding.IDENTITY: bytes, Coding.GZIP: gzip.compress, Coding.DEFLATE: zlib.compress}


@pytest.mark.parametrize("coding", Coding)
@settings(deadline=None, max_examples=60)
@given(body=BODIES)
def test_what_a_sender_compressed_comes_back(coding: Coding, body: bytes) -> None:
    assert decode(COMPRESS[coding](body), coding, LIMIT) == body


@settings(deadline=None, max_examples=60)
@given(body=BODIES)
def test_deflate_without_its_zlib_wrapper_comes_back(body: bytes) -> None:
    assert decode(raw_deflate(body), Coding.DEFLATE, LIMIT) == body


@settings(deadline=None, max_examples=40)
@given(bodies=st.lists(BODIES, min_size=1, max_size=5), padding=st.integers(0, 600))
def test_gzip_members_are_joined_and_zero_padding_after_them_is_ignored(bodies: list[bytes], padding: int) -> None:
    stream = b"".join(gzip.compress(body) for body in bodies) + bytes(padding)

    assert decode(stream, Coding.GZIP, 5 * LIMIT) == b"".join(bodies)


@pytest.mark.parametrize("coding", Coding)
@settings(deadline=None, max_examples=40)
@given(body=BODIES)
def test_the_limit_is_exact(coding: Coding, body: bytes) -> None:
    compressed = COMPRESS[coding](body)

    assert decode(compressed, coding, len(body)) == body
    if body:
        with pytest.raises(TooLarge):
            decode(compressed, coding, len(body) - 1)


def test_the_limit_counts_all_gzip_members_together() -> None:
    with pytest.raises(TooLarge):
        decode(gzip.compress(bytes(600)) * 2, Coding.GZIP, 1000)


@pytest.mark.parametrize("size", [1 << 20, (1 << 20) + 5, (1 << 20) + 150, 2 << 20])
def test_output_that_ends_with_a_step_is_whole(size: int) -> None:
    """
    A bare deflate stream has no trailer, so its last bytes may wait inside zlib when all input is used.
    """
    assert decode(raw_deflate(bytes(size)), Coding.DEFLATE, LIMIT) == bytes(size)


@pytest.mark.parametrize("coding", [Coding.GZIP, Coding.DEFLATE])
@settings(deadline=None, max_examples=60)
@given(body=BODIES, data=st.data())
def test_a_truncated_stream_is_corrupt(coding: Coding, body: bytes, data: st.DataObject) -> None:
    compressed = COMPRESS[coding](body)
    cut = data.draw(st.integers(0, len(compressed) - 1))

    with pytest.raises(Corrupt):
        decode(compressed[:cut], coding, LIMIT)


@pytest.mark.parametrize("coding", [Coding.GZIP, Coding.DEFLATE])
@settings(deadline=None, max_examples=100)
@given(body=st.binary(max_size=300))
def test_any_bytes_give_bytes_within_the_limit_or_one_of_two_errors(coding: Coding, body: bytes) -> None:
    with suppress(Corrupt, TooLarge):
        assert len(decode(body, coding, 1000)) <= 1000


@pytest.mark.parametrize("stream", [zlib.compress(b"body"), raw_deflate(b"body")])
def test_bytes_after_a_deflate_stream_are_corrupt(stream: bytes) -> None:
    with pytest.raises(Corrupt):
        decode(stream + b"more", Coding.DEFLATE, LIMIT)


def test_a_body_of_countless_empty_gzip_members_is_refused() -> None:
    with pytest.raises(Corrupt):
        decode(gzip.compress(b"") * (compression.MAX_MEMBERS + 1), Coding.GZIP, LIMIT)
