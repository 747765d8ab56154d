from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.tap.streams import Events, JsonLines, Lines, ServerSentEvents

ends = st.sampled_from([b"\n", b"\r\n", b"\r"])
sse_lines = st.sampled_from(
    [b"data: a", b"data:b", b"data:  c", b"data", b":", b"event: x", b"id: 7", b"", b"", b"data: " + b"x" * 40, b"d"]
)  # fmt: skip


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[low:high] for low, high in pairwise(edges)]


def events(reader: Events, pieces: list[bytes]) -> list[bytes]:
    found = [event for piece in pieces for event in reader.feed(piece)]
    return [*found, *reader.end()]


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(sse_lines, ends), max_size=12), st.lists(st.integers(0, 500), max_size=20), st.booleans())
def test_events_do_not_depend_on_how_the_bytes_are_cut(
    lines: list[tuple[bytes, bytes]], cuts: list[int], marked: bool
) -> None:
    stream = (b"\xef\xbb\xbf" if marked else b"") + b"".join(line + end for line, end in lines)
    whole, cut, single = (ServerSentEvents(limit=30) for _ in range(3))

    expected = events(whole, [stream] if stream else [])

    assert events(cut, split(stream, cuts)) == expected
    assert events(single, [bytes([byte]) for byte in stream]) == expected
    assert whole.dropped == cut.dropped == single.dropped


@settings(deadline=None, max_examples=200)
@given(st.lists(st.binary(max_size=40).filter(lambda line: not set(line) & set(b"\r\n")), max_size=8), ends,
       st.lists(st.integers(0, 400), max_size=20))  # fmt: skip
def test_lines_do_not_depend_on_how_the_bytes_are_cut(lines: list[bytes], end: bytes, cuts: list[int]) -> None:
    data = b"".join(line + end for line in lines)
    cut = Lines(limit=30)

    found = [line for piece in split(data, cuts) for line in cut.feed(piece)]

    assert found == [line for line in lines if len(line) <= 30]
    assert cut.dropped == sum(len(line) > 30 for line in lines)


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"data: one\n\n", [b"one"]),
        (b"data:one\r\n\r\ndata: two\r\r", [b"one", b"two"]),
        (b"data: one\ndata: two\n\n", [b"one\ntwo"]),
        (b"\xef\xbb\xbfdata: one\n\n", [b"one"]),
        (b": keep-alive\n\nevent: message\nid: 1\nretry: 3\ndata: one\n\n", [b"one"]),
        (b"data\n\n", [b""]),
        (b"data:  two spaces\n\n", [b" two spaces"]),
        (b"datax: no\n\n data: no\n\n", []),
        (b"data: [DONE]", [b"[DONE]"]),
        (b"data: [DONE]\n", [b"[DONE]"]),
    ],
)
def test_an_event_is_what_the_standard_says(stream: bytes, expected: list[bytes]) -> None:
    assert events(ServerSentEvents(limit=1000), [stream]) == expected


def test_an_event_of_many_short_lines_is_bounded_too() -> None:
    reader = ServerSentEvents(limit=50)

    assert events(reader, [b"data: ten bytes.\n" * 10 + b"\ndata: next\n\n"]) == [b"next"]
    assert reader.dropped == 1


def test_json_lines_are_lines_that_hold_something() -> None:
    assert events(JsonLines(limit=10), [b'{"a":1}\n\n{"b"', b":2}\n", b'{"c":3}', b'\n{"d":4}']) == [
        b'{"a":1}',
        b'{"b":2}',
        b'{"c":3}',
        b'{"d":4}',
    ]


def test_a_line_without_an_end_holds_no_more_than_its_limit() -> None:
    lines = Lines(limit=1000)
    for _ in range(10_000):
        assert lines.feed(b"x" * 100) == []

    assert lines.feed(b"end\nnext\n") == [b"next"]
    assert (lines.dropped, len(lines._rest)) == (1, 0)
