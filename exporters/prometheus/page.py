"""The state of every series, and the page drawn from it. Text of a series that did not change is used again."""

from collections import Counter
from collections.abc import Iterator
from threading import Lock
from typing import Final

from exporters.prometheus.text import END, header, histogram_lines, label_pairs, scalar_line
from watchkeeper.core.metric import Metric
from watchkeeper.core.records import Batch, HistogramValue, Labels, Point

SERIES_LIMIT: Final = "series_limit"
MALFORMED: Final = "malformed"


class Page:
    """
    At most `max_series` series. `update` and `draw` may run in different threads: the lock is held while points are
    swapped or listed, never while text is made, and one drawing shows one moment.
    """

    def __init__(self, max_series: int, *, exemplars: bool) -> None:
        self._max_series = max_series
        self._exemplars = exemplars
        self._lock = Lock()
        self._families: dict[Metric, _Family] = {}
        self._size = 0

    def update(self, batch: Batch) -> Counter[str]:
        """What was left out, by reason."""
        refused: Counter[str] = Counter()
        with self._lock:
            for metric, labels in batch.gone:
                self._remove(metric, labels)
            for point in batch.points:
                if reason := self._put(point):
                    refused[reason] += 1
        return refused

    def draw(self, *, openmetrics: bool) -> Iterator[bytes]:
        """The page as one piece of UTF-8 text per family, sorted."""
        exemplars = openmetrics and self._exemplars
        for family, shown in self._moment():
            lines = [series.text(point, exemplars=exemplars) for series, point in shown]
            yield b"".join((family.header(openmetrics=openmetrics), *lines))
        if openmetrics:
            yield END

    def _moment(self) -> "list[tuple[_Family, list[tuple[_Series, Point]]]]":
        with self._lock:
            families = sorted(self._families.values(), key=lambda family: family.name)
            return [(family, [(series, series.point) for series in family.in_order()]) for family in families]

    def _put(self, point: Point) -> str | None:
        if not point.is_whole:
            return MALFORMED
        family = self._families.get(point.metric)
        series = family.series.get(point.labels) if family else None
        if series is not None:
            series.point = point
            return None
        if self._size >= self._max_series:
            return SERIES_LIMIT
        if family is None:
            family = self._families[point.metric] = _Family(point.metric)
        family.add(point)
        self._size += 1
        return None

    def _remove(self, metric: Metric, labels: Labels) -> None:
        family = self._families.get(metric)
        if family is None or not family.discard(labels):
            return
        self._size -= 1
        if not family.series:
            del self._families[metric]


class _Series:
    __slots__ = ("_drawn", "_name", "pairs", "point")

    def __init__(self, name: str, point: Point) -> None:
        self._name = name
        self.pairs = label_pairs(point.labels)
        self.point = point
        self._drawn: tuple[Point | None, bool, bytes] = (None, False, b"")

    def text(self, point: Point, *, exemplars: bool) -> bytes:
        """Lines for `point`; two threads at once do the work twice and agree."""
        value = point.value
        rich = exemplars and isinstance(value, HistogramValue) and bool(value.exemplars)
        last, was_rich, lines = self._drawn
        if last is point and was_rich == rich:
            return lines
        if isinstance(value, HistogramValue):
            lines = _encoded(histogram_lines(self._name, self.pairs, value, exemplars=rich))
        else:
            lines = _encoded(scalar_line(self._name, self.pairs, value))
        self._drawn = (point, rich, lines)
        return lines


class _Family:
    def __init__(self, metric: Metric) -> None:
        self.name = metric.prometheus_name
        self.series: dict[Labels, _Series] = {}
        self._plain_header = _encoded(header(metric, openmetrics=False))
        self._open_header = _encoded(header(metric, openmetrics=True))
        self._in_order: tuple[_Series, ...] | None = None

    def header(self, *, openmetrics: bool) -> bytes:
        return self._open_header if openmetrics else self._plain_header

    def add(self, point: Point) -> None:
        self.series[point.labels] = _Series(self.name, point)
        self._in_order = None

    def discard(self, labels: Labels) -> bool:
        """False when there is no such series."""
        self._in_order = None
        return self.series.pop(labels, None) is not None

    def in_order(self) -> "tuple[_Series, ...]":
        if self._in_order is None:
            self._in_order = tuple(sorted(self.series.values(), key=lambda series: series.pairs))
        return self._in_order


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "replace")  # a lone surrogate would take the target down
