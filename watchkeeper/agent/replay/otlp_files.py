"""
Files of OTLP to Completions: an export request in JSON a line, as the Collector's file exporter writes them, or one
body of JSON or protobuf. They go through the same intake as requests from the network.
"""

import gzip
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, cast

from collector.otlp.config import OtlpConfig
from collector.otlp.intake import Encoding, Intake, Signal
from collector.otlp.refusals import Refused
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Completion

_SIGNALS: Final = (
    (b"resourceSpans", Signal.TRACES),
    (b"resource_spans", Signal.TRACES),
    (b"resourceLogs", Signal.LOGS),
    (b"resource_logs", Signal.LOGS),
)
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
        ledger = Ledger()
        config = OtlpConfig(queue_capacity_bytes=1 << 40, max_items_per_request=1 << 30)
        intake = Intake(config, ledger, 0.0)
        now = 0.0
        for signal, encoding, body in self._bodies():
            try:
                taken = intake.take(signal, encoding, body, {}, now)
            except Refused:
                self.unread["whole requests"] += 1
                continue
            self.unread["spans and log records"] += taken.rejected
            for call in sorted(intake.read(now).completions, key=lambda one: one.at):
                now = max(now, call.at)
                yield call

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


def _opened(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb"))
