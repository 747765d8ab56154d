"""A real receiver on free ports of the loopback address, and requests to send to it."""

import asyncio
import http.client
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from collector.otlp.config import OtlpConfig
from collector.otlp.source import OtlpSource
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.vocabulary import health

PROTOBUF = {"Content-Type": "application/x-protobuf"}
JSON = {"Content-Type": "application/json"}
WAIT_SECONDS: Final = 60.0


class Receiver:
    """An OtlpSource, with what it says of itself added up."""

    def __init__(self, **settings: Any) -> None:
        config = {"http_port": 0, "grpc_port": 0, "shutdown_grace_seconds": 0, **settings}
        self.ledger = Ledger()
        self.source = OtlpSource(OtlpConfig(**config), self.ledger, started_at=time.time())
        self._counts: dict[Any, float] = {}

    @property
    def grpc_target(self) -> str:
        return f"127.0.0.1:{self.source.grpc_port}"

    def url(self, path: str = "/v1/traces") -> str:
        return f"http://127.0.0.1:{self.source.http_port}{path}"

    def items(self) -> int:
        """Accepted since the last call."""
        items = self.source.read(time.time()).items
        self.source.folded()
        return items

    def refusals(self) -> dict[str, float]:
        """Reason to requests refused since the start, signals added up; those at 0 left out."""
        found: dict[str, float] = {}
        for (metric, labels), value in self.counts().items():
            if metric == health.REFUSED_REQUESTS and value:
                reason = dict(labels)["reason"]
                found[reason] = found.get(reason, 0) + value
        return found

    def wait_until_refused(self, reason: str) -> None:
        """Until a request was refused or an item rejected for this reason; a peer may hear of it before we count."""
        refused = (health.REFUSED_REQUESTS, health.REJECTED)

        def is_counted() -> bool:
            return any(
                metric in refused and value and ("reason", reason) in labels
                for (metric, labels), value in self.counts().items()
            )

        self.wait(is_counted, f"a refusal as {reason}")

    @staticmethod
    def wait(is_so: Callable[[], bool], what: str) -> None:
        """Until it is so."""
        end = time.monotonic() + WAIT_SECONDS
        while not is_so():
            assert time.monotonic() < end, f"waited for {what}"
            time.sleep(0.01)

    def counts(self) -> dict[Any, float]:
        """(metric, labels) to its total since the start."""
        for sample in self.ledger.drain(time.time()):
            key = (sample.metric, sample.labels)
            self._counts[key] = self._counts.get(key, 0) + float(sample.value)
        return self._counts

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.source.http_port, timeout=30)

    def raw(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.source.http_port), timeout=30)

    @staticmethod
    def head(*lines: str) -> bytes:
        """Of a POST with these lines among its headers."""
        fixed = ("POST /v1/traces HTTP/1.1", "Host: a", "Content-Type: application/x-protobuf")
        return "\r\n".join((*fixed, *lines, "", "")).encode()

    @staticmethod
    def all_from(connection: socket.socket) -> bytes:
        """What comes until the other side closes."""
        parts = []
        try:
            while part := connection.recv(65536):
                parts.append(part)
        except ConnectionResetError:
            pass
        return b"".join(parts)

    def request(
        self, method: str, path: str, body: Any, headers: dict[str, str]
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        connection = self.connect()
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def post(
        self, body: Any, headers: dict[str, str] = PROTOBUF, path: str = "/v1/traces"
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        return self.request("POST", path, body, headers)


@pytest.fixture
def receive() -> Iterator[Callable[..., Receiver]]:
    """Starts receivers with the settings given; closes them after the test."""
    started: list[Receiver] = []

    def start(**settings: Any) -> Receiver:
        started.append(Receiver(**settings))
        return started[-1]

    yield start
    for receiver in started:
        receiver.source.close()


@pytest.fixture
def receiver(receive: Callable[..., Receiver]) -> Receiver:
    """One with the defaults."""
    return receive()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A receiver that reads what it refuses to its end, however long its sender is kept from sending."""
    monkeypatch.setattr("watchkeeper.core.bounded_http._LINGER_SECONDS", WAIT_SECONDS)


class Grace:
    """The time of grace of a receiver that is set to `seconds` of it: from `begun` to `over`, which the test sets."""

    seconds: Final = 59.75

    def __init__(self) -> None:
        self.begun, self.over = threading.Event(), threading.Event()
        self._sleep = asyncio.sleep

    async def sleep(self, seconds: float) -> None:
        if seconds != self.seconds:
            return await self._sleep(seconds)
        self.begun.set()
        while not self.over.is_set():
            await self._sleep(0.01)


@pytest.fixture
def grace(monkeypatch: pytest.MonkeyPatch) -> Iterator[Grace]:
    held = Grace()
    monkeypatch.setattr(asyncio, "sleep", held.sleep)
    yield held
    held.over.set()


class OwnProcess:
    """A receiver in a process of its own, whose memory is nobody else's."""

    _PROGRAM = (
        "import sys; from collector.otlp.config import OtlpConfig; from collector.otlp.source import OtlpSource\n"
        "from watchkeeper.core import bounded_http; from watchkeeper.core.ledger import Ledger\n"
        "bounded_http._LINGER_SECONDS = 60.0\n"
        "source = OtlpSource(OtlpConfig(http_port=0, grpc_port=0), Ledger(), 0.0)\n"
        "print(source.http_port, source.grpc_port, flush=True); sys.stdin.read()"
    )

    def __init__(self) -> None:
        command = [sys.executable, "-c", self._PROGRAM]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.http_port, self.grpc_port = map(int, self._process.stdout.readline().split())

    def peak_bytes(self) -> int:
        """Highest resident size since it started."""
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        [peak] = [line for line in lines if line.startswith("VmHWM")]
        return int(peak.split()[1]) * 1024

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def own_process() -> Iterator[OwnProcess]:
    process = OwnProcess()
    yield process
    process.close()


@pytest.fixture
def sdk_spans() -> Callable[[int], Sequence[ReadableSpan]]:
    """Makes finished spans of the real SDK."""

    def make(count: int) -> Sequence[ReadableSpan]:
        kept = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(kept))
        for _ in range(count):
            with provider.get_tracer("t").start_as_current_span("chat m") as span:
                span.set_attribute("gen_ai.operation.name", "chat")
        return kept.get_finished_spans()

    return make


@pytest.fixture
def traces() -> Callable[..., ExportTraceServiceRequest]:
    """Makes requests of `count` model calls, each with a text attribute of `text_characters`."""
    serial = iter(range(1, 1 << 30))

    def make(count: int = 1, text_characters: int = 0) -> ExportTraceServiceRequest:
        spans = [_span(next(serial), "x" * text_characters) for _ in range(count)]
        return ExportTraceServiceRequest(resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=spans)])])

    return make


def _span(number: int, text: str) -> Span:
    start = time.time_ns() - 2_000_000_000
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.input.messages": text}
    return Span(
        trace_id=number.to_bytes(16, "big"),
        span_id=number.to_bytes(8, "big"),
        name="chat m",
        kind=Span.SPAN_KIND_CLIENT,
        start_time_unix_nano=start,
        end_time_unix_nano=start + 1_000_000_000,
        attributes=[KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in attributes.items()],
    )
