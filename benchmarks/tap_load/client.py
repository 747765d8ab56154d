"""
Load: K connections, each asking for one stream after the other, measured over a window in which all K are busy.

The first stream of a connection has a random length and is not measured, so that the others start, go on and end at
scattered times, as users' do. One epoll loop; prints a Measured as JSON.

python -m benchmarks.tap_load.client '{"port": 8000, ...}'  (the fields of Load)
"""

import heapq
import json
import random
import re
import select
import socket
import sys
import time
from dataclasses import asdict, dataclass, field

from benchmarks.tap_load import usage

CHUNKS = 100
_SETTLE_SECONDS = 2.0
"""from the first connection to the beginning of the window"""
_DRAIN_SECONDS = 15.0
"""that streams begun in the window may take beyond its end; then they are errors"""
_STAMP = re.compile(rb"(?:#(\d{16});)?@(\d{16});")
_LONGEST_STAMP = 36
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Load:
    """What to do. Paces in ms; `pid` is the process under measurement, 0 for none."""

    port: int
    streams: int
    pace: float
    window_seconds: float
    streamed: bool = True
    pid: int = 0


@dataclass
class Measured:
    """What came of it. Times in us; see benchmarks/tap.py for what they mean."""

    first: list[int] = field(default_factory=list)
    """of streams begun in the window: request to first token, less what the upstream kept it"""
    chunk: list[int] = field(default_factory=list)
    """of tokens that arrived in the window: upstream's send to our receipt"""
    tokens: int = 0
    """of all streams, measured or not"""
    whole: int = 0
    """answers that ended as they should, at any time"""
    completed: int = 0
    """those of them that ended in the window"""
    errors: int = 0
    """answers of any time with another status, cut short, short of tokens, or not ended in time"""
    cpu_seconds: float = 0.0
    """of the process under measurement and its children, within the window"""
    resident_mb: float = 0.0
    """of the same at the end of the window"""


@dataclass(eq=False)
class _Connection:
    number: int
    socket: socket.socket
    tail: bytes = b""
    status: bytes = b""
    length: int = 0
    """bytes of the body still to come; -1 for a chunked one"""
    asked_at: int = 0
    chunks: int = 0
    wanted: int = 0
    measured: bool = False


class Client:
    """One run of one Load. Times inside in ns of the monotonic clock."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._measured = Measured()
        self._chance = random.Random(load.port)
        self._epoll = select.epoll()
        self._busy: dict[int, _Connection] = {}
        now = time.monotonic_ns()
        self._begins = now + int(_SETTLE_SECONDS * 1e9)
        self._ends = self._begins + int(load.window_seconds * 1e9)
        self._timers: list[tuple[int, int, _Connection | None]] = [
            (now + int(number / load.streams * 1e9), number, None) for number in range(load.streams)
        ]

    def run(self) -> Measured:
        cpu_at_start = None
        at_end = False
        while True:
            now = time.monotonic_ns()
            if cpu_at_start is None and now >= self._begins:
                cpu_at_start = usage.cpu_seconds(self._load.pid)
            if not at_end and now >= self._ends:
                at_end = True
                self._measured.cpu_seconds = usage.cpu_seconds(self._load.pid) - (cpu_at_start or 0.0)
                self._measured.resident_mb = usage.resident_mb(self._load.pid)
            if at_end and (not self._busy or now > self._ends + _DRAIN_SECONDS * 1e9):
                self._measured.errors += len(self._busy)
                return self._measured
            while self._timers and self._timers[0][0] <= now:
                _, number, connection = heapq.heappop(self._timers)
                self._ask(connection or self._connect(number), warm=connection is None)
            self._wait()

    def _wait(self) -> None:
        until = min((self._timers[0][0] if self._timers else self._ends), time.monotonic_ns() + 50_000_000)
        wait = max(0, until - time.monotonic_ns()) / 1e9
        if select.select([self._epoll], [], [], wait)[0]:
            for descriptor, _ in self._epoll.poll(0):
                self._receive(self._busy[descriptor])

    def _connect(self, number: int) -> _Connection:
        connected = socket.create_connection(("127.0.0.1", self._load.port), timeout=30)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return _Connection(number, connected)

    def _ask(self, connection: _Connection, warm: bool) -> None:
        load = self._load
        if time.monotonic_ns() >= self._ends:
            connection.socket.close()
            return
        connection.wanted = self._chance.randint(1, CHUNKS) if warm else CHUNKS
        if not load.streamed:
            connection.wanted = 0
        prompt = f"pace={load.pace} chunks={connection.wanted}. Say something of a few words."
        body: dict[str, object] = {"model": "bench", "messages": [{"role": "user", "content": prompt}]}
        if load.streamed:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        data = json.dumps(body).encode()
        connection.tail, connection.status, connection.chunks = b"", b"", 0
        connection.asked_at = time.monotonic_ns()
        connection.measured = not warm and self._begins <= connection.asked_at
        self._busy[connection.socket.fileno()] = connection
        self._epoll.register(connection.socket, select.EPOLLIN)
        connection.socket.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
            b"Authorization: Bearer sk-none\r\nContent-Length: %d\r\n\r\n%s" % (len(data), data)
        )

    def _receive(self, connection: _Connection) -> None:
        try:
            data = connection.socket.recv(262144)
        except OSError:
            data = b""
        now = time.monotonic_ns()
        if not data:
            self._ended(connection, now, whole=False)
            return
        data = connection.tail + data
        if not connection.status:
            head, separator, data = data.partition(b"\r\n\r\n")
            if not separator:
                connection.tail = head
                return
            connection.status = head[9:12]
            length = _LENGTH.search(head)
            connection.length = int(length[1]) if length else -1
            connection.tail = b""
        if connection.length >= 0:
            connection.length -= len(data)
            if connection.length <= 0:
                self._ended(connection, now, whole=connection.status == b"200" and not self._load.streamed)
            return
        self._read_tokens(connection, data, now)

    def _read_tokens(self, connection: _Connection, data: bytes, now: int) -> None:
        rest = 0
        for stamp in _STAMP.finditer(data):
            rest = stamp.end()
            connection.chunks += 1
            self._measured.tokens += 1
            sent = int(stamp[2])
            if stamp[1] and connection.measured:
                kept = sent - int(stamp[1])
                self._measured.first.append((now - connection.asked_at - kept) // 1000)
            if self._begins <= now < self._ends:
                self._measured.chunk.append((now - sent) // 1000)
        connection.tail = data[max(rest, len(data) - _LONGEST_STAMP) :]
        if connection.tail.endswith(b"0\r\n\r\n"):
            self._ended(connection, now, whole=connection.status == b"200" and connection.chunks == connection.wanted)

    def _ended(self, connection: _Connection, now: int, whole: bool) -> None:
        del self._busy[connection.socket.fileno()]
        self._epoll.unregister(connection.socket)
        self._measured.whole += whole
        self._measured.completed += whole and self._begins <= now < self._ends
        pause = 0 if not self._load.streamed else int(self._chance.random() * self._load.pace * 1e6)
        again: _Connection | None = connection
        if not whole:
            self._measured.errors += 1
            connection.socket.close()
            again, pause = None, 100_000_000
        if now < self._ends:
            heapq.heappush(self._timers, (now + pause, connection.number, again))


if __name__ == "__main__":
    print(json.dumps(asdict(Client(Load(**json.loads(sys.argv[1]))).run())))
