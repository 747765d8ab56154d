"""aiohttp's server with what it lacks: a bound on connections, deadlines for peers, calm without descriptors."""

import asyncio
import socket
import struct
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final, Protocol

import msgspec
from aiohttp.web_protocol import RequestHandler, RequestPayloadError, _ErrInfo
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import StreamResponse
from aiohttp.web_server import Server

from watchkeeper.core.accepting import Acceptor
from watchkeeper.core.sparing_log import SparingLog
from watchkeeper.core.tls import ServerTls

_LINGER_SECONDS: Final = 2.0
"""how long the rest of a refused body is read and thrown away, so that the sender gets to see the answer"""
_RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER that drops what was not sent yet"""


class Bounds(msgspec.Struct, frozen=True):
    max_connections: int
    head_seconds: float
    """a connection whose request head, or TLS handshake before it, is not complete after this time is closed"""
    request_seconds: float
    """a connection whose peer has not taken its answer after this time is closed"""
    idle_seconds: float
    """a connection without a request for this time is closed"""


class Service(Protocol):
    """What is answered."""

    async def answer(self, request: BaseRequest, began: float) -> StreamResponse:
        """:param began: loop time at which the head began to arrive"""
        ...

    def failed(self, request: BaseRequest, fault: BaseException | None) -> StreamResponse:
        """The answer when `answer` raised `fault`; without one, to bytes that are not HTTP."""
        ...

    def broke_off(self, fault: BaseException | None) -> None:
        """A fault of ours after the answer was begun."""
        ...

    def one_too_many(self) -> bytes:
        """What a connection beyond the bound is told, head and body."""
        ...

    def too_slow(self) -> None:
        """A connection was closed that did not keep a deadline."""
        ...


class BoundedServer:
    """Answers one listening socket on the running loop."""

    def __init__(
        self, service: Service, bounds: Bounds, listener: socket.socket, tls: ServerTls | None, log: SparingLog
    ) -> None:
        """:param listener: is closed by `stop`"""
        self._bounds = bounds
        self._loop = asyncio.get_running_loop()
        self._connections = _Connections(service, bounds)
        self._acceptor = Acceptor(
            self._connections,
            listener,
            tls,
            log,
            max_connections=bounds.max_connections,
            handshake_seconds=bounds.head_seconds,
            shutdown_seconds=_LINGER_SECONDS,
        )
        self._sweeper: asyncio.Task[None]

    def start(self) -> None:
        self._acceptor.start()
        self._sweeper = self._loop.create_task(self._sweep())

    async def stop(self, timeout_seconds: float) -> None:
        """Close the socket, then every connection; requests being answered have `timeout_seconds`."""
        await self._acceptor.stop()
        self._sweeper.cancel()
        with suppress(asyncio.CancelledError):
            await self._sweeper
        open_ = self._connections.all()
        await self._connections.shutdown(timeout_seconds)
        for connection in open_:
            connection.abort()

    async def _sweep(self) -> None:
        """Until cancelled, close the connections that are overdue."""
        seconds = min(1.0, self._bounds.head_seconds / 4, self._bounds.request_seconds / 4)
        while True:
            await asyncio.sleep(seconds)
            self._connections.close_overdue(self._loop.time())


class _Connection(RequestHandler):
    """Knows since when its peer keeps it waiting."""

    __slots__ = (
        "_answering_since",
        "_closing_since",
        "_head_since",
        "_is_secured",
        "_owner",
        "_request",
        "_socket",
        "_wire",
    )

    def __init__(self, owner: "_Connections", **settings: Any) -> None:
        super().__init__(owner, **settings)
        self._owner = owner
        self._wire: asyncio.Transport
        self._socket: Any
        self._is_secured = False
        self._request: BaseRequest | None = None
        self._head_since: float | None = None
        self._answering_since: float | None = None
        self._closing_since: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a stream server has no other
        self._wire = transport
        self._socket = transport.get_extra_info("socket")
        self._is_secured = transport.get_extra_info("ssl_object") is not None
        if self._owner.full():
            transport.write(self._owner.service.one_too_many())
            transport.close()
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self._request is None and self._head_since is None:
            self._head_since = self._loop.time()
        super().data_received(data)
        if self._request is not None and self._messages and isinstance(self._messages[-1][0], _ErrInfo):
            # aiohttp answers what is not HTTP in its turn, but lets the reader of a broken body wait for ever
            self._request.content.set_exception(RequestPayloadError())

    def head_arrived(self, request: BaseRequest) -> float:
        """The head is complete; loop time at which it began."""
        began = self._head_since or self._loop.time()
        self._head_since = None
        self._request = request
        return began

    def answered(self) -> None:
        self._request = None

    async def finish_response(
        self, request: BaseRequest, resp: StreamResponse, start_time: float | None
    ) -> tuple[StreamResponse, bool]:
        """Send it; this waits for a peer that reads slowly."""
        self._answering_since = self._loop.time()
        try:
            return await super().finish_response(request, resp, start_time)
        finally:
            self._answering_since = None

    def overdue(self, now: float, bounds: Bounds) -> bool:
        """The peer has sent half a head, or not read our answer, for too long."""
        if self._closing_since is None and self._wire.is_closing():
            self._closing_since = now  # what was written still waits for the peer, maybe for ever
        return (
            _is_past(self._head_since, now, bounds.head_seconds)
            or _is_past(self._answering_since, now, bounds.request_seconds)
            or _is_past(self._closing_since, now, bounds.request_seconds)
        )

    def abort(self) -> None:
        """Close it without waiting for what was written to be read; under TLS, without waiting long."""
        if self._is_unread():  # else the kernel would keep trying to send what it holds
            with suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._head_since, self._closing_since = None, float("inf")  # overdue once, not again until it is gone
        self.force_close()
        if not self._is_secured:
            self._wire.abort()

    def _is_unread(self) -> bool:
        """Whether the peer leaves something lie. asyncio's TLS cannot be asked once it was closed twice."""
        if self._is_secured:
            return self._answering_since is not None or self._closing_since is not None
        return self._wire.get_write_buffer_size() > 0

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> StreamResponse:
        """Bytes that are not HTTP (400), or a fault of our own. Neither words nor traceback leave."""
        response = self._owner.service.failed(request, None if status == HTTPStatus.BAD_REQUEST else exc)
        response.force_close()
        return response

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """What went wrong after the answer was begun; aiohttp would log a traceback."""
        fault = kw.get("exc_info")
        if not isinstance(fault, RequestPayloadError):  # that one is a broken body, refused already
            self._owner.service.broke_off(fault)


def _is_past(since: float | None, now: float, seconds: float) -> bool:
    return since is not None and now - since > seconds


class _Connections(Server):
    """Makes connections, and knows those that are open."""

    def __init__(self, service: Service, bounds: Bounds) -> None:
        super().__init__(self._answer)
        self.service = service
        self._bounds = bounds
        self._settings: dict[str, Any] = {
            "loop": asyncio.get_running_loop(),
            "keepalive_timeout": bounds.idle_seconds,
            "lingering_time": _LINGER_SECONDS,
            "auto_decompress": False,
            "access_log": None,
        }

    def __call__(self) -> RequestHandler:
        return _Connection(self, **self._settings)

    def all(self) -> list[_Connection]:
        return [connection for connection in self._connections if isinstance(connection, _Connection)]

    def full(self) -> bool:
        return len(self._connections) >= self._bounds.max_connections

    def close_overdue(self, now: float) -> None:
        for connection in self.all():
            if connection.overdue(now, self._bounds):
                self.service.too_slow()
                connection.abort()

    async def _answer(self, request: BaseRequest) -> StreamResponse:
        connection = request.protocol
        assert isinstance(connection, _Connection)  # noqa: S101 - `__call__` makes no other
        began = connection.head_arrived(request)
        try:
            return await self.service.answer(request, began)
        finally:
            connection.answered()
