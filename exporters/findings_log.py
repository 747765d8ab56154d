"""
Every finding on a line of JSON of its own, appended to a file: what was raised, changed and resolved, for audits and
shippers of logs.

A line is on the disk (fdatasync) before the next are written. See docs/findings.md for its fields.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from watchkeeper.core.errors import ConfigError, Retryable
from watchkeeper.core.interfaces import Plugin
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.lines import LineFile, LineWriter
from watchkeeper.core.records import Batch, Finding, Labels
from watchkeeper.core.vocabulary.health import EXPORTER_FAILURES

VERSION: Final = 1
"""of the line: a field that is added leaves it, one that changes its meaning or goes raises it"""
_MOST_WAITING_BYTES: Final = 4 << 20
_MOST_OPEN: Final = 10_000
_CLOSE_SECONDS: Final = 5.0
_ENCODER: Final = msgspec.json.Encoder()

Subject = tuple[str, Labels]


class FindingsLogConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Findings in a file, a line of JSON each."""

    path: str = ""
    """file that lines are appended to, one process each; empty: off. /dev/stdout gives them to who reads the output"""
    most_mebibytes: Annotated[int, msgspec.Meta(ge=1)] = 64
    """room for the file and the older ones beside it (path.1 and so on); the oldest makes way"""
    files: Annotated[int, msgspec.Meta(ge=2, le=100)] = 4
    """how many files share that room"""

    @property
    def enabled(self) -> bool:
        return bool(self.path)


class _Line(msgspec.Struct):
    """What is read back of a line."""

    event: str
    name: str
    subject: str
    labels: dict[str, str]


class FindingsLog:
    """
    `write` encodes and returns; while the file cannot be written it raises why, so that the agent counts it, says it
    once and shows the exporter as down. Lines wait meanwhile, in bounded memory.
    """

    def __init__(self, file: LineFile, ledger: Ledger) -> None:
        self._ledger = ledger
        self._open = dict.fromkeys(_still_open(file.path))
        self._lines = LineWriter(file, _MOST_WAITING_BYTES, self._count)

    def write(self, batch: Batch) -> None:
        for finding in batch.findings:
            try:
                line = encode(self._event(finding), finding)
            except (msgspec.MsgspecError, ValueError, TypeError, OverflowError):
                self._count("malformed", 1)
            else:
                self._lines.put(line)
        self._raise_problem()

    def close(self) -> None:
        """:raises Retryable: not all that was found could be written"""
        if not self._lines.close(_CLOSE_SECONDS):
            self._raise_problem()
            raise Retryable("the last findings could not be written in time")

    def _event(self, finding: Finding) -> str:
        subject = _subject(finding.name, finding.subject, finding.labels)
        if finding.resolved:
            self._open.pop(subject, None)
            return "resolved"
        if subject in self._open:
            return "changed"
        self._open[subject] = None
        if len(self._open) > _MOST_OPEN:
            del self._open[next(iter(self._open))]
        return "opened"

    def _raise_problem(self) -> None:
        if problem := self._lines.problem:
            raise Retryable(f"{problem}; findings wait in memory until it can be written, the oldest go first")

    def _count(self, outcome: str, amount: int) -> None:
        if outcome != "written" and amount:
            self._ledger.add(
                EXPORTER_FAILURES, amount, (("exporter", "findings_log"), ("reason", f"findings_{outcome}"))
            )


def encode(event: str, finding: Finding) -> bytes:
    """One line with every field of the finding, its line break included."""
    fields: dict[str, Any] = msgspec.to_builtins(finding)
    fields["labels"] = dict(finding.labels)
    time = datetime.fromtimestamp(finding.at, UTC).isoformat(timespec="milliseconds")
    return _ENCODER.encode({"version": VERSION, "event": event, "time": time, **fields}) + b"\n"


def _subject(name: str, subject: str, labels: Labels) -> Subject:
    return (name, labels) if name else (subject, ())


def _still_open(path: Path) -> Iterator[Subject]:
    """What an earlier run raised and did not see resolved, by the two newest files; lines that are none are skipped."""
    found: dict[Subject, None] = {}
    for file in (path.with_name(f"{path.name}.1"), path):
        if not file.is_file():
            continue
        with file.open("rb") as lines:
            for line in lines:
                try:
                    read = msgspec.json.decode(line, type=_Line)
                except (msgspec.MsgspecError, UnicodeDecodeError):
                    continue
                subject = _subject(read.name, read.subject, tuple(read.labels.items()))
                if read.event == "resolved":
                    found.pop(subject, None)
                else:
                    found[subject] = None
    yield from found


def _file(config: FindingsLogConfig) -> LineFile:
    return LineFile(Path(config.path), config.most_mebibytes << 20, config.files)


def _problem(path: str, error: OSError) -> str:
    return (
        f"exporters.findings_log.path: '{path}' cannot be written: {error.strerror}; give a path on a writable volume"
    )


def build(config: FindingsLogConfig, ledger: Ledger) -> FindingsLog:
    """:raises ConfigError: the file cannot be written"""
    file = _file(config)
    try:
        file.probe()
        return FindingsLog(file, ledger)
    except OSError as error:
        raise ConfigError(_problem(config.path, error)) from None


def probe(config: FindingsLogConfig) -> tuple[str, ...]:
    """Can the file be written? It is made, empty, where there is none."""
    if not config.enabled:
        return ()
    try:
        _file(config).probe()
    except OSError as error:
        return (f"! {_problem(config.path, error)}",)
    return (f"{config.path} can be written",)


PLUGIN: Final = Plugin(
    name="findings_log",
    summary="Findings as lines of JSON in a file, opened, changed and resolved, for audits.",
    config=FindingsLogConfig,
    build=build,
    metrics=(EXPORTER_FAILURES,),
    roles=("run", "node", "sidecar", "gateway", "detector"),
    probe=probe,
)
