"""Numbers over time in bounded room: sums and counts per equal span, increments of running totals."""

from array import array
from bisect import bisect_right
from operator import truediv
from typing import Final

from watchkeeper.core.records import Batch, HistogramValue, Point, SeriesKey

GIB: Final = 2.0**30


class Spans:
    """
    Sums and counts of the newest `spans` equal spans of time, each `span_seconds` long, in 24 bytes each. A clock that
    is set back begins anew.
    """

    __slots__ = ("_cells", "_most", "span_seconds")

    def __init__(self, span_seconds: float, spans: int) -> None:
        self.span_seconds = span_seconds
        self._cells = array("d")
        """number of the span, sum and count, one after the other; the oldest first"""
        self._most = 3 * spans

    def add(self, value: float, at: float) -> None:
        index, cells = at // self.span_seconds, self._cells
        if cells and cells[-3] == index:
            cells[-2] += value
            cells[-1] += 1
            return
        if cells and cells[-3] > index:
            del cells[:]
        cells.extend((index, value, 1.0))
        if len(cells) > self._most:
            del cells[:3]

    def means(self, now: float, seconds: float) -> list[float]:
        """The mean of each span of the last `seconds` that had a number, oldest first."""
        totals, counts = self._within(now, seconds)
        return list(map(truediv, totals, counts))

    def mean(self, now: float, seconds: float) -> float | None:
        """Every span counts alike, however many numbers it had."""
        means = self.means(now, seconds)
        return sum(means) / len(means) if means else None

    def total(self, now: float, seconds: float) -> float:
        return sum(self._within(now, seconds)[0])

    def per_second(self, now: float, seconds: float, since: float = 0.0) -> float | None:
        """The total of the last `seconds` over the time that the spans cover, none of it before `since`."""
        start = max(((now - seconds) // self.span_seconds + 1) * self.span_seconds, since)
        return self.total(now, seconds) / (now - start) if now > start else None

    def _within(self, now: float, seconds: float) -> "tuple[array[float], array[float]]":
        """Sums and counts."""
        cells, span = self._cells, self.span_seconds
        start = self._after((now - seconds) // span)
        end = self._after(now // span) if cells and cells[-3] > now // span else len(cells)  # the clock was set back
        return cells[start + 1 : end : 3], cells[start + 2 : end : 3]

    def _after(self, index: float) -> int:
        """Where the first cell of a later span is."""
        cells = self._cells
        return 3 * bisect_right(range(0, len(cells), 3), index, key=cells.__getitem__)


class Increments:
    """
    What running totals added since they were last seen; a total not seen before began at 0, as all of watchkeeper's
    do. Bounded by the series there are.
    """

    def __init__(self) -> None:
        self._totals: dict[SeriesKey, float] = {}

    def of(self, point: Point) -> float:
        """0 or more; a total that fell began anew. Of a histogram: how many observations were added."""
        total = point.value
        value = float(sum(total.counts)) if isinstance(total, HistogramValue) else float(total)
        key = (point.metric, point.labels)
        last = self._totals.get(key, 0.0)
        self._totals[key] = value
        return value - last if value >= last else value

    def forget(self, batch: Batch) -> None:
        for key in batch.gone:
            self._totals.pop(key, None)


def number(point: Point) -> float:
    """The value of a gauge or counter."""
    if not isinstance(point.value, float | int):
        raise TypeError(f"{point.metric.name} is a histogram")
    return float(point.value)
