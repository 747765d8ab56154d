"""An Intake to send small bodies to, in either encoding, and what comes out of it."""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from collector.otlp.config import OtlpConfig
from collector.otlp.intake import Encoding, Intake, Signal, Taken
from collector.otlp.pending import HOLD_SECONDS
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Completion, Reading
from watchkeeper.core.vocabulary import health

NOW = 1_800_000_000.0
"""unix seconds"""


class Otlp:
    """Builds items and sends them. Times are seconds relative to `now`, where spans end by default."""

    now = NOW
    Traces, Metrics, Logs = Signal.TRACES, Signal.METRICS, Signal.LOGS

    def __init__(self, encoding: Encoding = Encoding.PROTOBUF, started_at: float = 0.0, **settings: Any) -> None:
        self.encoding = encoding
        self.ledger = Ledger()
        self.intake = Intake(OtlpConfig(**settings), self.ledger, started_at)
        self._counts: dict[Any, float] = {}
        self._ids = 0

    def fresh(self, **settings: Any) -> "Otlp":
        return Otlp(self.encoding, **settings)

    def span(
        self,
        attributes: Mapping[str, object] = {},
        *,
        name: str = "chat",
        trace: int | bytes | None = None,
        span: int | bytes | None = None,
        parent: int = 0,
        start: float = -1.0,
        end: float = 0.0,
        status: int = 0,
        events: Sequence[tuple[str, float, Mapping[str, object]]] = (),
    ) -> Span:
        self._ids += 1
        built = Span(
            trace_id=_id(trace if trace is not None else 1000 + self._ids, 16),
            span_id=_id(span if span is not None else 1000 + self._ids, 8),
            parent_span_id=_id(parent, 8) if parent else b"",
            name=name,
            start_time_unix_nano=self.nanos(start),
            end_time_unix_nano=self.nanos(end),
            attributes=pairs(attributes),
        )
        built.status.code = status  # type: ignore[assignment]
        for event, at, given in events:
            built.events.add(name=event, time_unix_nano=self.nanos(at), attributes=pairs(given))
        return built

    def log(
        self,
        event: str,
        attributes: Mapping[str, object] = {},
        *,
        trace: int = 0,
        span: int = 0,
        at: float = 0.0,
        body: object = None,
        legacy: bool = False,
    ) -> LogRecord:
        given = {**attributes, "event.name": event} if legacy else attributes
        return LogRecord(
            trace_id=_id(trace, 16) if trace else b"",
            span_id=_id(span, 8) if span else b"",
            event_name="" if legacy else event,
            observed_time_unix_nano=self.nanos(at),
            attributes=pairs(given),
            body=value(body),
        )

    def nanos(self, seconds: float) -> int:
        return int((self.now + seconds) * 1e9)

    def body(
        self, *items: Message, resource: Mapping[str, object] | None = None, scope: str = ""
    ) -> tuple[Signal, bytes]:
        signal, request = _request(items, resource if resource is not None else {"service.name": "app"}, scope)
        if self.encoding is Encoding.PROTOBUF:
            return signal, request.SerializeToString()
        return signal, json.dumps(as_json(request)).encode()

    def send(
        self,
        *items: Message,
        resource: Mapping[str, object] | None = None,
        scope: str = "",
        headers: Mapping[str, str] = {},
        now: float = NOW,
    ) -> Taken:
        signal, body = self.body(*items, resource=resource, scope=scope)
        return self.intake.take(signal, self.encoding, body, headers, now)

    def read(self, now: float = NOW) -> Reading:
        reading = self.intake.read(now)
        self.intake.folded()
        return reading

    def settled(self) -> Reading:
        """What is there when metrics have waited long enough for calls of the same sender."""
        return self.read(self.now + HOLD_SECONDS)

    def calls(self, *items: Message, **how: Any) -> tuple[Completion, ...]:
        self.send(*items, **how)
        return self.read().completions

    def call(self, attributes: Mapping[str, object], *, scope: str = "", **how: Any) -> Completion:
        [completion] = self.calls(self.span(attributes, **how), scope=scope)
        return completion

    def counts(self, metric: Any = None) -> dict[str, float]:
        """Reason, field or signal to its total, those at 0 left out; of the whole ledger since the start."""
        for sample in self.ledger.drain(0.0):
            key = (sample.metric, sample.labels)
            self._counts[key] = self._counts.get(key, 0.0) + float(sample.value)  # type: ignore[arg-type]
        found: dict[str, float] = {}
        for (counted, labels), amount in self._counts.items():
            if counted == metric and amount:
                named = dict(labels)
                key = named.get("reason") or named.get("field") or named["signal"]
                found[key] = found.get(key, 0.0) + amount
        return found

    @property
    def ignored(self) -> dict[str, float]:
        return self.counts(health.IGNORED)

    @property
    def rejected(self) -> dict[str, float]:
        return self.counts(health.REJECTED)

    @property
    def invalid(self) -> dict[str, float]:
        return self.counts(health.INVALID_VALUES)


def value(given: object) -> AnyValue | None:
    if given is None:
        return AnyValue()
    if isinstance(given, bool):
        return AnyValue(bool_value=given)
    if isinstance(given, str):
        return AnyValue(string_value=given)
    if isinstance(given, int):
        return AnyValue(int_value=given)
    if isinstance(given, float):
        return AnyValue(double_value=given)
    if isinstance(given, bytes):
        return AnyValue(bytes_value=given)
    built = AnyValue()
    if isinstance(given, dict):
        built.kvlist_value.values.extend(pairs(given))
        return built
    assert isinstance(given, list | tuple)
    built.array_value.values.extend(value(item) for item in given)
    return built


def pairs(given: Mapping[str, object]) -> list[KeyValue]:
    return [KeyValue(key=name, value=value(item)) for name, item in given.items()]


def as_json(request: Message) -> dict[str, Any]:
    """OTLP/JSON: ids as hex, enumerations as numbers."""
    found: dict[str, Any] = MessageToDict(request, use_integers_for_enums=True)
    _hex_ids(found)
    return found


def _hex_ids(found: Any) -> None:
    for name, item in found.items() if isinstance(found, dict) else ():
        if name in ("traceId", "spanId", "parentSpanId"):
            found[name] = base64.b64decode(item).hex()
        else:
            for inner in item if isinstance(item, list) else [item]:
                _hex_ids(inner)


def _id(given: int | bytes, size: int) -> bytes:
    return given if isinstance(given, bytes) else given.to_bytes(size, "big")


_SHAPES: Mapping[type[Message], tuple[Signal, type[Message], tuple[str, str, str]]] = {
    Span: (Signal.TRACES, ExportTraceServiceRequest, ("resource_spans", "scope_spans", "spans")),
    LogRecord: (Signal.LOGS, ExportLogsServiceRequest, ("resource_logs", "scope_logs", "log_records")),
    Metric: (Signal.METRICS, ExportMetricsServiceRequest, ("resource_metrics", "scope_metrics", "metrics")),
}


def _request(items: Sequence[Message], resource: Mapping[str, object], scope: str) -> tuple[Signal, Message]:
    signal, make, (resources, scopes, field) = _SHAPES[type(items[0]) if items else Span]
    request = make()
    group = getattr(request, resources).add()
    group.resource.attributes.extend(pairs(resource))
    scoped = getattr(group, scopes).add()
    scoped.scope.name = scope
    getattr(scoped, field).extend(items)
    return signal, request


@pytest.fixture(params=list(Encoding), ids=lambda encoding: encoding.value)
def otlp(request: pytest.FixtureRequest) -> Otlp:
    return Otlp(request.param)


@pytest.fixture
def protobuf() -> Otlp:
    return Otlp(Encoding.PROTOBUF)


@pytest.fixture
def both() -> tuple[Otlp, Otlp]:
    return Otlp(Encoding.PROTOBUF), Otlp(Encoding.JSON)
