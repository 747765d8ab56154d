"""What passes: bytes, ends, pace."""

import json
import select
import socket
import ssl
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from watchkeeper.core.tls import Tls
from watchkeeper.core.vocabulary import tap as vocabulary

Make = Callable[..., Any]

REQUEST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nhOST: api.local:1234\r\nX-Dup: 1\r\nACCEPT: */*\r\nX-Dup: 2\r\n"
    b"Content-Type: application/json\r\nContent-Length: 29\r\n\r\n" + b'{"model": "m", "stream":true}'
)
CHUNKED = (
    b"HTTP/1.1 200 Fine By Me\r\nsErVeR: odd\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n"
    b"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n"
)
SAID = b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n'
ANSWERS = {
    "chunks cut anywhere, with extensions and trailers": (
        CHUNKED + b"2F;ext=1\r\n", SAID[:10], 0.01, SAID[10:] + b"\r", 0.01,
        b"\n00e\r\ndata: [DONE]\n\n\r\n0\r\nX-T: done\r\n\r\n",
    ),
    "a length": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe", 0.01, b"llo"),
    "until the end of the connection": (b"HTTP/1.0 200 OK\r\n\r\n", SAID, 0.01, SAID, "close"),
    "an error": (b"HTTP/1.1 429 Slow Down\r\nRetry-After: 7\r\ncontent-LENGTH: 2\r\n\r\n{}",),
    "an interim answer": (b"HTTP/1.1 100 Continue\r\n\r\n", 0.01, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n",),
    "not http": (b"\x00\x01\x02 whatever\r\n\r\n" * 50, "close"),
    "another protocol": (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", b"\x81\x05hello"),
}  # fmt: skip


def exchange(port: int, request: bytes, expected: bytes, ends: bool = False) -> bytes:
    """As much as is expected and what else comes within a moment of silence, or until the end."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        client.sendall(request)
        if ends:
            client.shutdown(socket.SHUT_WR)
        received = b""
        while select.select([client], [], [], 60 if len(received) < len(expected) else 0.3)[0]:
            data = client.recv(1 << 16)
            received += data
            if not data:
                received += b"<end>"
                break
        return received


@pytest.mark.parametrize("steps", ANSWERS.values(), ids=ANSWERS.keys())
def test_both_sides_receive_byte_for_byte_what_they_receive_without_the_tap(
    upstream: Make, tap: Make, steps: tuple[Any, ...]
) -> None:
    server = upstream(*steps)
    between = tap(server)

    expected = b"".join(s for s in steps if isinstance(s, bytes)) + b"<end>" * ("close" in steps)

    direct, through = exchange(server.port, REQUEST, expected), exchange(between.port, REQUEST, expected)

    assert through == direct == expected
    assert server.requests[1] == server.requests[0] == REQUEST


def test_many_requests_pass_over_one_connection_and_pipelined_ones_keep_their_order(upstream: Make, tap: Make) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    server = upstream(answer)
    between = tap(server)
    chunked = b"POST /v1/embeddings HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"

    with between.connect() as client:
        for sent, answers in ((REQUEST, 1), (chunked + b"GET /v1/models HTTP/1.1\r\n\r\n" + REQUEST, 3)):
            client.sendall(sent)
            received = b""
            while len(received) < answers * len(answer):
                received += client.recv(1 << 16)
            assert received == answer * answers

    assert server.requests == [REQUEST, chunked, b"GET /v1/models HTTP/1.1\r\n\r\n", REQUEST]
    assert server.connections == 1
    assert [call.operation for call in between.calls(3)] == ["chat", "embeddings", "chat"]
    between.wait_for(vocabulary.PASSED)
    assert between.count(vocabulary.PASSED) == 1


def test_a_client_that_only_stops_sending_still_gets_its_answer(upstream: Make, tap: Make) -> None:
    server = upstream(0.1, *ANSWERS["a length"])
    between = tap(server)

    expected = b"".join(s for s in ANSWERS["a length"] if isinstance(s, bytes)) + b"<end>"
    assert exchange(between.port, REQUEST, expected, ends=True) == expected
    assert between.call().outcome == "ok"


def test_a_stream_that_ends_because_its_client_has_gone_is_cancelled(upstream: Make, tap: Make) -> None:
    """Without a length or chunks, its end and its breaking off look the same."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    between = tap(upstream(head, b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n', "hang"))
    with between.connect() as client:
        client.sendall(b'POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 13\r\n\r\n{"model":"m"}')
        between.wait_for(vocabulary.RELAYED, len(head) + 10, direction="response")
        client.shutdown(socket.SHUT_WR)
        between.calls(1)

    assert between.call().outcome == "cancelled"


def test_a_client_that_goes_takes_its_upstream_connection_with_it(upstream: Make, tap: Make) -> None:
    server = upstream(CHUNKED, b"%x\r\n%b\r\n" % (len(SAID), SAID), "hang")
    between = tap(server)
    client = between.connect()
    client.sendall(REQUEST)
    while SAID not in client.recv(1 << 16):
        pass

    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()

    assert server.gone.wait(60)
    call = between.call()
    assert (call.outcome, call.error_type, call.output_tokens) == ("cancelled", "client_disconnect", 1)


def test_an_upstream_that_resets_resets_its_client(upstream: Make, tap: Make) -> None:
    between = tap(upstream(CHUNKED, b"%x\r\n%b\r\n" % (len(SAID), SAID), 0.05, "reset"))

    with between.connect() as client:
        client.sendall(REQUEST)
        received = bytearray()
        with pytest.raises(ConnectionResetError):
            receive_all(client, received)

    assert received.endswith(SAID + b"\r\n")
    call = between.call()
    between.wait_for(vocabulary.UPSTREAM_FAILURES)
    assert (call.outcome, call.error_type) == ("error", "upstream_reset")
    assert between.count(vocabulary.UPSTREAM_FAILURES, reason="reset") == 1


def test_a_slow_client_slows_its_upstream_and_memory_stays_bounded(upstream: Make, tap: Make) -> None:
    size = 100 << 20
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % size
    server = upstream(head, *([b"x" * (1 << 20)] * 100))
    between = tap(server)
    with between.connect() as client:
        client.sendall(REQUEST)
        before = resident_bytes()
        for _ in range(20):
            client.recv(1)
            time.sleep(0.02)

        passed = between.source._taps[0].response_bytes
        assert passed < 20 << 20  # what the kernel's buffers hold, and no more
        assert resident_bytes() - before < 16 << 20

        received = 20
        while received < len(head) + size:
            received += len(client.recv(1 << 20))
    call = between.call()
    assert (call.outcome, call.request_model) == ("ok", "m")
    assert between.count(vocabulary.UNREAD, reason="answer_too_large") == 1


def test_a_slow_upstream_slows_its_client(upstream: Make, tap: Make) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    between = tap(f"http://127.0.0.1:{listener.getsockname()[1]}")
    with between.connect() as client:
        client.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 1000000000\r\n\r\n")
        accepted, _ = listener.accept()
        client.settimeout(1.0)
        with pytest.raises(TimeoutError):
            client.sendall(b"x" * (200 << 20))

        assert between.source._taps[0].request_bytes < 20 << 20
        accepted.close()
    listener.close()


def test_a_body_of_20_mb_passes_and_the_model_comes_from_the_answer(upstream: Make, tap: Make) -> None:
    answer = b'{"model":"m-2026","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2}}'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(answer)
    server = upstream(head + answer)
    between = tap(server)
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "x" * (20 << 20)}]}).encode()
    request = b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body

    assert exchange(between.port, request, head + answer) == head + answer
    assert server.requests == [request]
    call = between.call()
    assert (call.request_model, call.response_model, call.input_tokens) == ("m-2026", "m-2026", 9)
    assert between.count(vocabulary.UNREAD, reason="request_too_large") == 1


def test_tls_on_both_sides_and_a_path_before_every_path(upstream: Make, tap: Make, tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    server = upstream(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
    files = {"tls": Tls(str(tmp_path / "both.pem"), str(tmp_path / "both.pem"))}
    inner = tap(server, **files)
    outer = tap(f"https://localhost:{inner.port}/base", ca_file=str(tmp_path / "ca.pem"), **files)
    context = ssl.create_default_context(cafile=tmp_path / "ca.pem")

    with context.wrap_socket(outer.connect(), server_hostname="localhost") as client:
        client.sendall(REQUEST)
        received = b""
        while not received.endswith(b"{}"):
            received += client.recv(1 << 16)

    changed = REQUEST.replace(b"POST /v1", b"POST /base/v1")
    assert server.requests == [changed.replace(b"api.local:1234", f"localhost:{inner.port}".encode())]
    assert received == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    assert inner.call().outcome == outer.call().outcome == "ok"


def receive_all(client: socket.socket, into: bytearray) -> None:
    while data := client.recv(1 << 16):
        into += data


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
