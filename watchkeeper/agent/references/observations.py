"""Rows of observations, from any origin, to the series that references are built from: one for a segment's signal."""

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from math import isnan
from operator import itemgetter
from pathlib import Path
from typing import Final

import msgspec

from detectors.drift.kinds import Kind
from watchkeeper.agent.drift.streams import kind_of
from watchkeeper.agent.references.store import Key
from watchkeeper.core.observed import Row, Segment, iter_frames

FOLDER: Final = "observed"
"""within the state folder: files of rows"""
SUFFIX: Final = ".rows"

Noted = Callable[[str], None]
"""takes a line for the operator"""


class Wanted(msgspec.Struct, frozen=True):
    """Which observations. Empty or None: any."""

    namespace: str | None = None
    service: str | None = None
    model: str | None = None
    signals: frozenset[str] = frozenset()
    since: float | None = None
    """unix seconds, itself included"""
    until: float | None = None
    """unix seconds, itself not"""

    def segment(self, text: str) -> bool:
        """:param text: a segment's; one that cannot be parsed is not wanted"""
        try:
            found = Segment.parse(text)
        except ValueError:
            return False
        service = None if self.service is None else self.service.replace("/", "_")  # as a segment is written
        return all(
            wanted is None or wanted == held
            for wanted, held in zip((self.namespace, service, self.model), found, strict=True)
        )

    def time(self, at: float) -> bool:
        """:param at: unix seconds; NaN where it is not known, which is wanted where no time is asked for"""
        return (self.since is None or at >= self.since) and (self.until is None or at < self.until)


@dataclass(slots=True)
class Series:
    """Observations as they came. `times` in unix seconds, NaN where there is none."""

    kind: Kind
    times: "array[float]" = field(default_factory=lambda: array("d"))
    values: "array[float] | list[str]" = field(default_factory=lambda: array("d"))

    def in_order(self) -> tuple["array[float] | None", "array[float] | list[str]"]:
        """Times and values by time; without times, in the order in which they came."""
        if not self.times or any(map(isnan, self.times)):
            return None, self.values
        order = sorted(range(len(self.times)), key=self.times.__getitem__)
        if len(order) == 1:
            return self.times, self.values
        times = array("d", itemgetter(*order)(self.times))
        values = itemgetter(*order)(self.values)
        return times, list(values) if isinstance(self.values, list) else array("d", values)


def gather(rows: Iterable[Row], wanted: Wanted) -> dict[Key, Series]:
    """What is wanted of the rows. Memory: 16 bytes an observation, a little more for words."""
    found: dict[Key, Series] = {}
    is_wanted: dict[str, bool] = {}
    words: dict[str, str] = {}
    for row in rows:
        if row.segment not in is_wanted:
            is_wanted[row.segment] = wanted.segment(row.segment)
        if not is_wanted[row.segment] or not wanted.time(row.at):
            continue
        for signal, value in row.values.items():
            if wanted.signals and signal not in wanted.signals:
                continue
            series = found.get((row.segment, signal))
            if series is None:
                series = found[row.segment, signal] = _empty(kind_of(signal))
            if isinstance(series.values, list):
                if isinstance(value, str):
                    series.values.append(words.setdefault(value, value))
                    series.times.append(row.at)
            elif not isinstance(value, str):
                series.values.append(value)
                series.times.append(row.at)
    return found


def _empty(kind: Kind) -> Series:
    return Series(kind, values=[]) if kind is Kind.CATEGORY else Series(kind)


def read_rows(folder: Path, noted: Noted) -> Iterator[Row]:
    """
    All rows of a folder, by name of the file; files may be written meanwhile, or be removed.

    :param noted: told of a file that cannot be read, or not to its end
    :raises OSError: the folder cannot be read
    """
    return chain.from_iterable(read_file(path, noted) for path in sorted(folder.iterdir()) if path.suffix == SUFFIX)


def read_file(path: Path, noted: Noted) -> Iterator[Row]:
    count = 0
    try:
        with path.open("rb") as file:
            for row in iter_frames(file):
                count += 1
                yield row
    except FileNotFoundError:
        return
    except OSError as error:
        noted(f"{path.name}: {error.strerror}; left out")
    except ValueError as error:
        noted(f"{path.name}: damaged after {count:,} rows ({error}); what is behind them is left out")


def span(series: Mapping[Key, Series]) -> tuple[float, float] | None:
    """Unix seconds of the first and the last observation; None where no time is known."""
    known = [one.times for one in series.values() if one.times and not any(map(isnan, one.times))]
    return (min(map(min, known)), max(map(max, known))) if known else None
