"""
An OpenAI-compatible upstream that costs little: one epoll loop, bytes made in advance, no framework.

The prompt says what it does: `pace=40 chunks=100` streams 100 tokens, the first 40 ms after the request arrived and one
every 40 ms from then on, at times fixed on arrival. Each token carries the clock at which it was sent, the first also
the clock at which its request arrived (time.monotonic_ns, one clock for every process of the machine).

python -m benchmarks.tap_load.upstream PORT
"""

import heapq
import re
import select
import socket
import sys
import time
from dataclasses import dataclass

_HEAD = b'{"id":"chatcmpl-8f2c1b7e94d04a6f","object":"chat.completion.chunk","created":17,"model":"bench","choices":['
_ROLE = b'data: %s{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n' % _HEAD
_FIRST = b'data: %s{"index":0,"delta":{"content":"#%%016d;@%%016d;"},"finish_reason":null}]}\n\n' % _HEAD
_NEXT = b'data: %s{"index":0,"delta":{"content":"@%%016d;"},"finish_reason":null}]}\n\n' % _HEAD
_FINISH = b'data: %s{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n' % _HEAD
_USAGE = (
    b'data: {"id":"chatcmpl-8f2c1b7e94d04a6f","object":"chat.completion.chunk","created":1700000000,"model":"bench",'
    b'"choices":[],"usage":{"prompt_tokens":20,"completion_tokens":%d,"total_tokens":%d}}\n\ndata: [DONE]\n\n'
)
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
_WHOLE = (
    b'{"id":"chatcmpl-8f2c1b7e94d04a6f","object":"chat.completion","created":1700000000,"model":"bench","choices":'
    b'[{"index":0,"message":{"role":"assistant","content":"A short answer of a few words."},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":20,"completion_tokens":8,"total_tokens":28}}'
)
_WHOLE_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
    len(_WHOLE),
    _WHOLE,
)
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_STREAMED = re.compile(rb'"stream": ?true')
_PACE = re.compile(rb"pace=([\d.]+) chunks=(\d+)")


@dataclass(eq=False)
class _Connection:
    socket: socket.socket
    received: bytes = b""
    open: bool = True


@dataclass
class _Stream:
    """Times in ns of the monotonic clock."""

    connection: _Connection
    arrived: int
    pace: int
    chunks: int
    sent: int = 0

    def due(self) -> int:
        return self.arrived + (self.sent + 1) * self.pace


def _frame(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


class Upstream:
    """Serves until its process is ended."""

    def __init__(self, port: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", port), backlog=1024)
        self._listener.setblocking(False)
        self._epoll = select.epoll()
        self._epoll.register(self._listener, select.EPOLLIN)
        self._connections: dict[int, _Connection] = {}
        self._timers: list[tuple[int, int, _Stream]] = []
        self._number = 0

    def run(self) -> None:
        while True:
            wait = max(0, self._timers[0][0] - time.monotonic_ns()) / 1e9 if self._timers else None
            if select.select([self._epoll], [], [], wait)[0]:  # to the microsecond; epoll itself waits whole ms
                for descriptor, _ in self._epoll.poll(0):
                    if descriptor == self._listener.fileno():
                        self._accept()
                    else:
                        self._receive(self._connections[descriptor])
            while self._timers and self._timers[0][0] <= time.monotonic_ns():
                self._send_next(heapq.heappop(self._timers)[2])

    def _accept(self) -> None:
        accepted, _ = self._listener.accept()
        accepted.setblocking(False)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connections[accepted.fileno()] = _Connection(accepted)
        self._epoll.register(accepted, select.EPOLLIN)

    def _close(self, connection: _Connection) -> None:
        if connection.open:
            connection.open = False
            self._epoll.unregister(connection.socket)
            del self._connections[connection.socket.fileno()]
            connection.socket.close()

    def _receive(self, connection: _Connection) -> None:
        try:
            data = connection.socket.recv(65536)
        except ConnectionError:
            data = b""
        if not data:
            self._close(connection)
            return
        now = time.monotonic_ns()
        connection.received += data
        head, separator, body = connection.received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not separator or len(body) < (int(length[1]) if length else 0):
            return
        connection.received = b""
        if not _STREAMED.search(body):
            self._send(connection, _WHOLE_ANSWER)
        elif asked := _PACE.search(body):
            stream = _Stream(connection, now, round(float(asked[1]) * 1e6), int(asked[2]))
            self._wait(stream)
            self._send(connection, _STREAM_HEAD)
        else:
            self._close(connection)

    def _wait(self, stream: _Stream) -> None:
        self._number += 1
        heapq.heappush(self._timers, (stream.due(), self._number, stream))

    def _send_next(self, stream: _Stream) -> None:
        if not stream.connection.open:
            return
        now = time.monotonic_ns()
        data = _frame(_NEXT % now) if stream.sent else _frame(_ROLE) + _frame(_FIRST % (stream.arrived, now))
        stream.sent += 1
        if stream.sent == stream.chunks:
            data += _frame(_FINISH) + _frame(_USAGE % (stream.chunks, 20 + stream.chunks)) + b"0\r\n\r\n"
        else:
            self._wait(stream)
        self._send(stream.connection, data)

    def _send(self, connection: _Connection, data: bytes) -> None:
        """A whole stream fits into the buffers of a socket; a peer for whom it does not is dropped and so counted."""
        try:
            whole = connection.socket.send(data) == len(data)
        except OSError:
            whole = False
        if not whole:
            self._close(connection)


if __name__ == "__main__":
    Upstream(int(sys.argv[1])).run()
