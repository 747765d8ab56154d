"""The state of every series, and the page drawn from it. Text of a series that did not change is used again."""

from collections.abc import Iterator
from threading import Lock
from typing import Final

from exporters.prometheus.text import END, header, histogram_lines, label_pairs, number, number_prefix
from watchkeeper.core.metric import Kind, Metric
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

    def update(self, batch: Batch) -> dict[str, int]:
        """What was left out, by reason."""
        malformed = refused = 0
        with self._lock:
            for metric, labels in batch.gone:
                self._remove(metric, labels)
            for point in batch.points:
                family = self._families.get(point.metric)
                if family is not None and family.is_number and type(point.value) is float:
                    series = family.series.get(point.labels)
                    if series is not None:  # nearly all, hundreds a second
                        series.point = point
                        continue
                elif not point.is_whole:
                    malformed += 1
                    continue
                if not self._put(family, point):
                    refused += 1
        counts = {MALFORMED: malformed, SERIES_LIMIT: refused}
        return {reason: count for reason, count in counts.items() if count}

    def draw(self, *, openmetrics: bool) -> Iterator[list[bytes]]:
        """The page as UTF-8 pieces, one list per family, sorted."""
        exemplars = openmetrics and self._exemplars
        for family, series, points in self._moment():
            draw = _histogram_pieces if family.metric.kind is Kind.HISTOGRAM else _number_pieces
            yield [family.header(openmetrics=openmetrics), *draw(series, points, exemplars)]
        if openmetrics:
            yield [END]

    def _moment(self) -> "list[tuple[_Family, tuple[_Series, ...], list[Point]]]":
        with self._lock:
            families = sorted(self._families.values(), key=lambda family: family.name)
            return [
                (family, series, [one.point for one in series]) for family in families for series in [family.in_order()]
            ]

    def _put(self, family: "_Family | None", point: Point) -> bool:
        """False where there is no room for another series."""
        series = family.series.get(point.labels) if family else None
        if series is not None:
            series.point = point
            return True
        if self._size >= self._max_series:
            return False
        if family is None:
            family = self._families[point.metric] = _Family(point.metric)
        family.add(point)
        self._size += 1
        return True

    def _remove(self, metric: Metric, labels: Labels) -> None:
        family = self._families.get(metric)
        if family is None or not family.discard(labels):
            return
        self._size -= 1
        if not family.series:
            del self._families[metric]


class _Series:
    """
    `prefix` is what stands before every value: for a histogram its label pairs, else the line up to the value.
    `drawn` is the last text, what it was drawn from, and whether with exemplars: one tuple, so never half new.
    """

    __slots__ = ("drawn", "name", "point", "prefix")

    def __init__(self, name: str, point: Point) -> None:
        pairs = label_pairs(point.labels)
        self.name = name
        self.prefix = pairs if point.metric.kind is Kind.HISTOGRAM else number_prefix(name, pairs)
        self.point = point
        self.drawn: tuple[Point | None, bool, bytes] = (None, False, b"")


def _number_pieces(series: tuple[_Series, ...], points: list[Point], _: bool) -> Iterator[bytes]:
    """Two threads at once do the work twice and agree."""
    for one, point in zip(series, points, strict=True):
        last, _, text = one.drawn
        if last is not point:
            text = _encoded(f"{one.prefix}{number(point.value)}\n")  # type: ignore[arg-type]  # is_whole
            one.drawn = (point, False, text)
        yield text


def _histogram_pieces(series: tuple[_Series, ...], points: list[Point], exemplars: bool) -> Iterator[bytes]:
    for one, point in zip(series, points, strict=True):
        value: HistogramValue = point.value  # type: ignore[assignment]  # is_whole
        rich = exemplars and bool(value.exemplars)
        last, was_rich, text = one.drawn
        if last is not point or was_rich != rich:
            text = _encoded(histogram_lines(one.name, one.prefix, value, exemplars=rich))
            one.drawn = (point, rich, text)
        yield text


class _Family:
    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self.name = metric.prometheus_name
        self.is_number = metric.kind is not Kind.HISTOGRAM
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
            self._in_order = tuple(sorted(self.series.values(), key=lambda series: series.prefix))
        return self._in_order


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "replace")  # a lone surrogate would take the target down
