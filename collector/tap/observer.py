"""
Looks at the bytes of one connection after they have been passed on, and finds the model calls in them.

It may raise whatever it likes: the tap then stops looking at this connection, whose traffic goes on.
"""

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

import httptools

from collector.tap import routes
from collector.tap.config import TapTarget
from collector.tap.exchange import CLIENT_GONE, UPSTREAM_RESET, Exchange, Room

_MAX_PIPELINED: Final = 64
_SWITCHING_PROTOCOLS: Final = 101


class Blind(Exception):  # noqa: N818 - a state: what follows cannot be observed
    """Observation of this connection ends here, for a reason of `watchkeeper.tap.unobserved`."""


class Witness(Protocol):
    """Who is told of calls."""

    def began(self, exchange: Exchange) -> None: ...

    def passed(self) -> None:
        """A request that is no model call."""
        ...

    def ended(self, exchange: Exchange) -> None: ...


class _Pending:
    """A request whose answer is awaited; `exchange` is None where it is no model call."""

    __slots__ = ("exchange", "is_head")

    def __init__(self, exchange: Exchange | None, is_head: bool) -> None:
        self.exchange = exchange
        self.is_head = is_head


class Observer:
    """Both directions of one connection. Times are handed in: seconds of one monotonic clock."""

    __slots__ = ("_answers", "_client_done", "_pending", "_requests", "_unix", "_witness")

    def __init__(self, target: TapTarget, witness: Witness, unix: Callable[[], float], room: Room) -> None:
        self._witness = witness
        self._unix = unix
        self._pending: deque[_Pending] = deque()
        self._requests: _Requests | None = _Requests(target, self._pending, witness, room)
        self._answers: _Answers | None = _Answers(self._pending, self._end)
        self._client_done = False

    @property
    def is_busy(self) -> bool:
        """A request has begun and its answer has not ended."""
        return bool(self._pending) or (self._requests is not None and self._requests.is_within)

    def request(self, data: bytes, at: float) -> None:
        """:raises Blind, httptools.HttpParserError: nothing further can be understood"""
        if self._requests is not None:
            self._requests.feed(data, at)

    def response(self, data: bytes, at: float) -> None:
        """:raises Blind, httptools.HttpParserError: nothing further can be understood"""
        if self._answers is not None and self._answers.feed(data, at) and self._requests is not None:
            self._requests.resume()

    def client_done(self) -> None:
        """The client sends no more; it may still read."""
        self._client_done = True

    def client_gone(self, at: float) -> None:
        self._end_all(CLIENT_GONE, at)

    def upstream_gone(self, fault: str, at: float) -> bool:
        """
        The upstream sends no more. Whether something was lacking that it owed.

        :param fault: what to call it if so
        """
        answers = self._answers
        if answers is not None and answers.ends_with_connection and not self._is_cut(fault):
            answers.on_message_complete(at)
        if not self._pending:
            return False
        self._end_all(CLIENT_GONE if self._client_done else fault, at)
        return not self._client_done

    def _is_cut(self, fault: str) -> bool:
        """An answer that ends with its connection has not ended so: reset, or a stream given up with its client."""
        exchange = self._pending[0].exchange if self._pending else None
        is_given_up = self._client_done and exchange is not None and exchange.streamed and not exchange.answer.is_done
        return is_given_up or fault == UPSTREAM_RESET

    def refused(self, fault: str, at: float) -> None:
        """Nothing answers but the tap itself."""
        self._end_all(fault, at)

    def close(self) -> None:
        """Forget what is open, and break the cycles between the parsers and what they call."""
        self._pending.clear()
        for side in (self._requests, self._answers):
            if side is not None:
                side.close()
        self._requests = self._answers = None

    def open_exchanges(self) -> list[Exchange]:
        """Calls that have begun and not ended."""
        return [pending.exchange for pending in self._pending if pending.exchange is not None]

    def _end_all(self, fault: str, at: float) -> None:
        while self._pending:
            self._end(self._pending.popleft(), at, fault)

    def _end(self, pending: _Pending, at: float, fault: str = "") -> None:
        exchange = pending.exchange
        if exchange is None:
            return
        if self._requests is not None:
            self._requests.let_go(exchange, is_answered=not fault)
        exchange.end(at, self._unix(), fault)
        self._witness.ended(exchange)


class _Requests:
    """The client's side; its methods `on_…` are llhttp's callbacks."""

    def __init__(self, target: TapTarget, pending: deque[_Pending], witness: Witness, room: Room) -> None:
        self._target = target
        self._room = room
        self._pending = pending
        self._witness = witness
        self._tenant_header = target.tenant_header.lower().encode()
        self._parser = httptools.HttpRequestParser(self)
        self._at = 0.0
        self._arrived_at = 0.0
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._exchange: Exchange | None = None
        self._is_suspended = False
        self.is_within = False

    def feed(self, data: bytes, at: float) -> None:
        self._at = at
        if self._is_suspended:
            if self._exchange is not None:
                self._exchange.ask(data)
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            # Clients that would rather speak HTTP/2 ask for it in their first request. What follows is that request's
            # body unless the answer is 101.
            self._is_suspended = True
            rest = data[upgrade.args[0] :]
            if rest and self._exchange is not None:
                self._exchange.ask(rest)

    def resume(self) -> None:
        """An answer has ended: after an upgrade that was declined the next request begins."""
        if self._is_suspended:
            self._is_suspended = False
            self._parser = httptools.HttpRequestParser(self)

    def let_go(self, exchange: Exchange, *, is_answered: bool) -> None:
        """It is about to end: nothing that the client still sends is added to it, another thread may read it."""
        if exchange is self._exchange:
            if is_answered and self._is_suspended:
                exchange.is_whole_request = True
            self._exchange = None

    def close(self) -> None:
        del self._parser

    def on_message_begin(self) -> None:
        self.is_within = True
        self._arrived_at = self._at
        self._url = b""
        self._headers.clear()
        self._exchange = None

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name in (b"traceparent", b"content-encoding") or name == self._tenant_header:
            self._headers[name] = value

    def on_headers_complete(self) -> None:
        if len(self._pending) >= _MAX_PIPELINED:
            raise Blind("pipelined")
        method = self._parser.get_method()
        dialect = routes.dialect(method, self._url)
        if dialect is None:
            self._witness.passed()
        else:
            exchange = self._exchange = Exchange(self._target, dialect, self._arrived_at, self._room)
            headers = self._headers
            if headers:
                exchange.traceparent = headers.get(b"traceparent", b"").decode("latin-1")
                exchange.request_coding = _coding(headers.get(b"content-encoding", b""))
                exchange.tenant = headers.get(self._tenant_header, b"").decode("utf-8", "replace")
            self._witness.began(exchange)
        self._pending.append(_Pending(self._exchange, method == b"HEAD"))

    def on_body(self, body: bytes) -> None:
        if self._exchange is not None:
            self._exchange.ask(body)

    def on_message_complete(self) -> None:
        self.is_within = False
        if self._exchange is not None and not self._parser.should_upgrade():
            self._exchange.is_whole_request = True


class _Answers:
    """The upstream's side; its methods `on_…` are llhttp's callbacks."""

    def __init__(self, pending: deque[_Pending], end: Callable[[_Pending, float], None]) -> None:
        self._pending = pending
        self._end = end
        self._parser = httptools.HttpResponseParser(self)
        self._at = 0.0
        self._exchange: Exchange | None = None
        self._type = self._coding = b""
        self._is_framed = False
        self._is_interim = False
        self._is_within = False
        self._is_head = False
        self._has_ended = False

    def feed(self, data: bytes, at: float) -> bool:
        """Whether an answer ended in it."""
        self._at = at
        self._has_ended = False
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            raise Blind("upgraded") from None
        if self._is_head:  # llhttp cannot be told that no body follows
            self._is_head = False
            self._parser = httptools.HttpResponseParser(self)
            self.on_message_complete()
        return self._has_ended

    @property
    def ends_with_connection(self) -> bool:
        """The answer that is passing has no length of its own."""
        return self._is_within and not self._is_framed and not self._is_interim

    def close(self) -> None:
        del self._parser

    def on_message_begin(self) -> None:
        self._exchange = None
        self._type = self._coding = b""
        self._is_framed = self._is_interim = False

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"content-type":
            self._type = value
        elif name == b"content-encoding":
            self._coding = value
        elif name in (b"content-length", b"transfer-encoding"):
            self._is_framed = True

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if 100 <= status < 200:
            if status == _SWITCHING_PROTOCOLS:
                raise Blind("upgraded")
            self._is_interim = True
            return
        self._is_within = True
        if self._pending:
            pending = self._pending[0]
            self._is_head = pending.is_head
            self._exchange = pending.exchange
            if self._exchange is not None:
                self._exchange.begin(status, self._type.decode("latin-1"), _coding(self._coding))

    def on_body(self, body: bytes) -> None:
        if self._exchange is not None:
            self._exchange.hear(body, self._at)

    def on_message_complete(self, at: float | None = None) -> None:
        if self._is_interim or self._is_head:
            return
        self._is_within = False
        self._has_ended = True
        self._exchange = None
        if self._pending:
            self._end(self._pending.popleft(), self._at if at is None else at)


def _coding(value: bytes) -> str:
    return value.decode("latin-1").strip().lower()
