"""Sends the newest totals at an interval, in a thread of its own. Imports the SDK; imported only where switched on."""

import logging
import socket
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from threading import Event, Lock, Thread
from typing import Any, Final, TypeVar

import requests
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs.export import LogRecordExportResult
from opentelemetry.sdk.metrics.export import MetricExportResult
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import SpanExportResult

from exporters.otlp import OtlpConfig
from exporters.otlp.records import log_record, metrics_data
from exporters.otlp.spans import spans
from watchkeeper import __version__
from watchkeeper.core.errors import Retryable, Unavailable, WatchkeeperError
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Batch, Finding, Point, SeriesKey
from watchkeeper.core.steps import Step, Steps
from watchkeeper.core.vocabulary.health import EXPORTER_FAILURES

Waiting = TypeVar("Waiting", Finding, Step)

_MAX_FINDINGS: Final = 1000
_MAX_STEPS: Final = 1000
_RETRYABLE: Final = (429, 502, 503, 504)
_WELL: Final = (MetricExportResult.SUCCESS, LogRecordExportResult.SUCCESS, SpanExportResult.SUCCESS)
_NOT_SENT: Final = "nothing was sent: it could not be encoded, or is larger than the SDK sends"
_NOISY: Final = "opentelemetry.exporter.otlp"
"""the SDK logs every failed try; ours is one line when the state changes"""


class OtlpExporter:
    """
    `write` stores and returns. While the collector is away it raises what the last send met, so that the agent
    counts it, says it once and shows the exporter as down; the next send carries the totals of then.
    """

    def __init__(self, config: OtlpConfig, endpoint: str, headers: dict[str, str], ledger: Ledger) -> None:
        logging.getLogger(_NOISY).setLevel(logging.CRITICAL + 1)
        self._config = config
        self._ledger = ledger
        self._resource = Resource({**_identity(), **config.resource_attributes})
        to = partial(_Destination, endpoint=endpoint, headers=headers, config=config, steps=ledger.steps)
        self._metrics, self._logs = to(OTLPMetricExporter, "metrics"), to(OTLPLogExporter, "logs")
        self._traces = to(OTLPSpanExporter, "traces")
        self._lock = Lock()
        self._series: dict[SeriesKey, tuple[Point, float]] = {}
        self._findings: deque[Finding] = deque()
        self._steps: deque[Step] = deque()
        self._written_at = time.time()
        self._problem: Exception | None = None
        self._stop = Event()
        self._thread = Thread(target=self._run, name="exporter-otlp", daemon=True)
        self._thread.start()

    def write(self, batch: Batch) -> None:
        with self._lock:
            for key in batch.gone:
                self._series.pop(key, None)
            for point in batch.points:
                self._store(point)
            self._written_at = batch.at
            if self._config.findings:
                self._findings.extend(batch.findings)
            if self._config.traces:
                self._steps.extend(batch.steps)
            findings_dropped = _shorten(self._findings, _MAX_FINDINGS)
            steps_dropped = _shorten(self._steps, _MAX_STEPS)
        self._count("findings_dropped", findings_dropped)
        self._count("steps_dropped", steps_dropped)
        self._raise_problem()

    def close(self) -> None:
        """Sends the last totals, waiting at most `timeout_seconds`. :raises Retryable: they did not get there"""
        self._stop.set()
        self._thread.join(self._config.timeout_seconds)
        sent = not self._thread.is_alive()
        for destination in (self._metrics, self._logs, self._traces):
            destination.close()
        if not sent:
            raise Retryable(f"the last totals did not reach {self._metrics.url} in {self._config.timeout_seconds} s")
        self._raise_problem()

    def _store(self, point: Point) -> None:
        if not point.is_whole:
            self._count("malformed", 1)
            return
        key = (point.metric, point.labels)
        known = self._series.get(key)
        since = known[1] if known else self._written_at  # it was not there at the last tick: its total began then
        self._series[key] = (point, since)

    def _run(self) -> None:
        stopping = False
        while not stopping:
            stopping = self._stop.wait(self._config.interval_seconds)
            try:
                self._push()
                self._problem = None
            except Exception as error:  # noqa: BLE001 - our own thread; the supervisor is told through `write`
                self._problem = error

    def _push(self) -> None:
        """What one destination refuses, the others still get. :raises WatchkeeperError: the last that went wrong"""
        problem: Exception | None = None
        with self._ledger.steps.timed("push otlp"):
            for send in (self._send_findings, self._send_totals, self._send_steps):
                try:
                    send()
                except Exception as error:  # noqa: BLE001 - raised below
                    problem = error
        if problem is not None:
            raise problem

    def _send_totals(self) -> None:
        with self._lock:
            series, at = list(self._series.values()), self._written_at
        if series:
            self._metrics.send(metrics_data(series, at, self._resource))

    def _send_findings(self) -> None:
        now = time.time()
        self._send_waiting(
            self._findings, self._logs, lambda findings: [log_record(one, now, self._resource) for one in findings]
        )

    def _send_steps(self) -> None:
        self._send_waiting(self._steps, self._traces, lambda steps: list(spans(steps, self._resource)))

    def _send_waiting(
        self, queue: deque[Waiting], destination: "_Destination", encoded: Callable[[list[Waiting]], object]
    ) -> None:
        """Each once, in order; those that could not be sent wait for the next time."""
        with self._lock:
            waiting = list(queue)
            queue.clear()
        if not waiting:
            return
        try:
            destination.send(encoded(waiting))
        except Retryable:
            with self._lock:
                queue.extendleft(reversed(waiting))
            raise
        except Unavailable:
            self._count(f"{'findings' if destination is self._logs else 'steps'}_refused", len(waiting))
            raise

    def _count(self, reason: str, amount: int) -> None:
        if amount:
            self._ledger.add(EXPORTER_FAILURES, amount, (("exporter", "otlp"), ("reason", reason)))

    def _raise_problem(self) -> None:
        problem = self._problem
        if isinstance(problem, WatchkeeperError):
            raise type(problem)(*problem.args)
        if problem is not None:
            raise problem


class _Destination:
    """One signal's address: the SDK's exporter, with the reason of a failure, which the SDK only logs."""

    def __init__(
        self, kind: Any, signal: str, endpoint: str, headers: dict[str, str], config: OtlpConfig, steps: Steps
    ) -> None:
        self.url = f"{endpoint}/v1/{signal}"
        self._signal = signal
        self._steps = steps
        self._session = _Session()
        self._exporter = kind(
            endpoint=self.url,
            headers=headers,
            timeout=config.timeout_seconds,
            compression=Compression.Gzip if config.compression == "gzip" else Compression.NoCompression,
            session=self._session,
            certificate_file=config.ca_file or None,
            client_certificate_file=config.client_cert_file or None,
            client_key_file=config.client_key_file or None,
        )

    def send(self, records: Any) -> None:
        """
        :raises Retryable: not reached, or busy
        :raises Unavailable: it refuses; the same request will not succeed later
        """
        with self._steps.timed(f"send {self._signal}"):
            self._send(records)

    def _send(self, records: Any) -> None:
        self._session.outcome = _NOT_SENT
        result = self._exporter.export(records)
        outcome = self._session.outcome
        if isinstance(outcome, str):
            raise Retryable(f"{self.url} is away ({outcome}); the newest totals are sent when it is back")
        if outcome in _RETRYABLE:
            raise Retryable(f"{self.url} is busy (HTTP status {outcome}); the newest totals are sent at the next try")
        if not (200 <= outcome < 300 and result in _WELL):
            raise Unavailable(f"{self.url} refuses with HTTP status {outcome}; check exporters.otlp and the collector")

    def close(self) -> None:
        self._exporter.shutdown()


class _Session(requests.Session):
    """Remembers how the last request ended, and never reads an answer's body: a slow or endless one costs nothing."""

    outcome: int | str = ""

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        if isinstance(self.verify, str):  # `ca_file`; requests would have REQUESTS_CA_BUNDLE win
            options["verify"] = self.verify
        try:
            response = super().send(request, **{**options, "stream": True})
        except requests.RequestException as error:
            self.outcome = type(error).__name__
            raise
        response.close()
        self.outcome = response.status_code
        return response


def _shorten(queue: deque[Any], limit: int) -> int:
    """The oldest go first; how many went."""
    dropped = max(0, len(queue) - limit)
    for _ in range(dropped):
        queue.popleft()
    return dropped


def _identity() -> dict[str, str]:
    return {"service.name": "watchkeeper", "service.version": __version__, "service.instance.id": socket.gethostname()}
