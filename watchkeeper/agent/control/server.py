"""The control API's own port: its own thread and loop; what asks the database does so in a few threads more."""

import asyncio
import errno
import logging
import os
import re
import socket
import stat
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final

import msgspec
from aiohttp import web

from watchkeeper.agent.control import ControlConfig, is_loopback
from watchkeeper.agent.control.openapi import describe
from watchkeeper.agent.control.operations import OPERATIONS, Call, Handler, Operation
from watchkeeper.agent.control.refusals import CONTENT_TYPE, RefusedError, encode
from watchkeeper.core.bounded_http import BoundedServer, Bounds
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.listening import listening, shown
from watchkeeper.core.sparing_log import SparingLog
from watchkeeper.core.tls import ServerTls
from watchkeeper.core.tokens import Admission

_LOG: Final = logging.getLogger("watchkeeper.control")
_SECURITY: Final = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Server": "watchkeeper"}
_MOST_BODY_BYTES: Final = 64 * 1024
_HEAD_SECONDS: Final = 10.0
_IDLE_SECONDS: Final = 75.0
_STOP_SECONDS: Final = 1.0
_THREADS: Final = 4
_OPENAPI: Final = "/openapi.json"
_ITEM: Final = "([A-Za-z0-9._-]{1,100})"

Clock = Callable[[], float]


class ControlServer:
    """
    :param handler_of: what does an operation, by its name
    :raises ConfigError: the address is taken or not ours
    """

    def __init__(
        self,
        config: ControlConfig,
        tokens: Admission,
        handler_of: Callable[[str], Handler],
        operations: Sequence[Operation] = OPERATIONS,
        clock: Clock = time.time,
        tls: ServerTls | None = None,
    ) -> None:
        self._config = config
        self._tls = tls
        self._tokens = tokens
        self._clock = clock
        self._routes = [
            (re.compile(re.escape(one.path).replace(r"\{id\}", _ITEM)), one, handler_of(one.name)) for one in operations
        ]
        self._description = msgspec.json.encode(describe(operations))
        self._log = SparingLog(_LOG)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="control")
        self._bounds = Bounds(config.max_connections, _HEAD_SECONDS, config.request_seconds, _IDLE_SECONDS)
        self._socket = _unix(config.socket) if config.socket else _tcp(config)
        self._started = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="control", daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        if self._config.socket:
            return f"unix:{self._config.socket}"
        return f"{'https' if self._tls else 'http'}://{shown(self._config.host, self.port)}/"

    @property
    def port(self) -> int:
        return 0 if self._config.socket else int(self._socket.getsockname()[1])

    def start(self) -> None:
        self._thread.start()
        self._started.wait()

    def refresh(self, now: float) -> None:
        """Look at the files of tokens and TLS, if it is time to. :param now: unix seconds"""
        self._tokens.refresh(now)
        if self._tls is not None:
            self._tls.refresh(now)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout=5)
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._config.socket:
            with suppress(OSError):
                os.unlink(self._config.socket)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._loop.set_exception_handler(lambda _, context: self._tell("the event loop", context.get("exception")))
        server = BoundedServer(self, self._bounds, self._socket, self._tls, self._log)
        server.start()
        self._started.set()
        await self._stop.wait()
        await server.stop(_STOP_SECONDS)

    async def answer(self, request: web.BaseRequest, began: float) -> web.StreamResponse:
        try:
            left = max(0.1, began + self._config.request_seconds - self._loop.time())
            async with asyncio.timeout(left):
                return await self._answer(request)
        except TimeoutError:
            return _refused(HTTPStatus.SERVICE_UNAVAILABLE, "it took too long; the store may be busy")
        except RefusedError as error:
            return _refused(error.status, error.detail)

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        token = self._admit(request)
        if request.path == _OPENAPI and request.method == "GET":
            return web.Response(body=self._description, content_type="application/json", headers=_SECURITY)
        operation, handler, item = self._route(request)
        query = _converted(dict(request.query), operation.query, "query", strict=False) if operation.query else None
        body = await _body(request, operation.body) if operation.body else None
        by = getattr(body, "by", "").strip()
        who = f"{by} ({token})" if by and by != token else token
        call = Call(self._clock(), item, query, body, who, token)
        done = await self._loop.run_in_executor(self._threads, handler, call)
        return web.Response(body=msgspec.json.encode(done), content_type="application/json", headers=_SECURITY)

    def _admit(self, request: web.BaseRequest) -> str:
        """Name of the token; empty for who reads without one. :raises RefusedError: not admitted"""
        given = request.headers.get("Authorization", "")
        if given:
            name = self._tokens.name_of(given)
            if name is None:
                raise RefusedError(HTTPStatus.UNAUTHORIZED, "the token is not known here")
            return name
        if request.method not in ("GET", "HEAD"):
            if not self._tokens:
                raise RefusedError(HTTPStatus.FORBIDDEN, "nothing can be written: no token is configured")
            self._tokens.count("no_token")
            raise RefusedError(HTTPStatus.UNAUTHORIZED, "to write, send a token: `Authorization: Bearer ...`")
        if not self._config.is_local:
            self._tokens.count("no_token")
            raise RefusedError(HTTPStatus.UNAUTHORIZED, "send a token: `Authorization: Bearer ...`")
        if not self._config.socket and not is_loopback(request.headers.get("Host", "")):
            raise RefusedError(HTTPStatus.FORBIDDEN, "without a token only names of loopback are answered")
        return ""

    def _route(self, request: web.BaseRequest) -> tuple[Operation, Handler, str]:
        allowed: list[str] = []
        for pattern, operation, handler in self._routes:
            if match := pattern.fullmatch(request.path):
                if operation.method == request.method:
                    return operation, handler, match[1] if operation.has_item else ""
                allowed.append(operation.method)
        if allowed:
            raise RefusedError(HTTPStatus.METHOD_NOT_ALLOWED, f"this path takes {' and '.join(allowed)}")
        raise RefusedError(HTTPStatus.NOT_FOUND, f"no such path; {_OPENAPI} tells which there are")

    def failed(self, request: web.BaseRequest, fault: BaseException | None) -> web.StreamResponse:
        if fault is None:
            return _refused(HTTPStatus.BAD_REQUEST, "this is not HTTP")
        self._tell("a request", fault)
        return _refused(HTTPStatus.INTERNAL_SERVER_ERROR, "a fault of watchkeeper's own; its log says where")

    def broke_off(self, fault: BaseException | None) -> None:
        self._tell("an answer", fault)

    def one_too_many(self) -> bytes:
        self._log.error("a connection was turned away", f"{self._bounds.max_connections} are open")
        body = encode(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections")
        headers = {**_SECURITY, "Content-Type": CONTENT_TYPE, "Connection": "close", "Retry-After": "1"}
        lines = ("HTTP/1.1 503 Service Unavailable", *(f"{name}: {value}" for name, value in headers.items()))
        return "\r\n".join((*lines, f"Content-Length: {len(body)}", "", "")).encode() + body

    def too_slow(self) -> None:
        """Nothing to say: peers fall asleep."""

    def _tell(self, what: str, fault: BaseException | None) -> None:
        """What and where, but not its words: they may quote."""
        frames = traceback.extract_tb(fault.__traceback__) if fault else []
        place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "an unknown place"
        self._log.error(f"{what} failed", f"{type(fault).__name__} at {place}; please report it")


async def _body(request: web.BaseRequest, kind: type[msgspec.Struct]) -> Any:
    if request.content_type != "application/json":
        raise RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send application/json")
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send it without compression")
    data = b""
    while chunk := await request.content.readany():
        data += chunk
        if len(data) > _MOST_BODY_BYTES:
            raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {_MOST_BODY_BYTES >> 10} KiB are taken")
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise RefusedError(HTTPStatus.BAD_REQUEST, f"body: {_reason(error)}") from None


def _converted(given: dict[str, str], kind: type[msgspec.Struct], where: str, *, strict: bool) -> Any:
    try:
        return msgspec.convert(given, kind, strict=strict)
    except msgspec.ValidationError as error:
        raise RefusedError(HTTPStatus.BAD_REQUEST, f"{where}: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    """msgspec names keys and types; of a value it could not take it quotes no more than an unknown word of a choice."""
    if not isinstance(error, msgspec.ValidationError):
        return "not JSON"
    return re.sub(r"Invalid enum value '.*?'", "an unknown value", str(error), flags=re.DOTALL)[:300]


def _refused(status: HTTPStatus, detail: str) -> web.Response:
    headers = dict(_SECURITY)
    if status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return web.Response(body=encode(status, detail), status=status.value, content_type=CONTENT_TYPE, headers=headers)


def _tcp(config: ControlConfig) -> socket.socket:
    return listening(config.host, config.port, host_key="control.host", port_key="control.port")


def _unix(path: str) -> socket.socket:
    """:raises ConfigError: the path cannot be had"""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _clear(path)
        before = os.umask(0o177)
        try:
            listener.bind(path)
        finally:
            os.umask(before)
        listener.listen()
    except OSError as error:
        listener.close()
        why = os.strerror(error.errno) if error.errno else str(error)
        raise ConfigError(f"control.socket: {path} cannot be made ({why}); give another path") from None
    return listener


def _clear(path: str) -> None:
    """Away with what a process that ended left behind. :raises OSError: somebody listens there, or it is no socket"""
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            raise OSError(errno.EEXIST, "is there")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
            try:
                asking.connect(path)
            except ConnectionRefusedError:
                os.unlink(path)
            else:
                raise OSError(errno.EADDRINUSE, "is in use")
