"""
The last 90 minutes of every candidate quantity, in steps of 10 seconds, per place.

A step keeps sums, so that places and steps add up exactly: what a counter added, sum and count of a histogram's
observations, both counters of a share, sum and number of gauges. A value that nobody told is NaN, never 0; but a
counter of rare events that comes into being later was at 0 before, as all of watchkeeper's totals begin there.

Bounded: 4,096 rows of 540 float32, 9 MB, beside 800 bytes for each series that is read. Past that, new places add up in
one row a measure; a row that held nothing for 90 minutes is given to a new place. No numpy: it would be most of the
memory of the role `node`, which explains findings too.
"""

from array import array
from collections.abc import Iterable, Set
from functools import reduce
from math import isfinite, isnan, nan
from typing import Final

import msgspec

from detectors.causes.candidates import MEASURES, Measure, Take, Where
from detectors.causes.scope import REST, Place, place_of
from watchkeeper.core.metric import Metric
from watchkeeper.core.records import Batch, HistogramValue, Point, SeriesKey

STEP_SECONDS: Final = 10.0
STEPS: Final = 540
MAX_ROWS: Final = 4_096
_RECLAIM_STEPS: Final = 30
_LARGEST: Final = 1e38
"""what float32 holds; a value beyond it is none"""
_GAUGES: Final = (Take.MEAN, Take.MAX)
_TWO_PARTS: Final = (Take.MEAN, Take.EACH, Take.SHARE)

_UNTOLD: Final = array("f", [nan]) * STEPS
_UNTOLD_BYTES: Final = _UNTOLD.tobytes()
_RowKey = tuple[Measure, Place, str]


class Track(msgspec.Struct, frozen=True):
    """
    One measure over some steps, all asked places added up. `upper` over `lower` is the value; NaN in `upper`: not told.
    `lower` is all 1 where a value is no quotient.
    """

    apart: str
    upper: list[float]
    lower: list[float]


class _Feed(msgspec.Struct, frozen=True):
    measure: Measure
    part: int
    where: Where


class _Series:
    """One series: the rows it adds to, and what it last told."""

    __slots__ = ("count", "rows", "sum", "value")

    def __init__(self, rows: tuple[tuple[int, Take, int], ...]) -> None:
        self.rows = rows
        self.value = 0.0
        self.count = 0.0
        self.sum = 0.0


class History:
    """`update` each tick with totals since start. A clock that is set back begins anew."""

    def __init__(self, measures: Iterable[Measure] = MEASURES, max_rows: int = MAX_ROWS) -> None:
        self._measures = tuple(measures)
        self._feeds = _feeds(self._measures)
        self._room = max_rows
        self._pending: dict[SeriesKey, Point] = {}
        self._series: dict[SeriesKey, _Series] = {}
        self._gauges: dict[SeriesKey, _Series] = {}
        self._rows: dict[_RowKey, int] = {}
        self._by_measure: dict[Measure, dict[str, dict[Place, int]]] = {}
        self._free: dict[int, list[int]] = {1: [], 2: []}
        self._values: list[array[float]] = []
        """rows; step n is at n % STEPS"""
        self._living: list[int] = []
        """how many series feed each row"""
        self._ran = bytearray(STEPS)
        self._step: int | None = None
        self._first_step = 0
        self._reclaimed_step = -_RECLAIM_STEPS

    @property
    def reads(self) -> Set[Metric]:
        """Points of others say nothing here."""
        return self._feeds.keys()

    @property
    def places(self) -> Set[Place]:
        return {place for _, place, _ in self._rows}

    @property
    def bytes_held(self) -> int:
        """Of the values; rows are made as they are needed."""
        return sum(row.itemsize * len(row) for row in self._values)

    @property
    def last_step(self) -> int:
        """The newest whole step; step n begins at n * STEP_SECONDS."""
        return -1 if self._step is None else self._step - 1

    @property
    def first_step(self) -> int:
        """The oldest step that is known."""
        return max(self._first_step, self.last_step - STEPS + 1)

    def update(self, batch: Batch) -> None:
        step = int(batch.at // STEP_SECONDS)
        if self._step is None or step < self._step:
            self._begin(step)
        elif step > self._step:
            self._fold(self._step, step)
        feeds, pending = self._feeds, self._pending
        for key in batch.gone:
            if key[0] in feeds:
                self._drop(key)
        for point in batch.points:
            if point.metric in feeds:
                pending[point.metric, point.labels] = point

    def tracks(self, measure: Measure, places: Set[Place], first: int, last: int) -> tuple[Track, ...]:
        """Steps `first` to `last`, both in, as far as known; one track for each value of `apart` that was seen."""
        first, last = max(first, self.first_step), min(last, self.last_step)
        found = []
        for apart, by_place in self._by_measure.get(measure, {}).items():
            rows = [row for place, row in by_place.items() if place in places]
            if rows and first <= last:
                found.append(self._track(measure, apart, rows, first, last))
        return tuple(found)

    def _track(self, measure: Measure, apart: str, rows: list[int], first: int, last: int) -> Track:
        upper = reduce(_larger if measure.take is Take.MAX else _plus, (self._told(row, first, last) for row in rows))
        if measure.take not in _TWO_PARTS:
            return Track(apart, upper, [1.0] * len(upper))
        lower = reduce(_plus, (self._told(row + 1, first, last) for row in rows))
        return Track(
            apart,
            [(0.0 if isnan(over) else over) if under > 0 else nan for over, under in zip(upper, lower, strict=True)],
            [0.0 if isnan(under) else under for under in lower],
        )

    def _told(self, row: int, first: int, last: int) -> list[float]:
        """Of one row, in order of time."""
        start, end, values = first % STEPS, last % STEPS + 1, self._values[row]
        return (values[start:end] if start < end else values[start:] + values[:end]).tolist()

    def _begin(self, step: int) -> None:
        self._step = self._first_step = step
        self._reclaimed_step = step - _RECLAIM_STEPS
        for row in self._values:
            row[:] = _UNTOLD
        self._ran = bytearray(STEPS)

    def _fold(self, closed: int, step: int) -> None:
        """Close a step and open another. Steps in between, while nothing ran, stay unknown."""
        pending, self._pending = self._pending, {}
        for key in pending:
            if key not in self._series:
                self._admit(key)
        sums = [0.0] * len(self._living)
        for key, point in pending.items():
            if point.is_whole:
                _add(self._series[key], point, sums)
        self._add_gauges(sums)
        place = closed % STEPS
        for row, living, value in zip(self._values, self._living, sums, strict=True):
            row[place] = value if living and abs(value) < _LARGEST else nan
        self._ran[place] = True
        self._skip(max(closed + 1, step - STEPS), step)
        self._step = step

    def _skip(self, first: int, end: int) -> None:
        """Steps `first` to `end` (not in), at most STEPS of them, are not told."""
        start = first % STEPS
        over = start + end - first - STEPS
        for part in (slice(start, min(STEPS, STEPS + over)), slice(0, max(0, over))):
            untold = _UNTOLD[part]
            self._ran[part] = bytes(len(untold))
            for row in self._values:
                row[part] = untold

    def _add_gauges(self, sums: list[float]) -> None:
        largest: dict[int, float] = {}
        for series in self._gauges.values():
            if not isfinite(series.value):
                continue
            for row, take, _ in series.rows:
                if take is Take.MAX:
                    largest[row] = max(largest.get(row, series.value), series.value)
                else:
                    sums[row] += series.value
                    sums[row + 1] += 1
        for row, value in largest.items():
            sums[row] = value

    def _admit(self, key: SeriesKey) -> None:
        rows = []
        labels = dict(key[1])
        for feed in self._feeds[key[0]]:
            if all(accepts(labels.get(label, "")) for label, accepts in feed.where):
                row = self._row(feed.measure, place_of(key[1]), labels.get(feed.measure.apart, ""))
                rows.append((row, feed.measure.take, feed.part))
        series = self._series[key] = _Series(tuple(rows))
        for row, take, part in series.rows:
            if take in _GAUGES:
                self._gauges[key] = series
            for each in _parts(row, take, part):
                self._living[each] += 1

    def _drop(self, key: SeriesKey) -> None:
        self._pending.pop(key, None)
        self._gauges.pop(key, None)
        series = self._series.pop(key, None)
        for row, take, part in series.rows if series else ():
            for each in _parts(row, take, part):
                self._living[each] -= 1

    def _row(self, measure: Measure, place: Place, apart: str) -> int:
        key = (measure, place, apart)
        if key not in self._rows and (place, apart) != (REST, "") and not self._has_room(measure):
            key = (measure, REST, "")
        row = self._rows.get(key)
        if row is None:
            row = self._take_row(2 if measure.take in _TWO_PARTS else 1)
            self._rows[key] = row
            self._by_measure.setdefault(measure, {}).setdefault(key[2], {})[key[1]] = row
            if measure.take is Take.EVENTS:
                self._values[row] = array("f", (0.0 if ran else nan for ran in self._ran))
        return row

    def _has_room(self, measure: Measure) -> bool:
        width = 2 if measure.take in _TWO_PARTS else 1
        if self._free[width] or len(self._values) + width <= self._room:
            return True
        if self._step is not None and self._step - self._reclaimed_step >= _RECLAIM_STEPS:
            self._reclaimed_step = self._step
            self._reclaim()
        return bool(self._free[width])

    def _take_row(self, width: int) -> int:
        if self._free[width]:
            return self._free[width].pop()
        row = len(self._values)
        self._living += [0] * width
        self._values += [_UNTOLD[:] for _ in range(width)]
        return row

    def _reclaim(self) -> None:
        for (measure, place, apart), row in list(self._rows.items()):
            width = 2 if measure.take in _TWO_PARTS else 1
            mine = slice(row, row + width)
            if not any(self._living[mine]) and not any(map(_tells, self._values[mine])):
                del self._rows[measure, place, apart]
                del self._by_measure[measure][apart][place]
                self._free[width].append(row)


def _plus(some: list[float], others: list[float]) -> list[float]:
    """Told where either is; NaN alone differs from itself."""
    return [
        one if other != other else other if one != one else one + other for one, other in zip(some, others, strict=True)
    ]


def _larger(some: list[float], others: list[float]) -> list[float]:
    """Told where either is."""
    return [one if other != other or one > other else other for one, other in zip(some, others, strict=True)]


def _tells(row: "array[float]") -> bool:
    return row.tobytes() != _UNTOLD_BYTES


def _parts(row: int, take: Take, part: int) -> tuple[int, ...]:
    return (row, row + 1) if take in (Take.EACH, Take.MEAN) else (row + part,)


def _add(series: _Series, point: Point, sums: list[float]) -> None:
    """What was added since the last step; a total that fell began anew."""
    value = point.value
    if isinstance(value, HistogramValue):
        count = sum(value.counts)
        if not (isfinite(count) and isfinite(value.sum)):
            return
        anew = count < series.count
        more = count - (0.0 if anew else series.count)
        total = value.sum - (0.0 if anew else series.sum)
        series.count, series.sum = count, value.sum
        for row, _, _ in series.rows:
            sums[row] += total
            sums[row + 1] += more
        return
    added = value - series.value if value >= series.value else value
    series.value = value  # of a gauge, which may be NaN and is not told then
    for row, take, part in series.rows:
        if take not in _GAUGES and isfinite(added):
            sums[row + part] += added


def _feeds(measures: Iterable[Measure]) -> dict[Metric, tuple[_Feed, ...]]:
    found: dict[Metric, tuple[_Feed, ...]] = {}
    for measure in measures:
        found[measure.metric] = (*found.get(measure.metric, ()), _Feed(measure, 0, measure.where))
        if measure.of is not None:
            found[measure.of] = (*found.get(measure.of, ()), _Feed(measure, 1, measure.of_where))
    return found
