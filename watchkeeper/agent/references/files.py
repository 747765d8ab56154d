"""
Rows out of a file of somebody else's: JSON (lines, or one list), CSV or Parquet, the first two also as .gz.

A field is named by its path (`usage.prompt_tokens`), or found by its signal's name; numbers of calls also by what logs
usually call them. Text is never taken: a value that is a word must be a short one.
"""

import csv
import gzip
import io
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from itertools import chain
from math import nan
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import msgspec

from detectors.drift.kinds import Kind
from watchkeeper.agent import registry
from watchkeeper.agent.drift.streams import ERROR, FINISH_REASON, NUMBERS, QUALITY, VERDICT, kind_of
from watchkeeper.core.call_fields import NUMBERS as FIELDS_OF_CALLS
from watchkeeper.core.call_fields import TIME_NAMES, CallReader, Record, finite, parse_time, value_at
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.labels import clean
from watchkeeper.core.observed import Row, Segment
from watchkeeper.core.vocabulary import outputs

SEGMENT_NAMES: Final = Segment._fields
ENDINGS: Final = (".jsonl", ".ndjson", ".json", ".csv", ".parquet", ".tallies")

_MOST_FIELD_CHARACTERS: Final = 1 << 27
"""of one field of CSV: prompts are longer than the 131,072 at which Python stops by itself"""
_SEPARATORS: Final = ",;\t|"
_MOST_WORD_CHARACTERS: Final = 64
_FLAGS: Final = {"1": 1.0, "true": 1.0, "yes": 1.0, "0": 0.0, "false": 0.0, "no": 0.0}
_OF_CALLS: Final = {
    field.name: signal
    for field in FIELDS_OF_CALLS
    for signal, _, _ in NUMBERS
    if field.name in (signal, f"{signal}_seconds")
}
"""signal by the field of a call that it is"""
_AMOUNTS: Final = frozenset(signal for signal, _, _ in NUMBERS)
"""never below 0: logs write -1 for what they do not know"""


class Fields(msgspec.Struct, frozen=True):
    """Where a file has what."""

    segment: Segment
    """of rows that do not tell it"""
    time: str | None = None
    """path; None: the first of TIME_NAMES that the file has"""
    paths: Mapping[str, str] = {}
    """by signal, or by a part of the segment; without signals: every field that has the name of one, or a usual name"""


class Table:
    """A file as rows. Once they were read, `remarks` says what could not be."""

    def __init__(self, path: Path, fields: Fields) -> None:
        self._path = path
        self._fields = fields
        self._signals = {name: path for name, path in fields.paths.items() if name not in SEGMENT_NAMES}
        self._rows = 0
        self._untold = [
            name
            for name, given in zip(SEGMENT_NAMES, fields.segment, strict=True)
            if not given and name not in fields.paths
        ]
        self._usual = CallReader({}, "")
        self._unread: Counter[str] = Counter()
        self._unasked: set[str] = set()

    def rows(self) -> Iterator[Row]:
        """
        :raises ConfigError: the file cannot be read at all
        """
        for record in records(self._path):
            self._rows += 1
            if record is None:
                self._unread["whole lines"] += 1
                continue
            self._unasked.update(name for name in self._untold if name in record)
            at = self._time(record)
            if at is not None:
                yield Row(at, self._segment(record), self._values(record))

    def remarks(self) -> Iterator[str]:
        """A line for each thing that could not be read in some rows."""
        for what, count in sorted(self._unread.items()):
            yield f"{self._path.name}: {what} could not be read in {count:,} of {self._rows:,} rows; left out"
        if self._unasked:
            names = [name for name in SEGMENT_NAMES if name in self._unasked]
            wanted = " ".join(f"--field {name}={name}" for name in names)
            yield f"{self._path.name}: whose calls these are is not read from it ({', '.join(names)}) but with {wanted}"

    def _time(self, record: Record) -> float | None:
        """Unix seconds, NaN in a file without times; None where it should be and cannot be read."""
        name = self._fields.time
        if name is None:
            name = next((key for wanted in TIME_NAMES for key in record if key.lower() == wanted), None)
            if name is None:
                return nan
        found = value_at(record, name)
        at = None if found is None else parse_time(found)
        if at is None:
            self._unread[f"the time '{name}'"] += 1
        return at

    def _segment(self, record: Record) -> str:
        parts = [
            value_at(record, self._fields.paths[name]) if name in self._fields.paths else given
            for name, given in zip(SEGMENT_NAMES, self._fields.segment, strict=True)
        ]
        return Segment(*(clean(str(part)) if part is not None else "" for part in parts)).text

    def _values(self, record: Record) -> dict[str, float | str]:
        values: dict[str, float | str] = {}
        for signal, (path, scale) in self._where(record).items():
            found = value_at(record, path)
            if found is None or found == "":
                continue
            value = parse_value(found, kind_of(signal))
            if value is None or (isinstance(value, float) and value < 0 and signal in _AMOUNTS):
                self._unread[signal] += 1
            else:
                values[signal] = value * scale if isinstance(value, float) else value
        return values

    def _where(self, record: Record) -> dict[str, tuple[str, float]]:
        """Path of each signal, and what turns its number into the signal's unit."""
        if self._signals:
            return {signal: (path, 1.0) for signal, path in self._signals.items()}
        places = self._usual.places(record)
        of_calls = {signal: where for field, signal in _OF_CALLS.items() if (where := places[field]) is not None}
        return of_calls | {name: (name, 1.0) for name in record if is_signal(name)}


def is_signal(name: str) -> bool:
    """Whether a field of this name is taken without being asked for."""
    return name in _known() or name.startswith((QUALITY, VERDICT))


def parse_value(value: object, kind: Kind) -> float | str | None:
    """An observation; None for what is none of this kind."""
    if kind is Kind.CATEGORY:
        word = clean(str(value)) if isinstance(value, str | int | float) else ""
        return word if 0 < len(word) <= _MOST_WORD_CHARACTERS else None
    if kind is Kind.FLAG:
        number = finite(value)
        return _FLAGS.get(str(value).strip().lower()) if number is None else _FLAGS.get(f"{number:g}")
    number = finite(value)
    return None if number is None or (kind is Kind.SHARE and not 0 <= number <= 1) else number


@cache
def _known() -> frozenset[str]:
    calls = (name for name, _, _ in NUMBERS)
    metrics = (metric.name for metric in outputs.METRICS)
    return frozenset((*calls, ERROR, FINISH_REASON, *metrics, *(check.name for check in registry.checks())))


def records(path: Path) -> Iterator[Record | None]:
    """:raises ConfigError: not a file of a kind that is read"""
    ending = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    try:
        if ending in (".jsonl", ".ndjson"):
            yield from _json_lines(path)
        elif ending == ".json":
            yield from _json_list(path)
        elif ending == ".csv":
            yield from _csv(path)
        elif ending == ".parquet":
            yield from _parquet(path)
        else:
            raise ConfigError(f"{path}: expected a file that ends in {', '.join(ENDINGS)}")
    except (OSError, EOFError) as error:
        raise ConfigError(f"{path}: {getattr(error, 'strerror', None) or error}; give a readable file") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: not {ending} in UTF-8: {error.__class__.__name__}") from error


def _json_lines(path: Path) -> Iterator[Record | None]:
    with _opened(path) as file:
        for line in file:
            if line.strip():
                record = _decoded(line)
                yield record if isinstance(record, dict) else None


def _json_list(path: Path) -> Iterator[Record | None]:
    """One document: a list of records, or one record."""
    with _opened(path) as file:
        document = _decoded(file.read())
    for record in document if isinstance(document, list) else [document]:
        yield record if isinstance(record, dict) else None


def _decoded(data: bytes) -> Any:
    """None for what is no JSON, or deeper than any record."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _csv(path: Path) -> Iterator[Record | None]:
    csv.field_size_limit(_MOST_FIELD_CHARACTERS)
    with _opened(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
        header = text.readline()
        separator = max(_SEPARATORS, key=header.count)  # the first of equals
        for record in csv.DictReader(chain((header,), text), delimiter=separator):
            yield {name: value for name, value in record.items() if isinstance(name, str)}


def _parquet(path: Path) -> Iterator[Record | None]:
    try:
        from pyarrow import ArrowException, parquet
    except ModuleNotFoundError:
        raise ConfigError(f"{path}: Parquet needs pyarrow: pip install 'watchkeeper[parquet]'") from None
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=10_000):
                yield from batch.to_pylist()
    except ArrowException as error:
        raise ConfigError(f"{path}: not Parquet: {str(error).splitlines()[0]}") from error


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    with cast(BinaryIO, gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")) as file:
        yield file
