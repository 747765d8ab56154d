"""One listening port: its connections, who looks at them, and how its upstream is reached. Lives on one loop."""

import asyncio
import errno
import logging
import ssl
import time
from collections import Counter, deque
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

import httptools

from collector.tap.config import TapTarget
from collector.tap.exchange import Exchange, Room
from collector.tap.heads import HeadRewriter
from collector.tap.observer import Blind, Observer
from collector.tap.refusals import Refusal
from collector.tap.relay import Client, Upstream, reset

_LOG: Final = logging.getLogger("watchkeeper.tap")
_BATCH_SECONDS: Final = 0.01
"""pieces are looked at in batches: one by one, each would find the caches cold and cost a turn of the loop"""
_SLICE: Final = 32
"""of a batch, before bytes are passed on again"""
_BACKLOG_BYTES: Final = 8 << 20
"""waiting to be looked at; past it they are looked at first, so that memory stays bounded"""
_MOST_TURNED_AWAY: Final = 64
"""clients that are waited for to tell them 503; further ones are reset, or they would take every file descriptor"""
_STOPPED: Final = "tap_stopped"
_NO_DESCRIPTORS: Final = (errno.EMFILE, errno.ENFILE)

Look = Callable[[bytes, float], None]


class Watch:
    """
    Looks at pieces some time after they have been passed on, each with the time at which it came.

    The one place where whatever an observer raises is caught.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[tuple[Tap, Client, Look, bytes, float]] = deque()
        self._bytes = 0
        self._is_due = False

    def add(self, tap: "Tap", client: Client, look: Look, data: bytes) -> None:
        self._waiting.append((tap, client, look, data, time.monotonic()))
        self._bytes += len(data)
        if not self._is_due:
            self._is_due = True
            self._loop.call_later(_BATCH_SECONDS, self._work)
        elif self._bytes > _BACKLOG_BYTES:
            self.catch_up()

    def catch_up(self) -> None:
        """Look at all that waits."""
        while self._waiting:
            self._next()

    def _work(self) -> None:
        for _ in range(min(_SLICE, len(self._waiting))):
            self._next()
        if self._waiting:
            self._loop.call_soon(self._work)
        else:
            self._is_due = False

    def _next(self) -> None:
        tap, client, look, data, at = self._waiting.popleft()
        self._bytes -= len(data)
        if client.observer is None:
            return
        try:
            look(data, at)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with observing, the traffic goes on
            tap.stop_observing(client, error)


class Tap:
    """Counters are written on the loop's thread alone and read from others."""

    def __init__(
        self,
        target: TapTarget,
        tls: ssl.SSLContext | None,
        watch: Watch,
        ended: Callable[["Tap", Exchange], None],
        room: Room,
        max_connections: int,
    ) -> None:
        """:param tls: for the upstream; None: plain"""
        self.target = target
        self._tls = tls
        self._watch = watch
        self._ended = ended
        self._room = room
        self._max_connections = max_connections
        self._observed = 0
        self._is_reachable = True
        self.clients: set[Client] = set()
        self._turned_away: set[Client] = set()
        self.open: set[Exchange] = set()
        self.request_bytes = 0
        self.response_bytes = 0
        self.refused = 0
        self.passed_requests = 0
        self.unobserved: Counter[str] = Counter()
        self.upstream_failures: Counter[str] = Counter()

    def admit(self, client: Client) -> Refusal | None:
        """A new client; what to tell it when there is no room."""
        if len(self.clients) >= self._max_connections:
            if len(self._turned_away) >= _MOST_TURNED_AWAY:
                reset(client.transport)
            self._turned_away.add(client)
            return self._refused("too many connections are open")
        self.clients.add(client)
        if self._observed >= self.target.max_observed_connections:
            self.unobserved["too_many"] += 1
        else:
            self._observed += 1
            client.observer = Observer(self.target, self, time.time, self._room)
        return None

    def rewriter(self) -> HeadRewriter | None:
        return HeadRewriter(self.target.netloc, self.target.prefix) if self.target.rewrites else None

    async def connect(self, client: Client) -> None:
        """Bring the client's upstream, or tell it that there is none."""
        target = self.target
        try:
            async with asyncio.timeout(target.connect_timeout_seconds):
                await asyncio.get_running_loop().create_connection(
                    lambda: Upstream(self, client), target.upstream_host, target.upstream_port, ssl=self._tls
                )
        except TimeoutError:
            message = f"did not accept a connection within {target.connect_timeout_seconds:g} s"
            self._unreachable(client, HTTPStatus.GATEWAY_TIMEOUT, "upstream_connect_timeout", message)
        except ssl.SSLError as error:
            message = f"cannot be trusted ({error.reason or type(error).__name__})"
            self._unreachable(client, HTTPStatus.BAD_GATEWAY, "upstream_bad_certificate", message)
        except OSError as error:
            if error.errno in _NO_DESCRIPTORS:
                client.refuse(self._refused("no file descriptor is left"))
            else:
                message = f"cannot be reached ({error.strerror or type(error).__name__})"
                self._unreachable(client, HTTPStatus.BAD_GATEWAY, "upstream_unreachable", message)
        else:
            if not self._is_reachable:
                self._is_reachable = True
                _LOG.warning("tap: %s is back", target.upstream)

    def watch(self, client: Client, look: Look, data: bytes) -> None:
        self._watch.add(self, client, look, data)

    def client_done(self, client: Client) -> None:
        observer = client.observer
        if observer is not None:
            self._watch.add(self, client, lambda _data, _at: observer.client_done(), b"")

    def client_lost(self, client: Client) -> None:
        self.clients.discard(client)
        self._turned_away.discard(client)
        observer = client.observer
        if observer is not None:

            def look(_data: bytes, at: float) -> None:
                observer.client_gone(at)
                self._forget(client)

            self._watch.add(self, client, look, b"")

    def upstream_lost(self, client: Client, fault: str) -> None:
        observer = client.observer
        if observer is None:
            return

        def look(_data: bytes, at: float) -> None:
            if observer.upstream_gone(fault, at):
                self.upstream_failures[fault.removeprefix("upstream_")] += 1

        self._watch.add(self, client, look, b"")

    def call_refused(self, client: Client, refusal: Refusal) -> None:
        """The tap itself has answered what this client asks."""
        self._end_calls(client, refusal.fault)

    def stop_observing(self, client: Client, error: Exception) -> None:
        """The traffic goes on unmeasured."""
        reason = _reason(error)
        self.unobserved[reason] += 1
        if reason == "fault" and self.unobserved[reason] == 1:
            _LOG.error(
                "tap: a fault in observing (%s, counted from now on); traffic passes, please report it",
                type(error.__context__ or error).__name__,
            )
        self._forget(client)

    def began(self, exchange: Exchange) -> None:
        self.open.add(exchange)

    def passed(self) -> None:
        self.passed_requests += 1

    def ended(self, exchange: Exchange) -> None:
        self.open.discard(exchange)
        self._ended(self, exchange)

    def close_idle(self) -> None:
        """End the connections on which nothing is under way."""
        for client in list(self.clients):
            if client.observer is not None and not client.observer.is_busy:
                client.transport.close()

    def abort(self) -> None:
        """End every connection: what is under way failed, and neither side is to blame."""
        for client in list(self.clients):
            self._end_calls(client, _STOPPED)
            reset(client.transport)

    def _end_calls(self, client: Client, fault: str) -> None:
        observer = client.observer
        if observer is not None:
            self._watch.add(self, client, lambda _data, at: observer.refused(fault, at), b"")

    def _forget(self, client: Client) -> None:
        observer, client.observer = client.observer, None
        if observer is not None:
            self._observed -= 1
            for exchange in observer.open_exchanges():
                self.open.discard(exchange)
                exchange.release()
            observer.close()

    def _refused(self, why: str) -> Refusal:
        self.refused += 1
        return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "tap_full", f"watchkeeper's tap: {why}")

    def _unreachable(self, client: Client, status: HTTPStatus, fault: str, what: str) -> None:
        self.upstream_failures[fault.removeprefix("upstream_")] += 1
        message = f"{self.target.upstream} {what}"
        if self._is_reachable:
            self._is_reachable = False
            _LOG.warning("tap: %s; its clients get %d", message, status)
        client.refuse(Refusal(status, fault, f"watchkeeper's tap: {message}"))


def _reason(error: BaseException) -> str:
    cause: Any = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else error
    if isinstance(cause, Blind):
        return str(cause)
    return "not_http" if isinstance(cause, httptools.HttpParserError) else "fault"
