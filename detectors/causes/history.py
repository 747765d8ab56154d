"""
The last 90 minutes of every candidate quantity, in steps of 10 seconds, per place.

A step keeps sums, so that places and steps add up exactly: what a counter added, sum and count of a histogram's
observations, both counters of a share, sum and number of gauges. A value that nobody told is NaN, never 0; but a
counter of rare events that comes into being later was at 0 before, as all of watchkeeper's totals begin there.

Bounded: 4,096 rows of 540 float32, 9 MB, beside 800 bytes for each series that is read. Past that, new places add up in
one row a measure; a row that held nothing for 90 minutes is given to a new place.
"""

from collections.abc import Iterable, Set
from math import isfinite, nan
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

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

Floats = NDArray[np.float64]
_RowKey = tuple[Measure, Place, str]


class Track(msgspec.Struct, frozen=True):
    """
    One measure over some steps, all asked places added up. `upper` over `lower` is the value; NaN in `upper`: not told.
    `lower` is all 1 where a value is no quotient.
    """

    apart: str
    upper: Floats
    lower: Floats


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
        self._used = 0
        self._values = np.full((64, STEPS), nan, np.float32)
        self._living: list[int] = []
        self._ran = np.zeros(STEPS, bool)
        self._step: int | None = None
        self._first_step = 0
        self._reclaimed_step = -_RECLAIM_STEPS

    @property
    def places(self) -> Set[Place]:
        return {place for _, place, _ in self._rows}

    @property
    def bytes_held(self) -> int:
        """Of the values; rows of the table are taken as they are needed."""
        return int(self._values.nbytes)

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
        columns = np.arange(first, last + 1) % STEPS
        found = []
        for apart, by_place in self._by_measure.get(measure, {}).items():
            rows = [row for place, row in by_place.items() if place in places]
            if rows and len(columns):
                found.append(self._track(measure, apart, np.array(rows), columns))
        return tuple(found)

    def _track(self, measure: Measure, apart: str, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Track:
        values = self._values[np.ix_(rows, columns)].astype(np.float64)
        told = ~np.isnan(values)
        if measure.take is Take.MAX:
            largest = np.where(told, values, -np.inf).max(axis=0)
            return Track(apart, np.where(told.any(axis=0), largest, nan), np.ones(len(columns)))
        upper = np.where(told, values, 0.0).sum(axis=0)
        if measure.take in _TWO_PARTS:
            lower = np.nan_to_num(self._values[np.ix_(rows + 1, columns)].astype(np.float64)).sum(axis=0)
            return Track(apart, np.where(lower > 0, upper, nan), lower)
        return Track(apart, np.where(told.any(axis=0), upper, nan), np.ones(len(columns)))

    def _begin(self, step: int) -> None:
        self._step = self._first_step = step
        self._reclaimed_step = step - _RECLAIM_STEPS
        self._values[:] = nan
        self._ran[:] = False

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
        self._values[:, place] = nan
        found = np.array(sums, np.float64)
        told = np.array(self._living, bool) & (np.abs(found) < _LARGEST)
        self._values[: len(sums), place] = np.where(told, found, nan)
        self._ran[place] = True
        for skipped in range(max(closed + 1, step - STEPS), step):
            self._values[:, skipped % STEPS] = nan
            self._ran[skipped % STEPS] = False
        self._step = step

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
                self._values[row, self._ran] = 0.0
        return row

    def _has_room(self, measure: Measure) -> bool:
        width = 2 if measure.take in _TWO_PARTS else 1
        if self._free[width] or self._used + width <= self._room:
            return True
        if self._step is not None and self._step - self._reclaimed_step >= _RECLAIM_STEPS:
            self._reclaimed_step = self._step
            self._reclaim()
        return bool(self._free[width])

    def _take_row(self, width: int) -> int:
        if self._free[width]:
            return self._free[width].pop()
        row = self._used
        self._used += width
        self._living += [0] * width
        if self._used > len(self._values):
            most = max(self._used, self._room + 2 * len(self._measures))
            more = min(len(self._values), most - len(self._values))
            self._values = np.concatenate((self._values, np.full((more, STEPS), nan, np.float32)))
        return row

    def _reclaim(self) -> None:
        for (measure, place, apart), row in list(self._rows.items()):
            width = 2 if measure.take in _TWO_PARTS else 1
            mine = slice(row, row + width)
            if not any(self._living[mine]) and np.isnan(self._values[mine]).all():
                del self._rows[measure, place, apart]
                del self._by_measure[measure][apart][place]
                self._free[width].append(row)


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
