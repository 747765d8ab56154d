"""A receiver that decodes what arrives, and our exporter before it."""

import gzip
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from exporters.otlp import PLUGIN, OtlpConfig
from watchkeeper.core.errors import Retryable, Unavailable
from watchkeeper.core.ledger import Ledger

MESSAGES = {
    "/v1/metrics": ExportMetricsServiceRequest,
    "/v1/logs": ExportLogsServiceRequest,
    "/v1/traces": ExportTraceServiceRequest,
}


class Collector(ThreadingHTTPServer):
    """An OTLP/HTTP receiver: keeps what it decodes, answers with `statuses[path]` (200 where none is set)."""

    daemon_threads = True

    def __init__(self, port=0):
        super().__init__(("127.0.0.1", port), _Handler)
        self.port = self.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        self.received = {path: [] for path in MESSAGES}
        self.headers = []
        self.statuses = {}
        self.manner = "plain"
        self.gate = threading.Event()
        self.gate.set()
        self.changed = threading.Condition()

    def wait_for(self, path, enough=lambda received: True, timeout_seconds=60.0):
        """What arrived at `path`, as soon as something did and it is `enough`."""
        with self.changed:
            found = self.changed.wait_for(lambda: self.received[path] and enough(self.received[path]), timeout_seconds)
            assert found, f"nothing fitting arrived at {path}"
            return list(self.received[path])


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Content-Encoding"] == "gzip":
            body = gzip.decompress(body)
        with self.server.changed:
            self.server.headers.append({name.lower(): value for name, value in self.headers.items()})
            self.server.changed.notify_all()
        with suppress(OSError):
            self.hold_back()
        status = self.server.statuses.get(self.path, 200)
        with self.server.changed:
            if status == 200:
                self.server.received[self.path].append(MESSAGES[self.path].FromString(body))
        with suppress(OSError):
            self.answer(status)
        with self.server.changed:
            self.server.changed.notify_all()

    def hold_back(self):
        """Wait for the gate; a trickling server sends a byte of an answer now and then meanwhile."""
        while not self.server.gate.wait(0.05):
            if self.server.manner == "trickle":
                self.wfile.write(b"H")

    def answer(self, status):
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/v1/elsewhere")
        if status in (429, 503):
            self.send_header("Retry-After", "3600")  # the SDK gives up at once, however long it might try
        if self.server.manner == "endless":
            self.send_header("Content-Length", str(2**40))
            self.end_headers()
            while True:
                self.wfile.write(b"x" * 65536)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        """Be quiet."""


@contextmanager
def _collector(port=0):
    server = Collector(port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.gate.set()
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def _exporter_to(url, ledger=None, timeout_seconds=60.0, **config):
    """A machine that stands still for a moment makes no send fail, unless a short time is what a test is about."""
    config = OtlpConfig(enabled=True, endpoint=url, timeout_seconds=timeout_seconds, **config)
    built = PLUGIN.build(config, ledger or Ledger())
    try:
        yield built
    finally:
        with suppress(Retryable, Unavailable):
            built.close()


@pytest.fixture
def collector():
    """`with collector() as receiver`: one that listens until the end of the block."""
    return _collector


@pytest.fixture
def exporter_to():
    """`with exporter_to(url) as exporter`: ours, closed at the end of the block."""
    return _exporter_to
