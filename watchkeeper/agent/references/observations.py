"""Observations, from any origin, to the series that references are built from: one for a segment's signal."""

import random
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
from watchkeeper.core.observed import Row, Segment, Tally, iter_frames

FOLDER: Final = "observed"
"""within the state folder: files of tallies"""
SUFFIX: Final = ".tallies"

MOST_OBSERVATIONS: Final = 2_000_000
"""of one signal of one segment: a reference out of more takes minutes to make and gigabytes of memory"""

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
        namespace, service = (
            None if part is None else part.replace("/", "_")  # as a segment is written
            for part in (self.namespace, self.service)
        )
        return all(
            wanted is None or wanted == held
            for wanted, held in zip((namespace, service, self.model), found, strict=True)
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
        """Times and values by time, the newest two million; without times, in the order in which they came."""
        if not self.times or any(map(isnan, self.times)):
            return None, self.values[-MOST_OBSERVATIONS:]
        order = sorted(range(len(self.times)), key=self.times.__getitem__)[-MOST_OBSERVATIONS:]
        if len(order) == 1:
            return self.times, self.values
        times = array("d", itemgetter(*order)(self.times))
        values = itemgetter(*order)(self.values)
        return times, list(values) if isinstance(self.values, list) else array("d", values)


def gather(observed: Iterable[Row | Tally], wanted: Wanted) -> dict[Key, Series]:
    """
    What is wanted of rows and tallies. Memory: 16 bytes an observation, a little more for words; of a busy signal about
    the newest two to four million are held.

    The order within a tally is not known: its observations are put into a random one, always the same, so that what
    looks at them in order sees no order that was not there.
    """
    found: dict[Key, Series] = {}
    is_wanted: dict[str, bool] = {}
    words: dict[str, str] = {}
    for one in observed:
        if one.segment not in is_wanted:
            is_wanted[one.segment] = wanted.segment(one.segment)
        if not is_wanted[one.segment] or not wanted.time(one.at):
            continue
        for signal, values, times in _observations(one):
            if wanted.signals and signal not in wanted.signals:
                continue
            series = found.get((one.segment, signal))
            if series is None:
                series = found[one.segment, signal] = _empty(kind_of(signal))
            if len(series.times) >= 2 * MOST_OBSERVATIONS:
                del series.values[:MOST_OBSERVATIONS], series.times[:MOST_OBSERVATIONS]
            for value, at in zip(values, times, strict=True):
                if isinstance(series.values, list) and isinstance(value, str):
                    series.values.append(words.setdefault(value, value))
                    series.times.append(at)
                elif not isinstance(series.values, list) and not isinstance(value, str):
                    series.values.append(value)
                    series.times.append(at)
    return found


def _observations(one: Row | Tally) -> Iterator[tuple[str, Sequence[float | str], Sequence[float]]]:
    """By signal: values and their times."""
    if isinstance(one, Row):
        for signal, value in one.values.items():
            yield signal, (value,), (one.at,)
        return
    for signal, counts in one.counts.items():
        values = [value for value, count in counts for _ in range(count)]
        random.Random(f"{one.at} {signal}").shuffle(values)  # noqa: S311 - to be repeated, not to be secret
        step = one.seconds / max(1, len(values))
        yield signal, values, [one.at + place * step for place in range(len(values))]


def _empty(kind: Kind) -> Series:
    return Series(kind, values=[]) if kind is Kind.CATEGORY else Series(kind)


def read_rows(folder: Path, noted: Noted) -> Iterator[Tally]:
    """
    All tallies of a folder, by name of the file; files may be written meanwhile, or be removed.

    :param noted: told of a file that cannot be read, or not to its end
    :raises OSError: the folder cannot be read
    """
    return chain.from_iterable(read_file(path, noted) for path in sorted(folder.iterdir()) if path.suffix == SUFFIX)


def read_file(path: Path, noted: Noted) -> Iterator[Tally]:
    count = 0
    try:
        with path.open("rb") as file:
            for tally in iter_frames(file):
                count += 1
                yield tally
    except FileNotFoundError:
        return
    except OSError as error:
        noted(f"{path.name}: {error.strerror}; left out")
    except ValueError as error:
        noted(f"{path.name}: damaged after {count:,} tallies ({error}); what is behind them is left out")


def span(series: Mapping[Key, Series]) -> tuple[float, float] | None:
    """Unix seconds of the first and the last observation; None where no time is known."""
    known = [one.times for one in series.values() if one.times and not any(map(isnan, one.times))]
    return (min(map(min, known)), max(map(max, known))) if known else None
