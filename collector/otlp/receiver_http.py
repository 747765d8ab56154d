"""OTLP/HTTP: what is said to every request, on a server whose connections are bounded."""

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from aiohttp.web_protocol import RequestPayloadError
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import Response, StreamResponse

from collector.otlp import answers, compression
from collector.otlp.answers import Declined, Refusal
from collector.otlp.config import OtlpConfig
from collector.otlp.intake import Encoding, Intake, Refused, Signal
from collector.otlp.refusal_log import RefusalLog
from watchkeeper.core.bounded_http import BoundedServer, Bounds
from watchkeeper.core.sparing_log import SparingLog
from watchkeeper.core.tls import ServerTls
from watchkeeper.core.tokens import Admission

PATHS: Final = {
    f"{prefix}/v1/{signal.value}": signal for prefix in ("", "/api/public/otel", "/otel") for signal in Signal
}
"""OTLP's own paths, and the same below the bases that Langfuse and LangSmith clients use"""

CONTENT_TYPES: Final = {"application/x-protobuf": Encoding.PROTOBUF, "application/json": Encoding.JSON}

_CONTENT_TYPE_OF: Final = {encoding: content_type for content_type, encoding in CONTENT_TYPES.items()}
_LOG: Final = logging.getLogger("watchkeeper.otlp")


class HttpReceiver:
    """Answers one listening socket on the running loop."""

    def __init__(
        self,
        config: OtlpConfig,
        intake: Intake,
        refusals: RefusalLog,
        clock: Callable[[], float] = time.time,
        admission: Admission | None = None,
    ) -> None:
        """
        :param clock: unix seconds
        :param admission: None: nobody is asked for a token
        """
        self._config = config
        self._intake = intake
        self._refusals = refusals
        self._admission = admission
        self._clock = clock
        self._in_flight_bytes = 0
        self._closing = False
        self._server: BoundedServer

    async def start(self, listener: socket.socket, tls: ServerTls | None) -> None:
        config = self._config
        bounds = Bounds(
            max_connections=config.max_connections,
            head_seconds=config.head_timeout_seconds,
            request_seconds=config.request_timeout_seconds,
            idle_seconds=config.idle_timeout_seconds,
        )
        self._server = BoundedServer(self, bounds, listener, tls, SparingLog(_LOG))
        self._server.start()

    def drain(self) -> None:
        """From now on every answer closes its connection, so that senders go elsewhere."""
        self._closing = True

    async def stop(self) -> None:
        """Close the socket and every connection."""
        await self._server.stop(timeout_seconds=0.5)

    async def answer(self, request: BaseRequest, began: float) -> StreamResponse:
        """:param began: loop time at which the head began to arrive"""
        deadline = began + self._config.request_timeout_seconds
        signal = PATHS.get(request.path)
        encoding = _encoding(request)
        try:
            if self._admission is not None and not self._admission.name_of(request.headers.get("Authorization", "")):
                raise Declined(answers.UNAUTHENTICATED)
            body = await self._body(request, signal, encoding, deadline)
            assert signal is not None and encoding is not None  # noqa: S101, PT018 - _body declines without them
            taken = self._intake.take(signal, encoding, body, request.headers, self._clock())
        except Declined as declined:
            return self._refuse(signal, encoding, declined.refusal)
        except Refused as error:
            return self._refuse(signal, encoding, answers.refusal_of(error))
        response = _Response(200, answers.accepted(signal, encoding, taken), encoding)
        if self._closing:
            response.force_close()
        return response

    def failed(self, request: BaseRequest, fault: BaseException | None) -> StreamResponse:
        """Says neither the words nor the place of a fault of ours."""
        if fault is None:
            refusal = answers.MALFORMED
            self._refusals.add(None, refusal)
        else:
            refusal = answers.INTERNAL
            self._refusals.add_fault(None, fault)
        return _refusal_response(_encoding(request), refusal, 0)

    def broke_off(self, fault: BaseException | None) -> None:
        self._refusals.add_fault(None, fault)

    def one_too_many(self) -> bytes:
        """There is no request yet whose encoding could be taken."""
        self._refusals.add(None, answers.OVERLOADED)
        delay_seconds = self._refusals.delay_seconds()
        body = answers.refused(Encoding.JSON, answers.OVERLOADED, delay_seconds)
        head = (
            "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close\r\n"
            f"Retry-After: {max(1, round(delay_seconds))}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    def too_slow(self) -> None:
        self._refusals.add(None, answers.TIMEOUT)

    async def _body(
        self, request: BaseRequest, signal: Signal | None, encoding: Encoding | None, deadline: float
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

    async def _received(self, request: BaseRequest, deadline: float) -> bytes:
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
        except RequestPayloadError:
            raise Declined(answers.MALFORMED) from None
        except ConnectionError:
            raise Declined(answers.INCOMPLETE) from None
        finally:
            self._in_flight_bytes -= size  # what follows up to the answer does not wait, so it is alone
        return b"".join(parts)

    def _too_large(self) -> Refusal:
        limit = self._config.max_body_bytes
        return answers.TOO_LARGE.saying(f"the body is larger than {limit} bytes, counted after decompression")

    def _refuse(self, signal: Signal | None, encoding: Encoding | None, refusal: Refusal) -> StreamResponse:
        self._refusals.add(signal, refusal)
        response = _refusal_response(encoding, refusal, self._refusals.delay_seconds())
        if self._closing or refusal.reason in _ENDS_CONNECTION:
            response.force_close()
        return response


_ENDS_CONNECTION: Final = {
    refusal.reason for refusal in (answers.TOO_LARGE, answers.TIMEOUT, answers.MALFORMED, answers.UNAUTHENTICATED)
}


def _encoding(request: BaseRequest) -> Encoding | None:
    """By `Content-Type`, whose parameters (charset) say nothing that matters here."""
    stated = request.headers.get("Content-Type", "")
    return CONTENT_TYPES.get(stated) or CONTENT_TYPES.get(stated.partition(";")[0].strip().lower())


class _Response(Response):
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
    if refusal.http_status == HTTPStatus.UNAUTHORIZED:
        response.body = b""
        response.headers["WWW-Authenticate"] = "Bearer"
    if refusal.http_status == HTTPStatus.METHOD_NOT_ALLOWED:
        response.headers["Allow"] = "POST"
    return response
