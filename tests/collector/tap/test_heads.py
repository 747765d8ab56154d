import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.tap.heads import _END_OF_HEAD, HeadRewriter

HEAD = b"POST /v1/chat/completions?a=b HTTP/1.1\r\nhOsT:  localhost:8001\r\nX-B: 2\r\nX-A: 1\r\nX-B: 2\r\n"
CHANGED = b"POST /api/v1/chat/completions?a=b HTTP/1.1\r\nhOsT:  up.example\r\nX-B: 2\r\nX-A: 1\r\nX-B: 2\r\n"
BODY = b'{"Host: a": "GET / HTTP/1.1\r\nHost: b\r\n\r\n"}'
CHUNKS = (
    b"Transfer-Encoding: chunked\r\n\r\n19;x=y\r\nGET / HTTP/1.1\r\nHost: c\r\n\r\n0\r\nX: y\r\nHost: trailer\r\n\r\n"
)
LENGTH = b"content-length: %d\r\n\r\n" % len(BODY)


def passed(pieces: list[bytes]) -> bytes:
    rewriter = HeadRewriter("up.example", "/api")
    return b"".join(rewriter.feed(piece) for piece in pieces) + rewriter.rest()


requests = st.sampled_from(
    [
        (HEAD + LENGTH + BODY, CHANGED + LENGTH + BODY),
        (HEAD + CHUNKS, CHANGED + CHUNKS),
        (HEAD + b"\r\n", CHANGED + b"\r\n"),
        (b"\r\nGET / HTTP/1.0\n\n", b"\r\nGET /api/ HTTP/1.0\n\n"),
        (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", b"OPTIONS * HTTP/1.1\r\nHost: up.example\r\n\r\n"),
        (b"GET http://x:1/y HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /api/y HTTP/1.1\r\nHost: up.example\r\n\r\n"),
    ]
)


@settings(deadline=None, max_examples=300)
@given(st.lists(requests, max_size=4), st.lists(st.integers(0, 2000), max_size=30))
def test_only_host_and_path_of_each_head_change_however_the_bytes_are_cut(
    sent: list[tuple[bytes, bytes]], cuts: list[int]
) -> None:
    data = b"".join(before for before, _ in sent)
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})

    assert passed([data[low:high] for low, high in pairwise(edges)]) == b"".join(after for _, after in sent)


@pytest.mark.parametrize(
    "foreign",
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(20) + b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\n" + b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"x" * 300_000,
    ],
    ids=["http2", "tls", "two lengths", "endless head"],
)
def test_what_is_not_understood_passes_as_it_is_from_there_on(foreign: bytes) -> None:
    assert passed([foreign]) == foreign
    assert passed([foreign[:7], foreign[7:]]) == foreign


@pytest.mark.parametrize("foreign", [b"\x16\x03\x01\x02\x00 hello", b"a  b", b"GET / HTTP/1.1 x"])
def test_what_can_become_no_request_line_is_not_held_back(foreign: bytes) -> None:
    assert HeadRewriter("up", "/p").feed(foreign) == foreign


def test_a_head_that_comes_byte_by_byte_is_searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    searched = []

    class Counting:
        def search(self, held: bytearray, start: int) -> re.Match[bytes] | None:
            searched.append(len(held) - start)
            return _END_OF_HEAD.search(held, start)

    monkeypatch.setattr("collector.tap.heads._END_OF_HEAD", Counting())
    head = HEAD + b"X: " + b"x" * 5_000 + b"\r\n\r\n"

    assert passed([bytes([byte]) for byte in head]) == CHANGED + head.removeprefix(HEAD)
    assert max(searched) <= 4


def test_after_an_upgrade_that_was_agreed_to_nothing_is_changed() -> None:
    frames = b"GET /not-http HTTP/1.1\r\nHost: frame\r\n\r\n"
    ask = b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n"
    agreed, declined = HeadRewriter("up", "/p"), HeadRewriter("up", "/p")
    for rewriter, answer in ((agreed, b"HTTP/1.1 101 Switching"), (declined, b"HTTP/1.1 200 OK\r\n")):
        assert rewriter.feed(ask) == ask.replace(b"/ws", b"/p/ws").replace(b" x\r", b" up\r")
        rewriter.hear(answer)

    assert agreed.feed(frames) == frames
    assert declined.feed(frames) == frames.replace(b"/not", b"/p/not").replace(b" frame", b" up")


def test_a_chunk_size_that_is_none_ends_the_changing_not_the_passing() -> None:
    odd = b"Transfer-Encoding: chunked\r\n\r\nzz\r\nHTTP\r\n"

    assert passed([HEAD + odd]) == CHANGED + odd
