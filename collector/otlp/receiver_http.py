"""OTLP/HTTP: aiohttp's parser and connections, with bounds and deadlines that it does not have by itself."""

import asyncio
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web
from aiohttp.web_protocol import _ErrInfo

from collector.otlp import answers, compression
from collector.otlp.answers import Declined, Refusal
from collector.otlp.config import OtlpConfig
from collector.otlp.intake import Encoding, Intake, Refused, Signal
from collector.otlp.refusal_log import RefusalLog

PATHS: Final = {
    f"{prefix}/v1/{signal.value}": signal for prefix in ("", "/api/public/otel", "/otel") for signal in Signal
}
"""OTLP's own paths, and the same below the bases that Langfuse and LangSmith clients use"""

CONTENT_TYPES: Final = {"application/x-protobuf": Encoding.PROTOBUF, "application/json": Encoding.JSON}

_CONTENT_TYPE_OF: Final = {encoding: content_type for content_type, encoding in CONTENT_TYPES.items()}
_LINGER_SECONDS: Final = 2.0
"""how long the rest of a refused body is read and thrown away, so that the sender gets to see the answer"""
_TLS_HANDSHAKE_SECONDS: Final = 10.0


class HttpReceiver:
    """Answers one listening socket on the running loop."""

    def __init__(
        self, config: OtlpConfig, intake: Intake, refusals: RefusalLog, clock: Callable[[], float] = time.time
    ) -> None:
        """:param clock: unix seconds"""
        self._config = config
        self._intake = intake
        self._refusals = refusals
        self._clock = clock
        self._in_flight_bytes = 0
        self._closing = False
        self._connections: _Connections
        self._server: asyncio.Server
        self._sweeper: asyncio.Task[None]

    async def start(self, listener: socket.socket, tls: ssl.SSLContext | None) -> None:
        loop = asyncio.get_running_loop()
        self._connections = _Connections(self._answer, self._config, self._refusals)
        self._server = await loop.create_server(
            self._connections,
            sock=listener,
            ssl=tls,
            ssl_handshake_timeout=_TLS_HANDSHAKE_SECONDS if tls else None,
        )
        self._sweeper = loop.create_task(self._connections.sweep())

    def drain(self) -> None:
        """From now on every answer closes its connection, so that senders go elsewhere."""
        self._closing = True

    async def stop(self) -> None:
        """Close the socket and every connection."""
        self._sweeper.cancel()
        with suppress(asyncio.CancelledError):
            await self._sweeper
        self._server.close()
        await self._connections.shutdown(timeout=0.5)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        assert isinstance(connection, _Connection)  # noqa: S101 - _Connections makes no other
        deadline = connection.head_arrived(request) + self._config.request_timeout_seconds
        signal = PATHS.get(request.path)
        encoding = _encoding(request)
        try:
            body = await self._body(request, signal, encoding, deadline)
            assert signal is not None and encoding is not None  # noqa: S101, PT018 - _body declines without them
            taken = self._intake.take(signal, encoding, body, request.headers, self._clock())
        except Declined as declined:
            return self._refuse(signal, encoding, declined.refusal)
        except Refused as error:
            return self._refuse(signal, encoding, answers.refusal_of(error))
        finally:
            connection.answered()
        response = _Response(200, answers.accepted(signal, encoding, taken), encoding)
        if self._closing:
            response.force_close()
        return response

    async def _body(
        self, request: web.BaseRequest, signal: Signal | None, encoding: Encoding | None, deadline: float
    ) -> bytes:
        """
        The decompressed body.

        :raises Declined: it is not for us, not acceptable, too large, too slow, or there is no room for it now
        """
        if signal is None:
            raise Declined(answers.BAD_PATH)
        if request.method != "POST":
            raise Declined(answers.BAD_METHOD)
        if encoding is None:
            raise Declined(answers.UNSUPPORTED_TYPE)
        coding = compression.CODINGS.get(request.headers.get("Content-Encoding", "").strip().lower())
        if coding is None:
            raise Declined(answers.UNSUPPORTED_ENCODING)
        if (request.content_length or 0) > self._config.max_body_bytes:
            raise Declined(self._too_large())
        if self._closing:
            raise Declined(answers.SHUTTING_DOWN)
        raw = await self._received(request, deadline)
        try:
            return compression.decode(raw, coding, self._config.max_body_bytes)
        except compression.TooLarge:
            raise Declined(self._too_large()) from None
        except compression.Corrupt as error:
            raise Declined(answers.UNDECODABLE.saying(f"Content-Encoding {coding.value}: {error}")) from None

    async def _received(self, request: web.BaseRequest, deadline: float) -> bytes:
        """The body as sent. Whatever the headers say, it is the bytes that count."""
        content = request.content
        if content.is_eof():
            return content.read_nowait()
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout_at(deadline):
                while part := await content.readany():
                    size += len(part)
                    self._in_flight_bytes += len(part)
                    if size > self._config.max_body_bytes:
                        raise Declined(self._too_large())
                    if self._in_flight_bytes > self._config.max_in_flight_bytes:
                        raise Declined(answers.OVERLOADED)
                    parts.append(part)
        except TimeoutError:
            raise Declined(answers.TIMEOUT) from None
        except web.RequestPayloadError:
            raise Declined(answers.MALFORMED) from None
        except ConnectionError:
            raise Declined(answers.INCOMPLETE) from None
        finally:
            self._in_flight_bytes -= size  # what follows up to the answer does not wait, so it is alone
        return b"".join(parts)

    def _too_large(self) -> Refusal:
        limit = self._config.max_body_bytes
        return answers.TOO_LARGE.saying(f"the body is larger than {limit} bytes, counted after decompression")

    def _refuse(self, signal: Signal | None, encoding: Encoding | None, refusal: Refusal) -> web.StreamResponse:
        self._refusals.add(signal, refusal)
        response = _refusal_response(encoding, refusal, self._refusals.delay_seconds())
        if self._closing or refusal.reason in _ENDS_CONNECTION:
            response.force_close()
        return response


_ENDS_CONNECTION: Final = {refusal.reason for refusal in (answers.TOO_LARGE, answers.TIMEOUT, answers.MALFORMED)}


def _encoding(request: web.BaseRequest) -> Encoding | None:
    """By `Content-Type`, whose parameters (charset) say nothing that matters here."""
    stated = request.headers.get("Content-Type", "")
    return CONTENT_TYPES.get(stated) or CONTENT_TYPES.get(stated.partition(";")[0].strip().lower())


class _Response(web.Response):
    """A body in OTLP's encoding. Does not say which software answers."""

    def __init__(self, status: int, body: bytes, encoding: Encoding) -> None:
        super().__init__(status=status, body=body, headers={"Content-Type": _CONTENT_TYPE_OF[encoding]})

    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        del self.headers["Server"]


def _refusal_response(encoding: Encoding | None, refusal: Refusal, delay_seconds: float) -> _Response:
    """In the request's encoding; in JSON, which a person can read, when that is not known."""
    shown = encoding or Encoding.JSON
    response = _Response(refusal.http_status, answers.refused(shown, refusal, delay_seconds), shown)
    if refusal.retry:
        response.headers["Retry-After"] = str(max(1, round(delay_seconds)))
    if refusal.http_status == HTTPStatus.METHOD_NOT_ALLOWED:
        response.headers["Allow"] = "POST"
    return response


class _Connection(web.RequestHandler):
    """Knows since when its peer keeps it waiting."""

    __slots__ = ("_head_since", "_owner", "_request", "_stalled_since")

    def __init__(self, owner: "_Connections", **settings: Any) -> None:
        super().__init__(owner, **settings)
        self._owner = owner
        self._request: web.BaseRequest | None = None
        self._head_since: float | None = None
        self._stalled_since: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._owner.full():
            self._owner.turn_away(transport)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self._request is None and self._head_since is None:
            self._head_since = self._loop.time()
        super().data_received(data)
        if self._request is not None and self._messages and isinstance(self._messages[-1][0], _ErrInfo):
            # aiohttp answers what is not HTTP in its turn, but lets the reader of a broken body wait for ever
            self._request.content.set_exception(web.RequestPayloadError())

    def pause_writing(self) -> None:
        self._stalled_since = self._loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._stalled_since = None
        super().resume_writing()

    def head_arrived(self, request: web.BaseRequest) -> float:
        """The head is complete; loop time at which it began."""
        began = self._head_since or self._loop.time()
        self._head_since = None
        self._request = request
        return began

    def answered(self) -> None:
        self._request = None

    def overdue(self, now: float, head_seconds: float, request_seconds: float) -> bool:
        """The peer has sent half a head, or not read our answer, for too long."""
        slow_head = self._head_since is not None and now - self._head_since > head_seconds
        return slow_head or (self._stalled_since is not None and now - self._stalled_since > request_seconds)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Bytes that are not HTTP (400), or a fault of our own. Neither words nor traceback leave."""
        if status == HTTPStatus.BAD_REQUEST:
            refusal = answers.MALFORMED
            self._owner.refusals.add(None, refusal)
        else:
            refusal = answers.INTERNAL
            self._owner.refusals.add_fault(None, exc)
        response = _refusal_response(_encoding(request), refusal, 0)
        response.force_close()
        return response

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """What went wrong after the answer was begun; aiohttp would log a traceback."""
        fault = kw.get("exc_info")
        if not isinstance(fault, web.RequestPayloadError):  # that one is a broken body, refused already
            self._owner.refusals.add_fault(None, fault)


class _Connections(web.Server):
    """Makes connections, up to the bound, and closes those whose peers do not keep the deadlines."""

    def __init__(self, answer: Any, config: OtlpConfig, refusals: RefusalLog) -> None:
        super().__init__(answer)
        self.refusals = refusals
        self._config = config
        self._settings: dict[str, Any] = {
            "loop": asyncio.get_running_loop(),
            "keepalive_timeout": config.idle_timeout_seconds,
            "lingering_time": _LINGER_SECONDS,
            "auto_decompress": False,
            "access_log": None,
        }

    def __call__(self) -> web.RequestHandler:
        return _Connection(self, **self._settings)

    def full(self) -> bool:
        return len(self._connections) >= self._config.max_connections

    def turn_away(self, transport: asyncio.BaseTransport) -> None:
        """Answer before anything is read: there is no request yet whose encoding could be taken."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a stream server has no other
        self.refusals.add(None, answers.OVERLOADED)
        delay_seconds = self.refusals.delay_seconds()
        body = answers.refused(Encoding.JSON, answers.OVERLOADED, delay_seconds)
        head = (
            "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close\r\n"
            f"Retry-After: {max(1, round(delay_seconds))}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        transport.write(head.encode() + body)
        transport.close()

    async def sweep(self) -> None:
        """Until cancelled, close the connections that are overdue."""
        loop = asyncio.get_running_loop()
        head_seconds, request_seconds = self._config.head_timeout_seconds, self._config.request_timeout_seconds
        while True:
            await asyncio.sleep(min(1.0, head_seconds / 4, request_seconds / 4))
            now = loop.time()
            for connection in self.connections:
                if isinstance(connection, _Connection) and connection.overdue(now, head_seconds, request_seconds):
                    self.refusals.add(None, answers.TIMEOUT)
                    connection.force_close()
