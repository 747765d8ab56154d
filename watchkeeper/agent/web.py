"""The one HTTP port: what exporters serve, and health. Its own thread and loop, so probes answer whatever else does."""

import asyncio
import errno
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Final

from aiohttp import web

from watchkeeper.core.errors import ConfigError
from watchkeeper.core.interfaces import Answer, Request

Handler = Callable[[Request], Answer]

_SECURITY: Final = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Server": "watchkeeper"}
_KEEP_ALIVE_SECONDS: Final = 75.0


class WebServer:
    """
    Serves `routes` (path to handler) and /healthz, /readyz.

    :raises ConfigError: the address is taken or not ours
    """

    def __init__(self, host: str, port: int, routes: Mapping[str, Handler]) -> None:
        self._routes = routes
        self._socket = _listen(host, port)
        self.host = host
        self.port: int = self._socket.getsockname()[1]
        self._ready = threading.Event()
        self._started = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/"

    def start(self) -> None:
        self._thread.start()
        self._started.wait()

    def set_ready(self, ready: bool) -> None:
        """What /readyz answers from now on."""
        if ready:
            self._ready.set()
        else:
            self._ready.clear()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout=5)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        app = web.Application()
        app.on_response_prepare.append(_secure)
        for path, handler in self._routes.items():
            app.router.add_get(path, _adapt(handler))
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        runner = web.AppRunner(app, access_log=None, keepalive_timeout=_KEEP_ALIVE_SECONDS, shutdown_timeout=1.0)
        await runner.setup()
        await web.SockSite(runner, self._socket).start()
        self._started.set()
        await self._stop.wait()
        await runner.cleanup()

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        ready = self._ready.is_set()
        return web.Response(text="ok\n" if ready else "not ready\n", status=200 if ready else 503)


async def _secure(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_SECURITY)


def _adapt(handler: Handler) -> Callable[[web.Request], "asyncio.Future[web.StreamResponse]"]:
    async def handle(incoming: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in incoming.headers.items()}
        request = Request(path=incoming.path, query=dict(incoming.query), headers=headers)
        answer = handler(request)
        return web.Response(
            body=answer.body,
            status=answer.status,
            headers={"Content-Type": answer.content_type, **answer.headers},
        )

    return handle  # type: ignore[return-value]  # aiohttp takes any coroutine function


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"web.port: {host}:{port} is in use by another process; stop it or set web.port"
            ) from error
        raise ConfigError(f"web.host: cannot listen on {host}:{port}: {error.strerror}") from error
