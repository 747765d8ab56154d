from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from collector.tap import completions
from collector.tap.config import TapTarget
from collector.tap.exchange import Exchange, Room
from collector.tap.observer import Observer
from watchkeeper.core.records import Completion

TARGET = TapTarget(port=1, upstream="http://127.0.0.1:2", tenant_header="tenant")
BODY = b'{"model":"m","messages":[{"role":"user","content":"Hi"}]}'
ASKED = (
    b"POST /v1/chat/completions HTTP/1.1\r\nTenant: t\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY,
    b"POST /v1/completions HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\n{\"m\r\nA\r\nodel\":\"n\"}\r\n0\r\n\r\n",
    b"GET /v1/models HTTP/1.1\r\n\r\n",
    b"HEAD /health HTTP/1.1\r\n\r\n",
)  # fmt: skip
SSE = (
    b'data: {"model":"a","choices":[{"delta":{"content":"x"}}]}\r\n\r\n: note\n\n'
    b'data: {"choices":[{"delta":{},"finish_reason":"length"}]}\n\ndata: [DONE]\n\n'
)
WHOLE = b'{"model":"b","usage":{"completion_tokens":3},"x":"  "}'
ANSWERED = (
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
    + b"".join(b"%x\r\n%b\r\n" % (len(SSE[i : i + 17]), SSE[i : i + 17]) for i in range(0, len(SSE), 17))
    + b"0\r\nX: y\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(WHOLE), WHOLE),
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
)


class Seen:
    """What an observer tells."""

    def __init__(self) -> None:
        self.ended_calls: list[Exchange] = []
        self.begun = self.passed_requests = 0

    def began(self, exchange: Exchange) -> None:
        self.begun += 1

    def passed(self) -> None:
        self.passed_requests += 1

    def ended(self, exchange: Exchange) -> None:
        self.ended_calls.append(exchange)

    def records(self) -> list[Completion]:
        return [completions.completion(exchange, TARGET) for exchange in self.ended_calls]


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[low:high] for low, high in pairwise(edges)]


def observe(asked: list[bytes], answered: list[bytes]) -> tuple[list[Completion], Any]:
    seen = Seen()
    observer = Observer(TARGET, seen, lambda: 1e9, Room(1 << 20))
    for data in asked:
        observer.request(data, 10.0)
    for data in answered:
        observer.response(data, 12.0)
    lacked = observer.upstream_gone("upstream_closed", 13.0)
    return seen.records(), (seen.begun, seen.passed_requests, lacked, observer.is_busy)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.integers(0, 1000), max_size=30), st.lists(st.integers(0, 2000), max_size=40), st.integers(1, 3))
def test_what_is_observed_does_not_depend_on_how_the_bytes_are_cut(
    asked: list[int], answered: list[int], calls: int
) -> None:
    sent, received = b"".join(ASKED[:calls]), b"".join(ANSWERED[:calls])
    expected = observe([sent], [received])

    assert observe(pieces(sent, asked), pieces(received, answered)) == expected
    assert [call.request_model for call in expected[0]] == ["m", "n"][:calls]
    assert [call.output_tokens for call in expected[0]] == [1, 3][:calls]
    assert expected[1] == (min(calls, 2), int(calls == 3), False, False)


def test_each_byte_alone_tells_the_same() -> None:
    sent, received = b"".join(ASKED[:3]), b"".join(ANSWERED)

    one_by_one = observe([bytes([byte]) for byte in sent], [bytes([byte]) for byte in received])

    assert one_by_one == observe([sent], [received])


def test_the_answer_to_a_head_request_has_no_body() -> None:
    seen = Seen()
    observer = Observer(TARGET, seen, lambda: 1e9, Room(1 << 20))
    observer.request(ASKED[3], 1.0)
    observer.response(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", 2.0)
    assert not observer.is_busy

    observer.request(ASKED[0], 3.0)
    observer.response(ANSWERED[1], 4.0)

    [call] = seen.records()
    assert (call.outcome, call.output_tokens) == ("ok", 3)


def test_an_answer_that_nobody_asked_for_is_no_call() -> None:
    """Servers end an idle connection with 408."""
    seen = Seen()
    observer = Observer(TARGET, seen, lambda: 1e9, Room(1 << 20))

    observer.response(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n", 1.0)

    assert not observer.upstream_gone("upstream_closed", 2.0)
    assert seen.records() == []


def test_an_answer_before_the_end_of_the_request_ends_the_call() -> None:
    seen, room = Seen(), Room(1000)
    observer = Observer(TARGET, seen, lambda: 1e9, room)
    observer.request(b"POST /v1/embeddings HTTP/1.1\r\nContent-Length: 100\r\n\r\n{", 1.0)
    observer.response(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n", 2.0)
    observer.request(b"x" * 50, 3.0)

    assert room.take(1000)  # the rest of its body is not kept
    [call] = seen.records()
    assert (call.operation, call.outcome, call.duration_seconds) == ("embeddings", "client_error", 1.0)
