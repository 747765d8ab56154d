"""What is measured of a call."""

import gzip
import json
import socket
import threading
import time
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from watchkeeper.core.records import Distribution, Text
from watchkeeper.core.vocabulary import engines, health, requests
from watchkeeper.core.vocabulary import tap as vocabulary

Make = Callable[..., Any]

STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
LINES = STREAM.replace(b"text/event-stream", b"application/x-ndjson")
END = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(value: Any, name: str = "") -> bytes:
    head = f"event: {name}\n" if name else ""
    return chunk(f"{head}data: {json.dumps(value)}\n\n".encode())


def line(value: Any) -> bytes:
    return chunk(json.dumps(value).encode() + b"\n")


def delta(index: int = 0, reason: str | None = None, **said: Any) -> bytes:
    return event({"id": "id-1", "model": "m-1", "choices": [{"index": index, "delta": said, "finish_reason": reason}]})


def usage(**counts: Any) -> bytes:
    return event({"id": "id-1", "model": "m-1", "choices": [], "usage": counts})


DONE = chunk(b"data: [DONE]\n\n")


def whole(value: Any, status: bytes = b"200 OK", head: bytes = b"") -> bytes:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    head = b"Content-Type: application/json\r\n" + head if b"Content-Type" not in head else head
    return b"HTTP/1.1 %b\r\n%bContent-Length: %d\r\n\r\n%b" % (status, head, len(body), body)


def ask(
    between: Any,
    body: Any = None,
    path: str = "/v1/chat/completions",
    headers: str = "",
    until: bytes = b"",
    seen: tuple[bytes, Callable[[], object]] | None = None,
) -> bytes:
    """
    Send a request and read until `until`, or for as long as the connection lives.

    :param seen: a piece of the answer, and what to call when it is there
    """
    sent = body if isinstance(body, bytes) else json.dumps(body if body is not None else {"model": "m"}).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {len(sent)}\r\n\r\n".encode()
    with between.connect() as client:
        client.sendall(head + sent)
        received = b""
        while not (until and received.endswith(until)):
            try:
                data = client.recv(1 << 16)
            except ConnectionResetError:
                break
            received += data
            if seen is not None and seen[0] in received:
                seen[1]()
                seen = None
            if not data:
                break
        return received


def test_a_streamed_chat_is_measured_whole(upstream: Make, tap: Make) -> None:
    server = upstream(
        STREAM, delta(role="assistant", content=""), delta(content="Hel"), delta(content="lo"),
        delta(reason="stop"), usage(prompt_tokens=7, completion_tokens=2, prompt_tokens_details={"cached_tokens": 4},
                                    completion_tokens_details={"reasoning_tokens": 1}), DONE, END,
    )  # fmt: skip
    between = tap(server, name="chat", provider="vllm", tenant_header="X-Tenant")
    body = {"model": "m", "stream": True, "max_tokens": 5, "temperature": 0.5,
            "messages": [{"role": "system", "content": "Be brief."},
                         {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "image"}]}]}  # fmt: skip
    headers = f"x-tenant: blue\r\ntraceparent: 00-{'ab' * 16}-{'cd' * 8}-01\r\n"

    ask(between, body, headers=headers, until=END)
    call = between.call()

    assert (call.vantage, call.operation, call.outcome, call.error_type) == ("tap", "chat", "ok", "")
    assert (call.service, call.provider, call.tenant) == ("chat", "vllm", "blue")
    assert (call.server_address, call.server_port) == ("127.0.0.1", str(server.port))
    assert (call.request_model, call.response_model, call.response_id, call.streamed) == ("m", "m-1", "id-1", True)
    assert (call.input_tokens, call.output_tokens, call.tokens_estimated) == (7, 2, False)
    assert (call.cached_input_tokens, call.reasoning_tokens) == (4, 1)
    assert (call.max_output_tokens, call.temperature, call.finish_reasons) == (5, 0.5, ("stop",))
    assert (call.trace_id, call.span_id) == (b"\xab" * 16, b"\xcd" * 8)
    assert call.text == Text("Be brief.\nHi", "Hello")
    assert between.items == 1
    between.wait_for(health.ACCEPTED)
    ledger = [between.count(metric, source="tap") for metric in (health.RECEIVED, health.ACCEPTED, health.REJECTED)]
    assert ledger == [1, 1, 0]


def test_times_are_those_that_the_client_sees(upstream: Make, tap: Make) -> None:
    """
    First token after the role, the gaps, and the whole: what passed through the tap passed it after the upstream was
    about to send it and before the client had it, however busy the machine is.
    """
    server = upstream(STREAM, 0.05, delta(role="assistant"), 0.1, delta(content="a"), 0.03, delta(content="b"), 0.06,
                      delta(content="c"), 0.04, delta(reason="stop"), DONE, END)  # fmt: skip
    between = tap(server)
    for number in range(4):
        with between.connect() as client:
            began = time.monotonic()
            client.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}")
            first, last, end = _arrivals(client, b'"a"', b'"c"', END)
        call = between.calls(number + 1)[number]
        gaps = [sample.value for sample in between.samples if sample.metric == engines.INTER_TOKEN_LATENCY][number]
        asked = server.asked_at[number]
        _, _, first_sent, _, last_sent, _, _, end_sent = server.sent_at[8 * number :]

        assert sum(gaps.counts) == 2
        assert first_sent - asked <= call.time_to_first_token_seconds <= first - began
        assert last_sent - first <= gaps.sum <= last - first_sent
        assert end_sent - asked <= call.duration_seconds <= end - began


def _arrivals(client: socket.socket, *words: bytes) -> list[float]:
    """When each had come, in seconds of the monotonic clock."""
    received, found = b"", list[float]()
    while len(found) < len(words):
        received += client.recv(1 << 16)
        now = time.monotonic()
        found += [now for word in words[len(found) :] if word in received]
    return found


@pytest.mark.parametrize(
    "said",
    [
        {"content": "a"},
        {"reasoning_content": "a"},
        {"reasoning": "a"},
        {"refusal": "a"},
        {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": ""}}]},
        {"function_call": {"name": "f"}},
    ],
    ids=lambda said: next(iter(said)),
)
def test_the_first_token_is_content_reasoning_or_a_tool_call_but_not_a_role(
    upstream: Make, tap: Make, said: dict[str, Any]
) -> None:
    first, seen = delta(**said), threading.Event()
    server = upstream(
        STREAM, delta(role="assistant", content=None), 0.1, first, seen.wait, 0.1, delta(reason="stop"), DONE, END
    )
    between = tap(server)

    ask(between, until=END, seen=(first, seen.set))
    call = between.call()

    assert 0.1 <= call.time_to_first_token_seconds < call.duration_seconds - 0.05  # the end comes 0.1 s later
    assert (call.output_tokens, call.tokens_estimated) == (1, True)
    assert call.tool_names == (("f",) if "call" in next(iter(said)) else ())


def test_tokens_that_nobody_reports_are_counted_from_chunks_and_marked(upstream: Make, tap: Make) -> None:
    server = upstream(
        STREAM, delta(0, content="a"), delta(1, content="a"), delta(1, content="b"), delta(0, "length"),
        delta(1, "tool_calls"), DONE, END,
    )  # fmt: skip
    between = tap(server)

    ask(between, until=END)
    call = between.call()

    assert (call.input_tokens, call.output_tokens, call.tokens_estimated) == (None, 3, True)
    assert call.finish_reasons == ("length", "tool_call")
    assert call.text is not None
    assert call.text.answer == "a"  # of the first choice


def test_timings_of_llama_cpp_stand_in_for_usage(upstream: Make, tap: Make) -> None:
    timings = {"prompt_n": 5, "cache_n": 3, "predicted_n": 2, "prompt_ms": 20.0, "predicted_ms": 40.0}
    server = upstream(
        STREAM, delta(content="a"), delta(content="b"), event({"choices": [], "timings": timings}), DONE, END
    )
    between = tap(server)

    ask(between, until=END)
    call = between.call()

    assert (call.input_tokens, call.cached_input_tokens, call.output_tokens) == (8, 3, 2)
    assert (call.tokens_estimated, call.prefill_seconds, call.decode_seconds) == (False, 0.02, 0.04)


def test_timings_with_every_token_are_counted_to_the_last_and_by_choice(upstream: Make, tap: Make) -> None:
    def timed(choice: Any, tokens: Any, **more: Any) -> bytes:
        return event({
            "choices": [{"index": choice, "delta": {"content": "a"}}],
            "timings": {"prompt_n": 5, "predicted_n": tokens, **more},
        })  # fmt: skip

    server = upstream(STREAM, timed(0, 1), timed(1, 1), timed(0, 2), timed(0, 3), timed([], 9), DONE, END)
    between = tap(server)

    ask(between, until=END)
    call = between.call()

    assert (call.input_tokens, call.output_tokens, call.tokens_estimated) == (5, 4, False)


@pytest.mark.parametrize(
    "timings",
    [{"prompt_ms": 1e300, "predicted_ms": -5.0, "predicted_n": -1}, {"prompt_ms": None, "predicted_n": True}, {}],
)
def test_timings_that_cannot_be_are_none(upstream: Make, tap: Make, timings: dict[str, Any]) -> None:
    server = upstream(STREAM, delta(content="a"), event({"choices": [], "timings": timings}), DONE, END)
    between = tap(server)

    ask(between, until=END)
    call = between.call()

    assert (call.prefill_seconds, call.decode_seconds) == (None, None)
    assert (call.input_tokens, call.output_tokens, call.tokens_estimated) == (None, 1, True)
    assert between.count(vocabulary.UNREAD) == 0


def test_ollamas_counts_that_are_none_do_not_hide_the_end(upstream: Make, tap: Make) -> None:
    last = {"model": "o", "done": True, "done_reason": "stop", "eval_count": None, "eval_duration": None}
    server = upstream(LINES, line({"model": "o", "response": "a", "done": False}), line(last), END)
    between = tap(server)

    ask(between, path="/api/generate", until=END)
    call = between.call()

    assert (call.outcome, call.finish_reasons, call.output_tokens, call.tokens_estimated) == ("ok", ("stop",), 1, True)


def test_the_responses_api_is_read_by_its_types(upstream: Make, tap: Make) -> None:
    kinds = {"id": "r-1", "model": "m-1"}
    done = {
        **kinds,
        "status": "incomplete",
        "incomplete_details": {"reason": "max_output_tokens"},
        "usage": {"input_tokens": 3, "output_tokens": 9, "output_tokens_details": {"reasoning_tokens": 4}},
    }
    server = upstream(
        STREAM, event({"type": "response.created", "response": kinds}, "response.created"), 0.05,
        event({"type": "response.reasoning_text.delta", "delta": "hm"}),
        event({"type": "response.output_text.delta", "delta": "yes"}, "response.output_text.delta"),
        event({"type": "response.output_text.done", "text": "yes"}),
        event({"type": "response.incomplete", "response": done}), END,
    )  # fmt: skip
    between = tap(server)

    ask(between, {"model": "m", "input": "Why?", "max_output_tokens": 9}, "/openai/v1/responses", until=END)
    call = between.call()

    assert (call.outcome, call.response_id, call.response_model) == ("ok", "r-1", "m-1")
    assert (call.input_tokens, call.output_tokens, call.reasoning_tokens) == (3, 9, 4)
    assert (call.finish_reasons, call.max_output_tokens) == (("length",), 9)
    assert call.text == Text("Why?", "hmyes")
    assert call.time_to_first_token_seconds >= 0.05
    [gaps] = [sample.value for sample in between.samples if sample.metric == engines.INTER_TOKEN_LATENCY]
    assert isinstance(gaps, Distribution)
    assert sum(gaps.counts) == 1


@pytest.mark.parametrize(
    ("path", "said"),
    [("/api/chat", {"message": {"role": "assistant", "content": "a"}}), ("/api/generate", {"response": "a"})],
)
def test_ollamas_own_api_is_read_line_by_line(upstream: Make, tap: Make, path: str, said: dict[str, Any]) -> None:
    last = {"model": "q", "done": True, "done_reason": "stop", "eval_count": 2, "prompt_eval_duration": 3_000_000_000,
            "eval_duration": 500_000_000}  # fmt: skip
    body = line({"model": "q", **said, "done": False})
    server = upstream(LINES, body, 0.03, body[:9], body[9:], line(last), END)
    between = tap(server)

    ask(between, {"model": "q", "prompt": "Hi", "options": {"num_predict": 4, "temperature": 1}}, path, until=END)
    call = between.call()

    assert call.operation == ("chat" if path == "/api/chat" else "text_completion")
    assert (call.outcome, call.finish_reasons, call.streamed) == ("ok", ("stop",), True)
    assert (call.input_tokens, call.output_tokens) == (0, 2)  # a count that is left out is 0
    assert (call.prefill_seconds, call.decode_seconds) == (3.0, 0.5)
    assert (call.max_output_tokens, call.temperature, call.text) == (4, 1.0, Text("Hi", "aa"))


WHOLE_CHAT = {
    "id": "id-1",
    "model": "m-1",
    "usage": {"prompt_tokens": 3, "completion_tokens": 1},
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "a"}, "finish_reason": "stop"}],
}


@pytest.mark.parametrize(
    ("path", "body", "operation"),
    [
        ("/v1/chat/completions", WHOLE_CHAT, "chat"),
        ("/openai/deployments/d/chat/completions?api-version=1", WHOLE_CHAT, "chat"),
        ("/chat/completions", WHOLE_CHAT, "chat"),
        ("/v1/completions", WHOLE_CHAT | {"choices": [{"text": "a", "finish_reason": "stop"}]}, "text_completion"),
        (
            "/v1/responses",
            {"model": "m-1", "status": "completed", "usage": {"input_tokens": 3, "output_tokens": 1},
             "output": [{"type": "message", "content": [{"type": "output_text", "text": "a"}]}]},
            "chat",
        ),
        ("/api/generate", {"model": "m-1", "response": "a", "done": True, "done_reason": "stop", "prompt_eval_count": 3,
                           "eval_count": 1}, "text_completion"),
    ],
)  # fmt: skip
def test_an_answer_in_one_piece_is_measured_without_a_first_token(
    upstream: Make, tap: Make, path: str, body: dict[str, Any], operation: str
) -> None:
    answer = whole(body)
    between = tap(upstream(answer))

    ask(between, path=path, until=answer[-5:])
    call = between.call()

    assert (call.operation, call.outcome, call.streamed) == (operation, "ok", False)
    assert (call.input_tokens, call.output_tokens, call.tokens_estimated) == (3, 1, False)
    assert (call.response_model, call.finish_reasons) == ("m-1", ("stop",))
    assert call.time_to_first_token_seconds is None
    assert call.text is not None
    assert call.text.answer == "a"
    assert not [sample for sample in between.samples if sample.metric == engines.INTER_TOKEN_LATENCY]


def test_embeddings_count_their_input(upstream: Make, tap: Make) -> None:
    answer = whole(
        {"model": "e", "data": [{"embedding": [0.5] * 1000}], "usage": {"prompt_tokens": 6, "total_tokens": 6}}
    )
    between = tap(upstream(answer))

    ask(between, {"model": "e", "input": ["one", "two"]}, "/v1/embeddings", until=answer[-5:])
    call = between.call()

    assert (call.operation, call.outcome, call.input_tokens, call.output_tokens) == ("embeddings", "ok", 6, None)
    assert call.text == Text("one\ntwo", "")


@pytest.mark.parametrize("coding", ["gzip", "deflate", "raw deflate"])
def test_a_compressed_stream_is_read(upstream: Make, tap: Make, coding: str) -> None:
    packer = zlib.compressobj(wbits={"gzip": 31, "deflate": 15, "raw deflate": -15}[coding])
    plain = [b'data: {"choices":[{"delta":{"content":"a"}}],"model":"m-1"}\n\n', b"data: [DONE]\n\n"]
    packed = [chunk(packer.compress(piece) + packer.flush(zlib.Z_SYNC_FLUSH)) for piece in plain]
    head = STREAM.replace(b"\r\n\r\n", b"\r\nContent-Encoding: %b\r\n\r\n" % coding.split()[-1].encode())
    seen = threading.Event()
    between = tap(upstream(head, packed[0], seen.wait, packed[1], END))

    ask(between, until=END, seen=(packed[0], seen.set))
    call = between.call()

    assert (call.outcome, call.response_model, call.output_tokens) == ("ok", "m-1", 1)
    assert call.time_to_first_token_seconds < call.duration_seconds  # not held back to the end


def test_a_compressed_request_is_read(upstream: Make, tap: Make) -> None:
    answer = whole(WHOLE_CHAT)
    between = tap(upstream(answer))

    ask(between, gzip.compress(b'{"model":"packed"}'), headers="Content-Encoding: gzip\r\n", until=answer[-5:])

    assert between.call().request_model == "packed"


def test_a_coding_that_is_not_known_costs_the_tokens_alone(upstream: Make, tap: Make) -> None:
    answer = whole(b"\x0b\x02\x80", head=b"Content-Encoding: br\r\n")
    between = tap(upstream(answer))

    ask(between, until=answer[-3:])
    call = between.call()

    assert (call.outcome, call.request_model, call.output_tokens) == ("ok", "m", None)
    assert between.count(vocabulary.UNREAD, reason="encoding") == 1


def test_requests_under_way_are_counted_by_their_model(upstream: Make, tap: Make) -> None:
    between = tap(upstream("hang"), name="chat")
    with between.connect() as client:
        client.sendall(b'POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 13\r\n\r\n{"model":"m"}')
        between.wait(lambda: under_way(between, "m") == 1, "a request under way")
    between.wait(lambda: under_way(between, "m") == 0, "its end")

    assert under_way(between, "m") == 0


def under_way(between: Any, model: str) -> float:
    found = [
        sample.value
        for sample in between.samples
        if sample.metric == requests.IN_FLIGHT and ("gen_ai.request.model", model) in sample.labels
    ]
    return float(found[-1]) if found else -1


def test_a_client_that_leaves_when_it_has_read_all_has_not_cancelled(upstream: Make, tap: Make) -> None:
    between = tap(upstream(STREAM, delta(content="a"), delta(reason="stop"), DONE, "hang"))

    ask(between, until=DONE)

    assert between.call().outcome == "ok"


@pytest.mark.parametrize(
    ("body", "model", "reason"),
    [(b"not json", "", "request_malformed"), (b"[1]", "", "request_malformed"), (b'{"x":1}', "", "no_model"),
     (b'{"model":7}', "", "no_model"), (b"", "", "request_malformed")],
)  # fmt: skip
def test_a_request_without_a_model_passes_and_its_error_is_the_clients(
    upstream: Make, tap: Make, body: bytes, model: str, reason: str
) -> None:
    answer = whole({"error": {"message": "no"}}, b"400 Bad Request")
    between = tap(upstream(answer))

    assert ask(between, body, until=answer[-5:]) == answer
    call = between.call()

    assert (call.request_model, call.outcome, call.error_type) == (model, "client_error", "400")
    assert between.count(vocabulary.UNREAD, reason=reason) == 1


def test_an_upgrade_that_is_declined_does_not_hide_the_call(upstream: Make, tap: Make) -> None:
    """Java's client asks for HTTP/2 in the first request of a connection."""
    answer = whole(WHOLE_CHAT)
    between = tap(upstream(answer))
    upgrade = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAA\r\n"
    body = b'{"model":"java"}'
    first = f"POST /v1/chat/completions HTTP/1.1\r\n{upgrade}Content-Length: {len(body)}\r\n\r\n".encode() + body
    second = b'POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 13\r\n\r\n{"model":"n"}'

    with between.connect() as client:
        for request in (first, second):
            client.sendall(request)
            received = b""
            while received != answer:
                received += client.recv(1 << 16)

    assert [call.request_model for call in between.calls(2)] == ["java", "n"]
