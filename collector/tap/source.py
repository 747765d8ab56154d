"""The tap source: every tap on one loop in a thread of its own, before one inbox."""

import asyncio
import logging
import socket
import sys
from collections import Counter
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from threading import Thread
from typing import Any, Final

import uvloop

from collector.tap import completions, listening, request
from collector.tap.config import TapTarget
from collector.tap.exchange import Exchange, Room
from collector.tap.relay import Client
from collector.tap.tap import Tap, Watch
from watchkeeper.core.accepting import Acceptor
from watchkeeper.core.errors import ConfigError, Unavailable
from watchkeeper.core.inbox import Inbox
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.metric import Metric
from watchkeeper.core.records import Completion, Distribution, Labels, Reading, Sample
from watchkeeper.core.sparing_log import SparingLog
from watchkeeper.core.tls import ServerTls
from watchkeeper.core.vocabulary import engines, health, requests
from watchkeeper.core.vocabulary import tap as vocabulary

_INBOX_BYTES: Final = 64 << 20
"""ended calls, with what was kept of their bodies, until the pipeline has folded them"""
_OPEN_BYTES: Final = 64 << 20
"""bodies of open calls; past it calls pass with their bodies unread"""
_STOP_SECONDS: Final = 5.0
_HANDSHAKE_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.05
_SWITCH_SECONDS: Final = 0.0005
"""after which a busy thread of this process makes way for the tap; with Python's 5 ms, p99 of a chunk is 12 ms"""
_SIGNAL: Final = (("source", "tap"), ("signal", "calls"))
_FAULT: Final = (("source", "tap"), ("reason", "fault"))
_QUEUE: Final = (("queue", "tap"),)
_LOG: Final = logging.getLogger("watchkeeper.tap")


class TapSource:
    """Passes traffic until closed. `ports` are those really listened on, in the order of the configuration."""

    def __init__(self, config: tuple[TapTarget, ...], ledger: Ledger) -> None:
        """:raises ConfigError: a port cannot be taken, or a TLS file is no good"""
        found = tuple(listening.problems(config))
        if found:
            raise ConfigError(*found)
        self._config = config
        self._tls = [listening.server_tls(target, f"tap[{index}]", ledger) for index, target in enumerate(config)]
        self._ledger = ledger
        self._inbox: Inbox[tuple[Tap, Exchange]] = Inbox(_INBOX_BYTES)
        self._taps: list[Tap] = []
        self._said: Counter[tuple[Metric, Labels]] = Counter()
        self._in_flight: set[Labels] = set()
        self._started: Future[None] = Future()
        self._loop: asyncio.AbstractEventLoop
        self._closing: asyncio.Event
        self._closed = False
        self._is_faulty = False
        listeners = []
        try:
            for index, target in enumerate(config):
                listeners.append(listening.listener(target, f"tap[{index}]"))
        except ConfigError:
            for taken in listeners:
                taken.close()
            raise
        self.ports = [taken.getsockname()[1] for taken in listeners]
        self._thread = Thread(target=self._run, args=(listeners,), name="tap", daemon=True)
        sys.setswitchinterval(min(sys.getswitchinterval(), _SWITCH_SECONDS))
        self._thread.start()
        self._started.result()
        for target, port in zip(config, self.ports, strict=True):
            _LOG.info("tap passes %s:%d on to %s", target.host, port, target.upstream)

    def read(self, now: float) -> Reading:
        """:raises Unavailable: the loop has died; only a restart brings it back"""
        if not self._closed and not self._thread.is_alive():
            raise Unavailable("the tap has stopped; restart watchkeeper")
        for secured in filter(None, self._tls):
            secured.refresh(now)
        self._report()
        ended = self._inbox.take()
        calls = []
        gaps: dict[Labels, Distribution] = {}
        for tap, exchange in ended:
            call = self._completion(tap, exchange)
            if call is None:
                continue
            calls.append(call)
            self._note_gaps(gaps, exchange, call)
            for reason, count in exchange.unread.items():
                self._ledger.add(vocabulary.UNREAD, count, (*_name(tap), ("reason", reason)))
        samples = [Sample(engines.INTER_TOKEN_LATENCY, many, now, labels) for labels, many in gaps.items()]
        return Reading((*samples, *self._requests_in_flight(now)), (), tuple(calls), len(calls))

    def folded(self) -> None:
        self._inbox.release()
        if self._closed:  # no later report would say that nothing is held any more
            self._report()

    def close(self) -> None:
        """Stop listening, let open requests end within `drain_seconds`, end the rest."""
        self._closed = True
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._closing.set)
            self._thread.join(max(target.drain_seconds for target in self._config) + _STOP_SECONDS)
        self._inbox.close()

    def _run(self, listeners: list[Any]) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._serve(listeners))
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - `read` tells the supervisor
            if not self._started.done():
                self._started.set_exception(error)
            _LOG.error("tap stopped: %s", type(error).__name__)

    async def _serve(self, listeners: list[Any]) -> None:
        self._loop = loop = asyncio.get_running_loop()
        loop.set_exception_handler(_log_loop_error)
        self._closing = asyncio.Event()
        watch, room = Watch(loop), Room(_OPEN_BYTES)
        most = listening.connection_limit()
        servers, acceptors = [], []
        for index, (target, taken) in enumerate(zip(self._config, listeners, strict=True)):
            path = f"tap[{index}]"
            upstream_tls = listening.client_tls(target, path)
            connections = target.max_connections or most // len(listeners)
            tap = Tap(target, upstream_tls, watch, self._take, room, connections)
            secured = self._tls[index]
            if secured is None:
                servers.append(await loop.create_server(partial(Client, tap), sock=taken))
            else:  # uvloop accepts faster, and tells nobody of handshakes that fail
                acceptors.append(_acceptor(tap, taken, secured, connections))
            self._taps.append(tap)
        self._started.set_result(None)
        await self._closing.wait()
        for server in servers:
            server.close()
        for acceptor in acceptors:
            await acceptor.stop()
        await self._drain(watch)
        for tap in self._taps:
            tap.abort()
        await asyncio.sleep(0)
        watch.catch_up()

    async def _drain(self, watch: Watch) -> None:
        end = self._loop.time() + max(target.drain_seconds for target in self._config)
        while self._loop.time() < end:
            watch.catch_up()
            for tap in self._taps:
                tap.close_idle()
            if not any(tap.clients for tap in self._taps):
                return
            await asyncio.sleep(_POLL_SECONDS)

    def _take(self, tap: Tap, exchange: Exchange) -> None:
        self._ledger.add(health.RECEIVED, 1, _SIGNAL)
        if self._inbox.put((tap, exchange), exchange.size_bytes):
            self._ledger.add(health.ACCEPTED, 1, _SIGNAL)
        else:
            self._ledger.add(health.REJECTED, 1, (*_SIGNAL, ("reason", "queue_full")))

    def _completion(self, tap: Tap, exchange: Exchange) -> Completion | None:
        """None when our own reading of it failed: the other calls are not lost with it."""
        try:
            return completions.completion(exchange, tap.target)
        except Exception as error:  # noqa: BLE001 - the bodies are anybody's, and an error's text may quote them
            self._ledger.add(health.DROPPED, 1, _FAULT)
            if not self._is_faulty:
                self._is_faulty = True
                _LOG.error(
                    "tap: a fault in reading a call (%s, counted from now on); please report it", type(error).__name__
                )
            return None

    def _note_gaps(self, gaps: dict[Labels, Distribution], exchange: Exchange, call: Completion) -> None:
        found = completions.gaps(exchange)
        if found is None:
            return
        labels = (
            *_who(call.service, call.provider, call.request_model, call.server_address, call.server_port),
            (requests.VANTAGE, "tap"),
        )
        held = gaps.get(labels)
        if held is not None:
            counts = tuple(map(float.__add__, held.counts, found.counts))
            found = Distribution(held.bounds, counts, held.sum + found.sum)
        gaps[labels] = found

    def _requests_in_flight(self, now: float) -> list[Sample]:
        """A gauge for each model; one that was above 0 before is said to be 0 once."""
        counts: Counter[Labels] = Counter()
        for tap in self._taps:
            target = tap.target
            for exchange in list(tap.open):
                if exchange.model is None and exchange.is_whole_request:
                    asked = request.read(exchange, target.max_body_bytes)
                    exchange.model = asked.model_name if asked is not None else ""
                counts[
                    _who(
                        target.name,
                        target.provider,
                        exchange.model or "",
                        target.upstream_host,
                        str(target.upstream_port),
                    )
                ] += 1
        gone = self._in_flight - counts.keys()
        self._in_flight = set(counts)
        return [
            Sample(requests.IN_FLIGHT, count, now, labels)
            for labels, count in (*counts.items(), *((labels, 0) for labels in gone))
        ]

    def _report(self) -> None:
        for tap in self._taps:
            name = _name(tap)
            self._ledger.set(vocabulary.CONNECTIONS, len(tap.clients), name)
            self._say(vocabulary.PASSED, tap.passed_requests, name)
            self._say(vocabulary.REFUSED, tap.refused, name)
            self._say(vocabulary.RELAYED, tap.request_bytes, (*name, ("direction", "request")))
            self._say(vocabulary.RELAYED, tap.response_bytes, (*name, ("direction", "response")))
            for metric, counts in (
                (vocabulary.UNOBSERVED, tap.unobserved),
                (vocabulary.UPSTREAM_FAILURES, tap.upstream_failures),
            ):
                for reason, count in list(counts.items()):
                    self._say(metric, count, (*name, ("reason", reason)))
        self._ledger.set(health.QUEUE_LENGTH, len(self._inbox), _QUEUE)
        self._ledger.set(health.QUEUE_SIZE, self._inbox.size_bytes, _QUEUE)
        self._ledger.set(health.QUEUE_CAPACITY, self._inbox.capacity_bytes, _QUEUE)

    def _say(self, metric: Metric, total: int, labels: Labels) -> None:
        """Add what a running total has grown by."""
        key = (metric, labels)
        self._ledger.add(metric, total - self._said[key], labels)
        self._said[key] = total


def _acceptor(tap: Tap, listener: socket.socket, secured: ServerTls, connections: int) -> Acceptor:
    """One that accepts already."""
    acceptor = Acceptor(
        partial(Client, tap),
        listener,
        secured,
        SparingLog(_LOG),
        max_connections=connections,
        handshake_seconds=_HANDSHAKE_SECONDS,
    )
    acceptor.start()
    return acceptor


def _name(tap: Tap) -> Labels:
    return ((vocabulary.NAME, tap.target.name),) if tap.target.name else ()


def _who(service: str, provider: str, model: str, address: str, port: str) -> Labels:
    pairs = (
        ("service.name", service),
        ("gen_ai.provider.name", provider),
        ("gen_ai.request.model", model),
        ("server.address", address),
        ("server.port", port),
    )
    return tuple(pair for pair in pairs if pair[1])


def _log_loop_error(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """asyncio's own handler would log reprs of what holds bodies."""
    fault = context.get("exception")
    with suppress(Exception):
        _LOG.error("tap: %s (%s)", context.get("message", "fault in the event loop"), type(fault).__name__)
