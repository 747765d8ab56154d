"""
Files of OTLP to Completions: an export request in JSON a line, as the Collector's file exporter writes them, or one
body of JSON or protobuf. They go through the same intake as requests from the network.
"""

import gzip
import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import msgspec
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.otlp.config import OtlpConfig
from collector.otlp.intake import Encoding, Intake, Signal
from collector.otlp.refusals import Refused
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Completion

_SIGNALS: Final = ((b"resourceSpans", Signal.TRACES), (b"resourceLogs", Signal.LOGS))
_LEVELS: Final = {
    Signal.TRACES: ("resourceSpans", "scopeSpans", "spans"),
    Signal.LOGS: ("resourceLogs", "scopeLogs", "logRecords"),
}
_PART_SECONDS: Final = 1800.0
_HEAD_BYTES: Final = 4096
_PROTOBUF: Final = (".binpb", ".pb")


def is_otlp(path: Path) -> bool:
    """Whether a file is OTLP, by its ending or its first bytes."""
    if path.suffix in _PROTOBUF:
        return True
    try:
        with _opened(path) as file:
            head = file.read(_HEAD_BYTES)
    except (OSError, EOFError):
        return False
    return _signal(head) is not None


class OtlpCalls:
    """The calls of a file, in its order. Once they were read, `unread` counts what could not be."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.unread: Counter[str] = Counter()
        self.has_times = True

    def read(self) -> Iterator[Completion]:
        """:raises ConfigError: the file cannot be read"""
        config = OtlpConfig(queue_capacity_bytes=1 << 40, max_items_per_request=1 << 30)
        intake = Intake(config, Ledger(), 0.0)
        now = 0.0
        for signal, encoding, body in self._bodies():
            for newest, part in _cut(signal, encoding, body):
                now = max(now, newest)  # by any other clock the senders' would be wrong
                try:
                    taken = intake.take(signal, encoding, part, {}, now)
                except Refused:
                    self.unread["whole requests"] += 1
                    continue
                if taken.rejected:
                    self.unread["spans and log records"] += taken.rejected
                yield from sorted(intake.read(now).completions, key=lambda call: call.at)

    def _bodies(self) -> Iterator[tuple[Signal, Encoding, bytes]]:
        try:
            with _opened(self._path) as file:
                if self._path.suffix in _PROTOBUF:
                    signal = Signal.LOGS if "log" in self._path.name else Signal.TRACES
                    yield signal, Encoding.PROTOBUF, file.read()
                    return
                for body in _documents(file):
                    signal_of = _signal(body)
                    if signal_of is None:
                        self.unread["whole requests"] += 1
                    else:
                        yield signal_of, Encoding.JSON, body
        except (OSError, EOFError) as error:
            why = getattr(error, "strerror", None) or error
            raise ConfigError(f"{self._path}: {why}; give a readable file") from error


def _documents(file: BinaryIO) -> Iterator[bytes]:
    """A document a line; where the first line is no whole one, the file is one document."""
    first = file.readline()
    if not first.rstrip().endswith(b"}") or first.count(b"{") != first.count(b"}"):
        yield first + file.read()
        return
    yield first
    for line in file:
        if line.strip():
            yield line


def _signal(body: bytes) -> Signal | None:
    found = ((body.find(name), signal) for name, signal in _SIGNALS)
    return min(((place, signal) for place, signal in found if place >= 0), default=(0, None))[1]


def _cut(signal: Signal, encoding: Encoding, body: bytes) -> Iterator[tuple[float, bytes]]:
    """
    Requests of at most half an hour, oldest first, each with its latest time in unix seconds: a file may hold days, and
    the intake takes what is told much later than it was for a wrong clock.
    """
    if encoding is Encoding.PROTOBUF:
        yield _newest(signal, body), body
        return
    try:
        document = msgspec.json.decode(body)
        items = sorted(_items(document, *_LEVELS[signal]), key=lambda item: item[0])
    except (msgspec.MsgspecError, AttributeError, TypeError, ValueError, RecursionError):
        yield 0.0, body  # for the intake to refuse
        return
    outer, middle, inner = _LEVELS[signal]
    for _, part in itertools.groupby(items, key=lambda item: item[0] // _PART_SECONDS):
        held = list(part)
        groups: dict[tuple[int, int], dict[str, Any]] = {}
        for _, resource, scope, item in held:
            group = groups.setdefault((id(resource), id(scope)), {**resource, middle: [{**scope, inner: []}]})
            group[middle][0][inner].append(item)
        yield held[-1][0], msgspec.json.encode({outer: list(groups.values())})


def _items(document: Any, outer: str, middle: str, inner: str) -> Iterator[tuple[float, Any, Any, Any]]:
    """Time in unix seconds, resource and scope without what they hold, and the item."""
    for resource in document.get(outer, ()):
        bare = {name: value for name, value in resource.items() if name != middle}
        for scope in resource.get(middle, ()):
            bare_scope = {name: value for name, value in scope.items() if name != inner}
            for item in scope.get(inner, ()):
                found = (item.get(name) for name in ("endTimeUnixNano", "timeUnixNano", "observedTimeUnixNano"))
                yield next((int(time) for time in found if time), 0) / 1e9, bare, bare_scope, item


def _newest(signal: Signal, body: bytes) -> float:
    """The latest time in a request of protobuf; 0 where it is none."""
    try:
        if signal is Signal.LOGS:
            logs = ExportLogsServiceRequest.FromString(body)
            times = [
                record.time_unix_nano or record.observed_time_unix_nano
                for resource in logs.resource_logs for scope in resource.scope_logs for record in scope.log_records
            ]  # fmt: skip
        else:
            traces = ExportTraceServiceRequest.FromString(body)
            times = [
                span.end_time_unix_nano
                for resource in traces.resource_spans for scope in resource.scope_spans for span in scope.spans
            ]  # fmt: skip
    except DecodeError:
        return 0.0
    return max(times, default=0) / 1e9


def _opened(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb"))
