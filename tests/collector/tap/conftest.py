"""A scripted upstream on real sockets, and a tap in front of it whose records are gathered."""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final

import pytest

from collector.tap.config import TapTarget
from collector.tap.source import TapSource
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.metric import Metric
from watchkeeper.core.records import Completion, Sample

HANG: Final = "hang"
CLOSE: Final = "close"
RESET: Final = "reset"
_WAIT_SECONDS: Final = 60.0

Step = bytes | float | str | Callable[[], object]


class ScriptedUpstream:
    """
    Answers the requests of every connection by the same steps: bytes to send as they are, seconds to wait, what to call
    and wait for, or what to do with the connection. `requests` are whole requests as received; `gone` is set when a
    peer ended its connection. `asked_at` and `sent_at` are seconds of the monotonic clock: when each request was there,
    and when each piece was about to be sent.
    """

    def __init__(self, *steps: Step) -> None:
        self.steps = steps
        self.requests: list[bytes] = []
        self.asked_at: list[float] = []
        self.sent_at: list[float] = []
        self.gone = threading.Event()
        self.connections = 0
        self._closing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._closing.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            connection.close()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        held = b""
        with suppress(OSError):
            while True:
                request, held = _request(connection, held)
                self.asked_at.append(time.monotonic())
                self.requests.append(request)
                for step in self.steps:
                    if isinstance(step, bytes):
                        self.sent_at.append(time.monotonic())
                        connection.sendall(step)
                    elif isinstance(step, float):
                        time.sleep(step)
                    elif callable(step):
                        step()
                    elif step == HANG:
                        connection.recv(1)  # until the peer goes
                        raise OSError
                    else:
                        if step == RESET:
                            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        connection.close()
                        return
        connection.close()
        self.gone.set()


def _request(connection: socket.socket, held: bytes) -> tuple[bytes, bytes]:
    """One request with a length or chunks, and what followed it."""
    while b"\r\n\r\n" not in held:
        held += _more(connection)
    head, _, rest = held.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    if b"transfer-encoding: chunked" in lines:
        while b"0\r\n\r\n" not in rest:
            rest += _more(connection)
        body, rest = rest[: rest.index(b"0\r\n\r\n") + 5], rest[rest.index(b"0\r\n\r\n") + 5 :]
    else:
        length = next((int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:")), 0)
        pieces, size = [rest], len(rest)
        while size < length:
            pieces.append(_more(connection))
            size += len(pieces[-1])
        rest = b"".join(pieces)
        body, rest = rest[:length], rest[length:]
    return head + b"\r\n\r\n" + body, rest


def _more(connection: socket.socket) -> bytes:
    data = connection.recv(1 << 16)
    if not data:
        raise OSError("the peer has ended")
    return data


class TapUnderTest:
    """One tap on a free port; gathers what it reads."""

    def __init__(self, upstream: str, **settings: Any) -> None:
        usual: dict[str, Any] = {"host": "127.0.0.1", "port": 0, "drain_seconds": 0, "connect_timeout_seconds": 60.0}
        config = usual | settings
        self.ledger = Ledger()
        self.source = TapSource((TapTarget(upstream=upstream, **config),), self.ledger)
        self.port = self.source.ports[0]
        self.url = f"http://127.0.0.1:{self.port}"
        self.completions: list[Completion] = []
        self.samples: list[Sample] = []
        self.items = 0
        self._counts: dict[tuple[Metric, tuple[tuple[str, str], ...]], float] = {}

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=_WAIT_SECONDS)

    def read(self) -> None:
        reading = self.source.read(time.time())
        self.completions.extend(reading.completions)
        self.samples.extend(reading.samples)
        self.items += reading.items

    def calls(self, count: int) -> list[Completion]:
        """As soon as so many have ended."""
        self.wait(lambda: len(self.completions) >= count, f"{count} calls")
        return self.completions

    def call(self) -> Completion:
        [only] = self.calls(1)
        return only

    def count(self, metric: Metric, **labels: str) -> float:
        """Sum of a counter, or newest of a gauge, over the series with these labels."""
        for sample in self.ledger.drain(time.time()):
            key = (sample.metric, sample.labels)
            held = self._counts.get(key, 0.0) if sample.metric.kind == "counter" else 0.0
            self._counts[key] = held + float(sample.value)  # type: ignore[arg-type]
        return sum(
            value
            for (found, pairs), value in self._counts.items()
            if found == metric and labels.items() <= dict(pairs).items()
        )

    def wait_for(self, metric: Metric, value: float = 1.0, **labels: str) -> None:
        self.wait(lambda: self.count(metric, **labels) >= value, f"{metric.name} {labels}")

    def wait(self, is_so: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + _WAIT_SECONDS
        while True:
            self.read()
            if is_so():
                return
            assert time.monotonic() < end, f"waited for {what}"
            time.sleep(0.01)


@pytest.fixture
def upstream() -> Iterator[Callable[..., ScriptedUpstream]]:
    """Starts upstreams with the steps given."""
    started: list[ScriptedUpstream] = []

    def start(*steps: Step) -> ScriptedUpstream:
        started.append(ScriptedUpstream(*steps))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture
def tap() -> Iterator[Callable[..., TapUnderTest]]:
    """Starts taps in front of what is given: an upstream or its URL."""
    started: list[TapUnderTest] = []

    def start(before: ScriptedUpstream | str, **settings: Any) -> TapUnderTest:
        started.append(TapUnderTest(before if isinstance(before, str) else before.url, **settings))
        return started[-1]

    yield start
    for one in started:
        one.source.close()
