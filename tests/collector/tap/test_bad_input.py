"""Upstreams, clients and bodies that misbehave: the traffic passes, the count says so, memory stays where it was."""

import json
import socket
import threading
import time
import zlib
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import trustme

from collector.tap.completions import completion
from collector.tap.config import TapTarget
from collector.tap.exchange import Exchange
from collector.tap.observer import Observer
from collector.tap.source import TapSource
from watchkeeper.core.records import Completion
from watchkeeper.core.testkit import free_port
from watchkeeper.core.tls import Tls
from watchkeeper.core.vocabulary import health
from watchkeeper.core.vocabulary import tap as vocabulary

Make = Callable[..., Any]

REQUEST = b'POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 13\r\n\r\n{"model":"m"}'
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
SAID = b'data: {"model":"m-1","choices":[{"delta":{"content":"x"}}]}\n\n'
STOP = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"


def ask(between: Any, request: bytes = REQUEST) -> bytes:
    """Send, and read until the connection ends."""
    with between.connect() as client:
        client.sendall(request)
        received = bytearray()
        try:
            while data := client.recv(1 << 16):
                received += data
        except ConnectionResetError:
            received += b"<reset>"
        return bytes(received)


@pytest.mark.parametrize(
    ("steps", "outcome", "error_type", "unread"),
    [
        ((SAID, STOP, DONE), "ok", "", ""),
        ((SAID, b"data: {broken\n\n", SAID, STOP, DONE), "ok", "", "event_malformed"),
        ((SAID, b"data: [1,2]\n\n", STOP, DONE), "ok", "", "event_malformed"),
        ((SAID, b"data: \xff\xfe\n\n", STOP, DONE), "ok", "", "event_malformed"),
        ((SAID, b"data: " + b"[" * 5000 + b"\n\n", STOP, DONE), "ok", "", "event_malformed"),
        ((SAID, STOP), "ok", "", "no_done"),
        ((SAID, SAID), "error", "stream_unfinished", ""),
        ((), "error", "stream_unfinished", ""),
        ((SAID, b'data: {"error":{"message":"secret","code":500}}\n\n', DONE), "error", "500", ""),
        ((SAID, b'data: {"error":{"message":"secret","code":"429"}}\n\n'), "rejected", "429", ""),
        ((SAID, b'data: {"error":"secret words of it"}\n\n', DONE), "error", "error_in_answer", ""),
        ((SAID, 'data: {"error":{"code":"\u00b2"}}\n\n'.encode(), DONE), "error", "error_in_answer", ""),
        ((SAID, b'data: {"object":"error","message":"secret","code":400}\n\n', DONE), "client_error", "400", ""),
        ((b"data: " + b"x" * 3_000_000, b"\n\n", SAID, STOP, DONE), "ok", "", "event_too_large"),
    ],
    ids=[
        "whole",
        "broken",
        "a list",
        "not utf-8",
        "deep",
        "no done",
        "no end",
        "nothing",
        "500",
        "429",
        "words",
        "no digit",
        "of vLLM",
        "long",
    ],
)
def test_a_stream_passes_whatever_is_wrong_with_it(
    upstream: Make, tap: Make, steps: tuple[bytes, ...], outcome: str, error_type: str, unread: str
) -> None:
    between = tap(upstream(STREAM, *steps, "close"))

    assert ask(between) == STREAM + b"".join(steps)
    call = between.call()

    assert (call.outcome, call.error_type) == (outcome, error_type)
    assert call.output_tokens == (steps.count(SAID) or None)
    assert between.count(vocabulary.UNREAD) == bool(unread)
    assert between.count(vocabulary.UNREAD, reason=unread or "none") == bool(unread)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [("500 X", "error"), ("502 X", "error"), ("503 X", "rejected"), ("529 X", "rejected"), ("429 X", "rejected"),
     ("408 X", "timeout"), ("504 X", "timeout"), ("401 X", "client_error"), ("301 X", "error")],
)  # fmt: skip
def test_an_error_of_the_upstream_passes_and_says_how_the_call_ended(
    upstream: Make, tap: Make, status: str, outcome: str
) -> None:
    answer = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{{}}".encode()
    between = tap(upstream(answer, "close"))

    assert ask(between) == answer
    call = between.call()

    assert (call.outcome, call.error_type) == (outcome, status[:3])
    assert between.count(vocabulary.UPSTREAM_FAILURES) == 0


@pytest.mark.parametrize(
    ("steps", "error_type", "reason"),
    [
        (("close",), "upstream_closed", "closed"),
        (("reset",), "upstream_reset", "reset"),
        ((b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}", "close"), "upstream_closed", "closed"),
        ((b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{}", 0.1, "reset"), "upstream_reset", "reset"),
        ((b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{", "close"), "upstream_closed", "closed"),
    ],
    ids=["no answer", "reset", "short of its length", "reset without one", "short of its chunks"],
)
def test_an_upstream_that_breaks_off_is_its_failure(
    upstream: Make, tap: Make, steps: tuple[Any, ...], error_type: str, reason: str
) -> None:
    between = tap(upstream(*steps))

    ask(between)
    call = between.call()
    between.wait_for(vocabulary.UPSTREAM_FAILURES)

    assert (call.outcome, call.error_type) == ("error", error_type)
    assert between.count(vocabulary.UPSTREAM_FAILURES) == 1
    assert between.count(vocabulary.UPSTREAM_FAILURES, reason=reason) == 1


def test_nobody_behind_the_tap_is_a_502_that_says_so(tap: Make, caplog: pytest.LogCaptureFixture) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    between = tap(url)
    big = b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 300013\r\n\r\n" + b'{"model":"m"}' + b" " * 300_000

    head, _, body = ask(between).partition(b"\r\n\r\n")
    assert ask(between, big).startswith(b"HTTP/1.1 502 ")

    assert head.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
    assert b"Connection: close" in head
    error = json.loads(body)["error"]
    assert error["type"] == "upstream_unreachable"
    assert error["message"] == f"watchkeeper's tap: {url} cannot be reached (Connection refused)"
    first, second = between.calls(2)
    assert (first.outcome, first.error_type) == (second.outcome, second.error_type) == ("error", "upstream_unreachable")
    assert between.count(vocabulary.UPSTREAM_FAILURES, reason="unreachable") == 2
    assert [record.message for record in caplog.records if record.name == "watchkeeper.tap"] == [
        f"tap: {url} cannot be reached (Connection refused); its clients get 502"
    ]


def test_an_upstream_that_accepts_nothing_is_a_504(tap: Make) -> None:
    with ExitStack() as opened:
        full = opened.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        while True:  # until no more fits
            one = opened.enter_context(socket.socket())
            one.settimeout(0.2)
            try:
                one.connect(full.getsockname())
            except TimeoutError:
                break
        between = tap(f"http://127.0.0.1:{full.getsockname()[1]}", connect_timeout_seconds=0.3)

        assert ask(between).startswith(b"HTTP/1.1 504 Gateway Timeout\r\n")
        call = between.call()

    assert (call.outcome, call.error_type) == ("timeout", "upstream_connect_timeout")


def test_an_upstream_that_never_answers_is_waited_for_as_long_as_the_client_waits(upstream: Make, tap: Make) -> None:
    server = upstream("hang")
    between = tap(server, connect_timeout_seconds=3.0)  # for a machine that is busy to connect
    with between.connect() as client:
        client.sendall(REQUEST)
        between.wait(lambda: between.source._taps[0].open, "the call to begin")
        began = time.monotonic()
        client.settimeout(3.2)
        with pytest.raises(TimeoutError):
            client.recv(1)
        waited_seconds = time.monotonic() - began
    assert server.gone.wait(60)
    call = between.call()

    assert (call.outcome, call.error_type) == ("cancelled", "client_disconnect")
    assert call.duration_seconds >= waited_seconds


def test_a_certificate_that_is_not_trusted_is_a_502(upstream: Make, tap: Make, tmp_path: Path) -> None:
    pem = str(tmp_path / "both.pem")
    trustme.CA().issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(pem)
    secured = tap(upstream(), tls=Tls(pem, pem))
    between = tap(f"https://localhost:{secured.port}")

    assert ask(between).startswith(b"HTTP/1.1 502 ")
    assert between.call().error_type == "upstream_bad_certificate"


def test_past_the_bound_of_connections_a_client_is_told_to_come_back(upstream: Make, tap: Make) -> None:
    between = tap(upstream(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), max_connections=1)
    with between.connect():
        between.wait_for(vocabulary.CONNECTIONS)

        refused = ask(between)

    assert refused.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nRetry-After: 1\r\n" in refused
    between.wait_for(vocabulary.REFUSED)


def test_clients_that_are_turned_away_are_bounded_too(
    upstream: Make, tap: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.tap.tap._MOST_TURNED_AWAY", 2)
    between = tap(upstream("hang"), max_connections=1)
    with ExitStack() as opened:
        clients = [opened.enter_context(between.connect()) for _ in range(3)]
        between.wait_for(vocabulary.REFUSED, 2)

        # A reset that is quick enough is told by connect itself.
        with pytest.raises(ConnectionResetError):
            opened.enter_context(between.connect()).recv(1)
        between.wait_for(vocabulary.REFUSED, 3)
        for told in clients[1:]:
            told.sendall(REQUEST)
            assert told.recv(1 << 16).startswith(b"HTTP/1.1 503 ")


def test_past_the_bound_of_observed_connections_traffic_passes_unmeasured(upstream: Make, tap: Make) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    between = tap(upstream(answer, "close"), max_observed_connections=1)
    with between.connect():
        between.wait_for(vocabulary.CONNECTIONS)
        assert ask(between) == answer

    between.wait_for(vocabulary.UNOBSERVED, reason="too_many")
    between.wait(lambda: ask(between) == answer and bool(between.completions), "a call that is measured again")
    assert between.completions[0].outcome == "ok"


@pytest.mark.parametrize("side", ["request", "response"])
def test_a_fault_in_observing_stops_the_observing_not_the_traffic(
    upstream: Make, tap: Make, monkeypatch: pytest.MonkeyPatch, side: str, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_arguments: object) -> None:
        raise RuntimeError("secret prompt")

    monkeypatch.setattr(Observer, side, broken)
    between = tap(upstream(STREAM, SAID, 0.05, STOP, DONE, "close"))

    for _ in range(2):
        assert ask(between) == STREAM + SAID + STOP + DONE
    between.wait_for(vocabulary.UNOBSERVED, 2, reason="fault")
    between.wait(lambda: not between.source._taps[0].open, "nothing to be observed any more")

    assert between.completions == []
    lines = [record.message for record in caplog.records if record.name == "watchkeeper.tap"]
    assert len(lines) == 1
    assert "RuntimeError" in lines[0]
    assert "secret" not in caplog.text


def test_a_fault_in_reading_a_call_costs_that_call_alone(
    upstream: Make, tap: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(exchange: Exchange, target: TapTarget) -> Completion:
        if exchange.tenant == "odd":
            raise RuntimeError("secret prompt")
        return completion(exchange, target)

    monkeypatch.setattr("collector.tap.completions.completion", broken)
    between = tap(upstream(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "close"), tenant_header="x-tenant")
    for tenant in (b"a", b"odd", b"odd", b"b"):
        ask(between, REQUEST.replace(b"\r\n", b"\r\nX-Tenant: " + tenant + b"\r\n", 1))

    assert [call.tenant for call in between.calls(2)] == ["a", "b"]
    between.wait_for(health.DROPPED, 2, source="tap", reason="fault")
    [line] = [record.message for record in caplog.records if record.name == "watchkeeper.tap"]
    assert "RuntimeError" in line
    assert "secret" not in caplog.text


def test_a_stream_without_its_end_failed_whatever_its_request_was(upstream: Make, tap: Make) -> None:
    between = tap(upstream(STREAM, SAID, "close"))

    ask(between, REQUEST.replace(b'{"model":"m"}', b"not JSON here"))

    assert between.call().error_type == "stream_unfinished"
    assert between.count(vocabulary.UNREAD, reason="request_malformed") == 1


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"garbage that is no HTTP\r\n\r\n", "not_http"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x02hi", "upgraded"),
    ],
)
def test_what_is_no_http_passes_and_is_no_longer_looked_at(
    upstream: Make, tap: Make, answer: bytes, reason: str
) -> None:
    between = tap(upstream(answer, "close"))

    assert ask(between) == answer
    between.wait_for(vocabulary.UNOBSERVED, reason=reason)


def test_http2_with_prior_knowledge_passes(upstream: Make, tap: Make) -> None:
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9)
    answer = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
    between = tap(upstream(answer, "close"))

    assert ask(between, preface).startswith(answer)
    between.wait_for(vocabulary.UNOBSERVED, reason="not_http")


def test_too_many_requests_ahead_of_their_answers_are_no_longer_looked_at(upstream: Make, tap: Make) -> None:
    between = tap(upstream("hang"))
    with between.connect() as client:
        client.sendall(REQUEST * 100)

        between.wait_for(vocabulary.UNOBSERVED, reason="pipelined")
        between.wait(lambda: not between.source._taps[0].open, "the calls to be forgotten")


def test_a_bomb_in_a_compressed_answer_is_not_unpacked(upstream: Make, tap: Make) -> None:
    packer = zlib.compressobj(wbits=31)
    bomb = packer.compress(bytes(64 << 20)) + packer.flush()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
    between = tap(upstream(head % len(bomb) + bomb, "close"))

    assert ask(between) == head % len(bomb) + bomb
    call = between.call()

    assert (call.outcome, call.output_tokens) == ("ok", None)
    assert between.count(vocabulary.UNREAD, reason="answer_too_large") == 1


def test_calls_past_a_full_inbox_are_refused_and_counted_while_traffic_passes(
    upstream: Make, tap: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.tap.source._INBOX_BYTES", 5_000)
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    between = tap(upstream(answer, "close"))
    for _ in range(5):
        assert ask(between) == answer
    end = time.monotonic() + 60
    while sum(map(between.count, (health.ACCEPTED, health.REJECTED))) < 5 and time.monotonic() < end:
        time.sleep(0.01)

    between.read()

    assert between.count(health.RECEIVED, signal="calls") == 5
    assert between.count(health.ACCEPTED) == len(between.completions) == between.items == 2
    assert between.count(health.REJECTED, reason="queue_full") == 3


def test_bodies_of_all_open_calls_together_are_bounded(
    upstream: Make, tap: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.tap.source._OPEN_BYTES", 25)
    both_asked = threading.Event()
    between = tap(upstream(both_asked.wait, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "close"))
    with between.connect() as first, between.connect() as second:
        first.sendall(REQUEST)
        between.wait(lambda: len(between.source._taps[0].open) == 1, "the first call")
        second.sendall(REQUEST.replace(b'"m"', b'"n"'))
        between.wait(lambda: len(between.source._taps[0].open) == 2, "the second call")
        both_asked.set()
        assert first.recv(100)
        assert second.recv(100)
    together = {call.request_model for call in between.calls(2)}
    assert ask(between)

    assert together == {"m", ""}
    assert between.calls(3)[2].request_model == "m"
    assert between.count(vocabulary.UNREAD, reason="request_too_large") == 1


def test_a_connection_that_is_no_longer_looked_at_gives_its_room_back(
    upstream: Make, tap: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.tap.source._OPEN_BYTES", 25)
    between = tap(upstream(b"no HTTP\r\n\r\n", "close"))
    for _ in range(3):
        ask(between)

    between.wait_for(vocabulary.UNOBSERVED, 3, reason="not_http")
    between.wait(lambda: between.source._taps[0]._room._left == 25, "all of the room")


def test_open_streams_end_before_the_tap_does(upstream: Make, tap: Make) -> None:
    between = tap(upstream(STREAM, SAID, 0.4, STOP, DONE, "close"), drain_seconds=600, port=free_port())
    with between.connect() as idle, between.connect() as client:
        client.sendall(REQUEST)
        received = client.recv(1 << 16)
        between.source.close()  # does not wait for ten minutes
        while data := client.recv(1 << 16):
            received += data
        assert idle.recv(1) == b""

    assert received == STREAM + SAID + STOP + DONE
    assert between.call().outcome == "ok"  # read after the close
    with pytest.raises(ConnectionRefusedError):
        between.connect()


def test_a_stream_that_outlasts_the_time_for_draining_is_cut(upstream: Make, tap: Make) -> None:
    server = upstream(STREAM, SAID, "hang")
    between = tap(server, drain_seconds=0.2)
    with between.connect() as client:
        client.sendall(REQUEST)
        received = b""
        while not received.endswith(SAID):
            received += client.recv(1 << 16)
        between.source.close()

    assert server.gone.wait(60)
    call = between.call()
    assert (call.output_tokens, call.outcome, call.error_type) == (1, "error", "tap_stopped")


def test_the_source_says_when_its_thread_has_died(upstream: Make, tap: Make) -> None:
    between = tap(upstream())
    source: TapSource = between.source
    source._loop.call_soon_threadsafe(source._closing.set)
    source._thread.join(10)

    with pytest.raises(Exception, match="restart watchkeeper"):
        source.read(1.0)
