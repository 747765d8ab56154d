"""Series of a made-up estate: numbers over time, by objects of the vocabulary, so that each is one that is emitted."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import compress
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from dashboards.promql import UP, PromqlError, labels_of
from watchkeeper.core.metric import Kind, Metric

Numbers = NDArray[np.floating[Any]]
ADDED: Final = ("node",)
"""label that scraping adds, beside job and instance"""


class Clock(msgspec.Struct, frozen=True):
    """`count` scrapes, `step` seconds apart, from `start` (unix seconds) on; trouble from `onset` on."""

    start: float
    step: float
    count: int
    onset: float

    @property
    def times(self) -> Numbers:
        return self.start + self.step * np.arange(self.count, dtype=np.float64)

    @property
    def end(self) -> float:
        return self.start + self.step * (self.count - 1)

    def level(self, value: float = 1.0) -> Numbers:
        return np.full(self.count, value)

    def since(self, delay: float = 0.0, ramp: float = 0.0) -> Numbers:
        """0 before onset + delay, then 1; on the way there for `ramp` seconds."""
        passed = self.times - self.onset - delay
        return np.clip(passed / ramp, 0.0, 1.0) if ramp else (passed >= 0).astype(np.float64)


class Series(msgspec.Struct, frozen=True):
    """One series; NaN where there was no sample."""

    name: str
    labels: tuple[tuple[str, str], ...]
    values: Any  # Numbers: msgspec knows no arrays

    @property
    def selector(self) -> str:
        """As a rule test names it."""
        inside = ",".join(f'{key}="{_escaped(value)}"' for key, value in self.labels)
        return f"{self.name}{{{inside}}}"


class Family(msgspec.Struct):
    """All series of one metric of the vocabulary, or of Prometheus's own `up`."""

    kind: str
    """as OpenMetrics calls it"""
    series: list[Series]


class Book:
    """Collects series by metric."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._families: dict[str, Family] = {}

    def families(self) -> Mapping[str, Family]:
        return self._families

    def series(self) -> Iterator[Series]:
        for family in self._families.values():
            yield from family.series

    def up(self, values: Numbers, target: Mapping[str, str]) -> None:
        self._add(UP, "gauge", UP, dict(target), values)

    def put(self, metric: Metric, values: Numbers, part: str, labels: Mapping[str, str]) -> None:
        """:raises PromqlError: the metric has no such label"""
        known = labels_of(metric, part) | set(ADDED)
        if unknown := labels.keys() - known:
            raise PromqlError(f"{metric.prometheus_name} has no label {', '.join(sorted(unknown))}")
        name = f"{metric.prometheus_name}_{part}" if part else metric.prometheus_name
        self._add(metric.prometheus_name, str(metric.kind), name, labels, values)

    def _add(self, family: str, kind: str, name: str, labels: Mapping[str, str], values: Numbers) -> None:
        self._families.setdefault(family, Family(kind, [])).series.append(Series(name, tuple(labels.items()), values))


class Observer:
    """One process of watchkeeper that is scraped. While it is away its series have no samples."""

    def __init__(self, book: Book, target: Mapping[str, str], away: Numbers | None = None) -> None:
        self.clock = book.clock
        self._book = book
        self._target = target
        self._is_away = np.zeros(book.clock.count, bool) if away is None else away > 0
        book.up(np.where(self._is_away, 0.0, 1.0), target)

    def gauge(self, metric: Metric, values: Numbers | float, /, **labels: str) -> None:
        self._put(metric, self._whole(values), "", labels)

    def counter(self, metric: Metric, rate: Numbers | float, /, **labels: str) -> None:
        """:param rate: events a second; what is counted begins at 0"""
        self._put(metric, self._counted(self._whole(rate)), "", labels)

    def level(self, metric: Metric, values: Numbers, /, **labels: str) -> None:
        """A counter's own values."""
        self._put(metric, values, "", labels)

    def counted_while(self, metric: Metric, rate: Numbers, seen: Numbers, /, **labels: str) -> None:
        """A counter that exists only where `seen` is not NaN."""
        self._put(metric, self._counted(rate) * seen, "", labels)

    def histogram(
        self, metric: Metric, rate: Numbers | float, median: Numbers | float, spread: float, /, **labels: str
    ) -> None:
        """`rate` observations a second around `median` (log-logistic; spread 0.5 narrow, 1 wide)."""
        total, middle = self._whole(rate), np.maximum(self._whole(median), 1e-9)
        for bound in metric.buckets:
            share = 1.0 / (1.0 + (bound / middle) ** (-1.8 / spread)) if bound > 0 else np.zeros(self.clock.count)
            self._put(metric, np.floor(self._counted(total * share)), "bucket", {**labels, "le": repr(float(bound))})
        counted = np.floor(self._counted(total))
        self._put(metric, counted, "bucket", {**labels, "le": "+Inf"})
        self._put(metric, counted, "count", labels)
        self._put(metric, self._counted(total * middle * 1.15), "sum", labels)

    def _whole(self, values: Numbers | float) -> Numbers:
        return self.clock.level(values) if isinstance(values, float | int) else values

    def _counted(self, rate: Numbers) -> Numbers:
        return np.concatenate(([0.0], np.cumsum(np.nan_to_num(rate[1:]) * self.clock.step)))

    def _put(self, metric: Metric, values: Numbers, part: str, labels: Mapping[str, str]) -> None:
        seen = np.where(self._is_away, np.nan, values)
        self._book.put(metric, seen, part, {**self._target, **labels})


def openmetrics(book: Book) -> Iterator[str]:
    """The whole history as OpenMetrics text, for `promtool tsdb create-blocks-from openmetrics`."""
    yield from written(((name, family.kind, family.series) for name, family in book.families().items()), book.clock)


def written(families: Iterable[tuple[str, str, list[Series]]], clock: Clock) -> Iterator[str]:
    """Families as (name, kind, series)."""
    stamps = [f" {time:.0f}\n" for time in clock.times]
    for name, kind, several in families:
        yield f"# TYPE {name.removesuffix('_total') if kind == Kind.COUNTER else name} {kind}\n"
        for together in _points(several) if kind == Kind.HISTOGRAM else ([one] for one in several):
            begins = [f"{one.selector} ".replace("%", "%%") for one in together]
            numbers = np.column_stack([one.values for one in together])
            is_there = ~np.isnan(numbers)
            lines = [f"{begin}%.10g{stamp}" for stamp in stamps for begin in begins]
            kept = "".join(compress(lines, is_there.ravel().tolist()))
            yield kept % tuple(numbers[is_there].tolist())
    yield "# EOF\n"


def _points(several: list[Series]) -> Iterator[list[Series]]:
    """The parts of each histogram: at each time all of them are written together."""
    made: dict[tuple[tuple[str, str], ...], list[Series]] = {}
    for one in several:
        made.setdefault(tuple(pair for pair in one.labels if pair[0] != "le"), []).append(one)
    yield from made.values()


def notation(values: Numbers) -> str:
    """A series as `promtool test rules` writes it: `0 1.5 _`."""
    return " ".join("_" if value != value else f"{value:.10g}" for value in values.tolist())


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
