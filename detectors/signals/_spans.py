"""Numbers over time in bounded room: sums and counts per equal span, increments of running totals."""

from collections import deque
from typing import Final

from watchkeeper.core.records import Batch, HistogramValue, Point, SeriesKey

GIB: Final = 2.0**30


class Spans:
    """
    Sums and counts of the newest `spans` equal spans of time, each `span_seconds` long. A clock that is set back
    begins anew.
    """

    __slots__ = ("_cells", "span_seconds")

    def __init__(self, span_seconds: float, spans: int) -> None:
        self.span_seconds = span_seconds
        self._cells: deque[list[float]] = deque(maxlen=spans)

    def add(self, value: float, at: float) -> None:
        index = at // self.span_seconds
        if self._cells and self._cells[-1][0] > index:
            self._cells.clear()
        if not self._cells or self._cells[-1][0] < index:
            self._cells.append([index, value, 1.0])
        else:
            newest = self._cells[-1]
            newest[1] += value
            newest[2] += 1

    def means(self, now: float, seconds: float) -> list[float]:
        """The mean of each span of the last `seconds` that had a number, oldest first."""
        return [total / count for total, count in self._within(now, seconds)]

    def mean(self, now: float, seconds: float) -> float | None:
        """Every span counts alike, however many numbers it had."""
        means = self.means(now, seconds)
        return sum(means) / len(means) if means else None

    def total(self, now: float, seconds: float) -> float:
        return sum(total for total, _ in self._within(now, seconds))

    def per_second(self, now: float, seconds: float, since: float = 0.0) -> float | None:
        """The total of the last `seconds` over the time that the spans cover, none of it before `since`."""
        start = max(((now - seconds) // self.span_seconds + 1) * self.span_seconds, since)
        return self.total(now, seconds) / (now - start) if now > start else None

    def _within(self, now: float, seconds: float) -> list[tuple[float, float]]:
        first, last = (now - seconds) // self.span_seconds, now // self.span_seconds
        return [(total, count) for index, total, count in self._cells if first < index <= last]


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
