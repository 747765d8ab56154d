"""Programs under measurement: started on free ports, their processor time and memory read from /proc."""

import contextlib
import http.client
import importlib.util
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc

from watchkeeper.agent import registry

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


@dataclass(frozen=True)
class Receiver:
    """A process that takes OTLP. Ports on 127.0.0.1."""

    name: str
    pid: int
    http_port: int
    grpc_port: int
    web_port: int = 0

    def cpu_seconds(self) -> float:
        """User and system time so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND

    def resident_mb(self) -> float:
        """Resident memory now, in units of 10^6 bytes."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def send_http(self, bodies: list[bytes]) -> None:
        """Post every body over one connection, waiting out retryable answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=60)
        for body in bodies:
            for _ in range(200):
                connection.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
                answer = connection.getresponse()
                answer.read()
                if answer.status != 503:
                    break
                time.sleep(0.1)
            if answer.status != 200:
                raise RuntimeError(f"{self.name} answered {answer.status}")
        connection.close()

    def send_grpc(self, bodies: list[bytes]) -> None:
        """Export every body over one channel, waiting out retryable answers."""
        with grpc.insecure_channel(f"127.0.0.1:{self.grpc_port}") as channel:
            export = channel.unary_unary(_EXPORT)
            for body in bodies:
                for _ in range(200):
                    try:
                        export(body, timeout=60)
                        break
                    except grpc.RpcError as error:
                        if error.code() is not grpc.StatusCode.UNAVAILABLE:
                            raise
                        time.sleep(0.1)

    def metrics_page(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.web_port}/metrics", timeout=60) as answer:
            return str(answer.read().decode())


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise TimeoutError(f"nothing listens on {port}")


@contextlib.contextmanager
def _running(command: list[str], ports: tuple[int, ...]) -> Iterator[int]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for port in ports:
            _wait_for(port)
        yield process.pid
    finally:
        process.terminate()
        process.wait(timeout=30)


@contextlib.contextmanager
def watchkeeper(checks: bool = True) -> Iterator[Receiver]:
    """`watchkeeper run` with its defaults on free ports; without checks of answers for what receives and no more."""
    http_port, grpc_port, web_port = free_port(), free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "watchkeeper.yaml"
        off = {} if checks else {plugin.name: {"enabled": False} for plugin in registry.checks()}
        config.write_text(
            f"web: {{port: {web_port}}}\notlp: {{http_port: {http_port}, grpc_port: {grpc_port}}}\n"
            f"checks: {json.dumps(off)}\n"
        )
        command = [sys.executable, "-m", "watchkeeper", "run", "--config", str(config)]
        with _running(command, (http_port, grpc_port, web_port)) as pid:
            yield Receiver("watchkeeper", pid, http_port, grpc_port, web_port)


@contextlib.contextmanager
def rotel() -> Iterator[Receiver]:
    """rotel, a collector written in Rust, receiving only: its exporter throws everything away."""
    spec = importlib.util.find_spec("rotel")
    if spec is None or spec.origin is None:
        sys.exit("rotel is not installed: .venv/bin/pip install rotel")
    binary = Path(spec.origin).parent / "rotel-agent"
    http_port, grpc_port = free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = [
            str(binary), "start", "--exporter", "blackhole",
            "--otlp-http-endpoint", f"127.0.0.1:{http_port}",
            "--otlp-grpc-endpoint", f"127.0.0.1:{grpc_port}",
            "--otlp-grpc-max-recv-msg-size-mib", "64",
            "--pid-file", f"{folder}/pid", "--log-file", f"{folder}/log",
        ]  # fmt: skip
        with _running(command, (http_port, grpc_port)) as pid:
            yield Receiver("rotel", pid, http_port, grpc_port)
