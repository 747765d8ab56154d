"""The OTLP source: both receivers on one loop in a thread of their own, before one intake."""

import asyncio
import logging
import socket
import time
from concurrent.futures import Future
from contextlib import AsyncExitStack, suppress
from threading import Thread
from typing import Any, Final

from collector.otlp import addresses
from collector.otlp.config import OtlpConfig
from collector.otlp.credentials import grpc_credentials
from collector.otlp.intake import Intake
from collector.otlp.receiver_grpc import GrpcReceiver
from collector.otlp.receiver_http import HttpReceiver
from collector.otlp.refusal_log import RefusalLog
from watchkeeper.core.errors import ConfigError, Unavailable
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.listening import shown
from watchkeeper.core.records import Reading
from watchkeeper.core.tls import problems as tls_problems
from watchkeeper.core.tls import server_tls
from watchkeeper.core.tokens import admission
from watchkeeper.core.vocabulary import health

_QUEUE: Final = (("queue", "otlp"),)
_STOP_SECONDS: Final = 5.0
"""beyond the grace, for open requests to end"""
_REPORT_SECONDS: Final = 1.0
_LOG: Final = logging.getLogger("watchkeeper.otlp")


class OtlpSource:
    """Takes in OTLP until closed. `http_port` and `grpc_port` are those really listened on."""

    def __init__(self, config: OtlpConfig, ledger: Ledger, started_at: float) -> None:
        """
        :param started_at: unix seconds
        :raises ConfigError: a port cannot be taken, or a TLS file is no good
        """
        self._config = config
        self._ledger = ledger
        self._intake = Intake(config, ledger, started_at)
        self._refusals = RefusalLog(ledger, config.retry_after_seconds)
        self._started: Future[int] = Future()
        self._loop: asyncio.AbstractEventLoop
        self._closing: asyncio.Event
        self._closed = False
        self._tls = server_tls(config.tls, "otlp", ledger)
        self._admission = admission(config.token_file, "otlp", ledger)
        problems = addresses.problems(config)
        if problems:
            raise ConfigError(*problems)
        listener = addresses.http_listener(config)
        self.http_port: int = listener.getsockname()[1]
        self._thread = Thread(target=self._run, args=(listener,), name="otlp", daemon=True)
        self._thread.start()
        try:
            self.grpc_port = self._started.result()
        except BaseException:
            listener.close()
            raise
        grpc_address = shown(config.host, self.grpc_port)
        _LOG.info("otlp takes gRPC on %s, HTTP on %s", grpc_address, shown(config.host, self.http_port))

    def read(self, now: float) -> Reading:
        """:raises Unavailable: the receivers have died; only a restart brings them back"""
        if not self._closed and not self._thread.is_alive():
            raise Unavailable("the OTLP receivers have stopped; restart watchkeeper")
        if self._closed:
            reading = self._intake.read(now)
            self._report(now)
            return reading
        for files in (self._tls, self._admission):
            if files is not None:
                files.refresh(now)
        self._report(now)  # before it is emptied: afterwards it is always empty
        return self._intake.read(now)

    def folded(self) -> None:
        self._intake.folded()
        if self._closed:  # no later report would say that nothing is held any more
            self._report(time.time())

    def close(self) -> None:
        """Tell senders to come back later for the time of grace, then stop listening."""
        self._closed = True
        self._intake.close()
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._closing.set)
            self._thread.join(self._config.shutdown_grace_seconds + _STOP_SECONDS)

    def _report(self, now: float) -> None:
        self._ledger.set(health.QUEUE_LENGTH, self._intake.queue_length, _QUEUE)
        self._ledger.set(health.QUEUE_SIZE, self._intake.queue_size_bytes, _QUEUE)
        self._ledger.set(health.QUEUE_CAPACITY, self._config.queue_capacity_bytes, _QUEUE)
        self._ledger.set(health.QUEUE_AGE, self._intake.queue_age_seconds(now), _QUEUE)

    def _run(self, listener: socket.socket) -> None:
        try:
            asyncio.run(self._serve(listener))
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - `read` tells the supervisor
            if not self._started.done():
                self._started.set_exception(error)
            _LOG.error("otlp stopped: %s", type(error).__name__)

    async def _report_until_closing(self) -> None:
        """Also while nobody reads, because the pipeline is stuck: that is when the queue is worth watching."""
        while not self._closing.is_set():
            self._report(time.time())
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), _REPORT_SECONDS)

    async def _serve(self, listener: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(_log_loop_error)
        self._closing = asyncio.Event()
        http = HttpReceiver(self._config, self._intake, self._refusals, admission=self._admission)
        rpc = GrpcReceiver(self._config, self._intake, self._refusals, admission=self._admission)
        async with AsyncExitStack() as stack:
            grpc_port = await self._start_grpc(rpc)
            stack.push_async_callback(rpc.stop)
            await http.start(listener, self._tls)
            stack.push_async_callback(http.stop)
            self._started.set_result(grpc_port)
            await self._report_until_closing()
            http.drain()
            await asyncio.sleep(self._config.shutdown_grace_seconds)

    async def _start_grpc(self, rpc: GrpcReceiver) -> int:
        address = shown(self._config.host, self._config.grpc_port)
        try:
            return await rpc.start(address, grpc_credentials(self._tls))
        except RuntimeError:
            raise ConfigError(f"otlp.grpc_port: {address} cannot be bound; set otlp.grpc_port") from None


def _log_loop_error(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """asyncio's own handler would log reprs and tracebacks of what holds bodies."""
    fault = context.get("exception")
    _LOG.error("otlp: %s (%s)", context.get("message", "fault in the event loop"), type(fault).__name__)


def probe(config: OtlpConfig) -> tuple[str, ...]:
    """Whether the ports can be taken and the TLS files read."""
    problems = (*tls_problems(config.tls, "otlp.tls"), *addresses.problems(config))
    if problems:
        return tuple(f"! {problem}" for problem in problems)
    rpc, http = (shown(config.host, port) for port in (config.grpc_port, config.http_port))
    secured = "TLS" if config.tls else "no TLS"
    return (f"OTLP/gRPC on {rpc} and OTLP/HTTP on {http} can be listened on ({secured})",)
