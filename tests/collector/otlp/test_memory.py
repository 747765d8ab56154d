"""A refused body is freed as soon as it is refused, by reference counts alone: the collector of cycles runs seldom."""

import gzip
import os
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import grpc
import pytest

MIB = 1 << 20
BODIES = 8
ALLOWED_BYTES = 8 * MIB
"""less than one of the bodies"""
RETURN_AT_ONCE = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
"""glibc gives every large block back to the system when it is freed, instead of keeping some for later"""
TYPES = {"protobuf": "application/x-protobuf", "json": "application/json"}
PROGRAM = (
    "import gc, sys; from collector.otlp.config import OtlpConfig; from collector.otlp.source import OtlpSource\n"
    "from watchkeeper.core import bounded_http; from watchkeeper.core.ledger import Ledger\n"
    "bounded_http._LINGER_SECONDS = 60.0\n"
    "source = OtlpSource(OtlpConfig(http_port=0, grpc_port=0), Ledger(), 0.0); gc.disable()\n"
    "print(source.http_port, source.grpc_port, flush=True); sys.stdin.read()"
)


class Uncollected:
    """A receiver in a process whose collector of cycles never runs."""

    def __init__(self) -> None:
        command = [sys.executable, "-c", PROGRAM]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **RETURN_AT_ONCE}
        )
        assert self.process.stdout is not None
        self.http_port, self.grpc_port = map(int, self.process.stdout.readline().split())

    def resident_bytes(self) -> int:
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * 4096

    def grew_bytes(self, before_bytes: int) -> int:
        """Now, or a little later where that is less: gRPC's own threads free the last message in their own time."""
        end = time.monotonic() + 20
        while (grown := self.resident_bytes() - before_bytes) >= ALLOWED_BYTES and time.monotonic() < end:
            time.sleep(0.05)
        return grown


@pytest.fixture
def uncollected() -> Iterator[Uncollected]:
    receiver = Uncollected()
    yield receiver
    receiver.process.kill()
    receiver.process.communicate()


def post(port: int, body: Any, encoding: str, coding: str) -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Content-Type": TYPES[encoding], "Content-Encoding": coding}
    try:
        connection.request("POST", "/v1/traces", body, headers)
        return connection.getresponse().status
    finally:
        connection.close()


def spans(content: bytes) -> bytes:
    return b'{"resourceSpans":[{"scopeSpans":[{"spans":[' + content


@cache
def broken_gzip() -> bytes:
    return gzip.compress(os.urandom(8 * MIB), 1)[:-9]


@pytest.mark.parametrize(
    ("encoding", "coding", "body", "status"),
    [
        ("protobuf", "identity", lambda: iter([bytes(MIB)] * 17), 413),
        ("protobuf", "gzip", cache(lambda: gzip.compress(bytes(32 * MIB), 1)), 413),
        ("protobuf", "deflate", cache(lambda: zlib.compress(bytes(32 * MIB), 1)), 413),
        ("protobuf", "gzip", broken_gzip, 400),
        ("protobuf", "identity", lambda: b"\xff" * (8 * MIB), 400),
        ("protobuf", "identity", lambda: b"\x0a\x00" * (4 * MIB), 413),
        ("json", "identity", lambda: spans(b'"' + b"x" * (8 * MIB)), 400),
        ("json", "identity", lambda: spans(b"[" * MIB), 400),
        ("json", "identity", lambda: spans(b"{}," * (2 * MIB) + b"{}]}]}]}"), 413),
    ],
    ids=["chunks", "gzip bomb", "deflate bomb", "broken gzip", "no protobuf", "many groups", "no json", "deep json",
         "many spans"],
)  # fmt: skip
def test_refused_bodies_leave_nothing_behind(
    uncollected: Uncollected, encoding: str, coding: str, body: Callable[[], Any], status: int
) -> None:
    got = [post(uncollected.http_port, body(), encoding, coding) for _ in range(2)]
    before = uncollected.resident_bytes()

    got += [post(uncollected.http_port, body(), encoding, coding) for _ in range(BODIES)]

    assert set(got) == {status}
    assert uncollected.grew_bytes(before) < ALLOWED_BYTES


@pytest.mark.parametrize(
    ("body", "status", "settling", "messages"),
    [
        (b"\xff" * (8 * MIB), grpc.StatusCode.INVALID_ARGUMENT, 60, 25),
        (bytes(17 * MIB), grpc.StatusCode.RESOURCE_EXHAUSTED, 5, 15),  # never whole in our hands
    ],
    ids=["no protobuf", "too large"],
)
def test_refused_messages_leave_nothing_behind(
    uncollected: Uncollected, body: bytes, status: grpc.StatusCode, settling: int, messages: int
) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{uncollected.grpc_port}") as channel:
        export = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")

        def send() -> grpc.StatusCode:
            with pytest.raises(grpc.RpcError) as caught:
                export(body, timeout=60)
            return caught.value.code()

        got = {send() for _ in range(settling)}
        before = uncollected.resident_bytes()
        got |= {send() for _ in range(messages)}

        assert got == {status}
        assert uncollected.grew_bytes(before) < ALLOWED_BYTES
