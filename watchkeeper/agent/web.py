"""The one HTTP port: what exporters serve, and health. Its own thread and loop, so probes answer whatever else does."""

import asyncio
import logging
import resource
import threading
import traceback
from collections.abc import Callable, Mapping
from typing import Any, Final

from aiohttp.web_request import BaseRequest
from aiohttp.web_response import Response, StreamResponse

from watchkeeper.agent.control import LOOPBACK, is_loopback
from watchkeeper.core.bounded_http import BoundedServer, Bounds
from watchkeeper.core.interfaces import Answer, Request
from watchkeeper.core.listening import listening, shown
from watchkeeper.core.sparing_log import SparingLog
from watchkeeper.core.tls import ServerTls
from watchkeeper.core.tokens import Admission

Handler = Callable[[Request], Answer]

_SECURITY: Final = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Server": "watchkeeper"}
_TEXT: Final = "text/plain; charset=utf-8"
_STOP_SECONDS: Final = 1.0
_OPEN: Final = ("/healthz", "/readyz")
"""for a kubelet, which has neither certificate nor token"""
_PROXIED: Final = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP")
"""a proxy on this machine asks for somebody else"""
_CHALLENGE: Final = 'Basic realm="watchkeeper", charset="UTF-8", Bearer'
_BUSY: Final = b"too many connections; retry later\n"
_LOG: Final = logging.getLogger("watchkeeper.web")


def default_bounds() -> Bounds:
    """At most half of the descriptors that this process may open, so that others on this port starve nobody else."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 1000 if descriptors == resource.RLIM_INFINITY else min(1000, max(1, descriptors // 2))
    return Bounds(max_connections=most, head_seconds=10.0, request_seconds=30.0, idle_seconds=75.0)


class WebServer:
    """
    Serves `routes` (path to handler) and /healthz, /readyz.

    :raises ConfigError: the address is taken or not ours
    """

    def __init__(
        self,
        host: str,
        port: int,
        routes: Mapping[str, Handler],
        bounds: Bounds | None = None,
        is_alive: Callable[[], bool] = lambda: True,
        tls: ServerTls | None = None,
        admission: Admission | None = None,
    ) -> None:
        """
        :param bounds: default_bounds() when None
        :param is_alive: whether what feeds the pages still moves; asked by /healthz and /readyz
        """
        self._is_alive = is_alive
        self._tls = tls
        self._admission = admission
        self._routes = {**routes, "/healthz": self._healthz, "/readyz": self._readyz}
        self._bounds = bounds or default_bounds()
        self._log = SparingLog(_LOG)
        self._socket = listening(host, port, host_key="web.host", port_key="web.port")
        self.host = host
        self.port: int = self._socket.getsockname()[1]
        self._ready = threading.Event()
        self._started = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://{shown(self.host, self.port)}/"

    def start(self) -> None:
        self._thread.start()
        self._started.wait()

    def set_ready(self, ready: bool) -> None:
        """What /readyz answers from now on."""
        if ready:
            self._ready.set()
        else:
            self._ready.clear()

    def refresh(self, now: float) -> None:
        """Look at the files of TLS and tokens, if it is time to. :param now: unix seconds"""
        for one in (self._tls, self._admission):
            if one is not None:
                one.refresh(now)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout=5)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._loop.set_exception_handler(self._loop_failed)
        server = BoundedServer(self, self._bounds, self._socket, self._tls, self._log)
        server.start()
        self._started.set()
        await self._stop.wait()
        await server.stop(_STOP_SECONDS)

    async def answer(self, request: BaseRequest, began: float) -> StreamResponse:
        if request.path not in _OPEN and (refused := self._refusal(request)):
            return refused
        handler = self._routes.get(request.path)
        if handler is None:
            return _response(Answer(b"404: Not Found", _TEXT, 404))
        if request.method not in ("GET", "HEAD"):
            return _response(Answer(b"405: Method Not Allowed", _TEXT, 405, {"Allow": "GET, HEAD"}))
        headers = {name.lower(): value for name, value in request.headers.items()}
        near = self._admission is not None or _is_near(request)
        return _response(handler(Request(request.path, dict(request.query), headers, is_insider=near)))

    def _refusal(self, request: BaseRequest) -> Response | None:
        """The answer to who may not ask; it says nothing."""
        if self._tls is not None and self._tls.pair.client_ca and not _certificate(request):
            self._tls.turned_away()
            return _response(Answer(b"", _TEXT, 403))
        if self._admission is not None and self._admission.name_of(request.headers.get("Authorization", "")) is None:
            return _response(Answer(b"", _TEXT, 401, {"WWW-Authenticate": _CHALLENGE}))
        return None

    def failed(self, request: BaseRequest, fault: BaseException | None) -> StreamResponse:
        if fault is None:
            return _response(Answer(b"400: Bad Request", _TEXT, 400))
        self._tell(f"{request.path} failed" if request.path in self._routes else "a request failed", fault)
        return _response(Answer(b"500: Internal Server Error", _TEXT, 500))

    def broke_off(self, fault: BaseException | None) -> None:
        self._tell("an answer broke off", fault)

    def one_too_many(self) -> bytes:
        advice = f"{self._bounds.max_connections} are open; find out who opens so many on this port"
        self._log.error("a connection was turned away", advice)
        headers = {**_SECURITY, "Content-Type": _TEXT, "Connection": "close", "Retry-After": "1"}
        lines = ("HTTP/1.1 503 Service Unavailable", *(f"{name}: {value}" for name, value in headers.items()))
        return "\r\n".join((*lines, f"Content-Length: {len(_BUSY)}", "", "")).encode() + _BUSY

    def too_slow(self) -> None:
        """Nothing to say: browsers that fell asleep do that."""

    def _loop_failed(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """asyncio's own handler would log a traceback every time."""
        self._tell("fault in the event loop", context.get("exception"))

    def _tell(self, what: str, fault: BaseException | None) -> None:
        """What and where, but not its words: they may quote."""
        frames = traceback.extract_tb(fault.__traceback__) if fault else []
        place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "an unknown place"
        self._log.error(what, f"{type(fault).__name__} at {place}; please report it")

    def _healthz(self, _: Request) -> Answer:
        return Answer(b"ok\n", _TEXT) if self._is_alive() else Answer(b"stalled\n", _TEXT, 503)

    def _readyz(self, _: Request) -> Answer:
        ready = self._ready.is_set() and self._is_alive()
        return Answer(b"ok\n", _TEXT) if ready else Answer(b"not ready\n", _TEXT, 503)


def _is_near(request: BaseRequest) -> bool:
    """From this machine, for nobody else, and by a name that no page of another origin has."""
    peer = (request.remote or "").removeprefix("::ffff:")
    if not LOOPBACK.fullmatch(peer) or any(name in request.headers for name in _PROXIED):
        return False
    return is_loopback(request.headers.get("Host", ""))


def _certificate(request: BaseRequest) -> object:
    """Of the client, checked at the handshake; None: it showed none."""
    return request.transport.get_extra_info("peercert") if request.transport else None


def _response(answer: Answer) -> Response:
    headers = {**_SECURITY, "Content-Type": answer.content_type, **answer.headers}
    return Response(body=answer.body, status=answer.status, headers=headers)
