"""Samples to series: the totals since start that exporters carry away. One thread owns an Aggregate."""

import logging
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from math import inf, isfinite
from operator import itemgetter
from typing import Final, TypeVar

from watchkeeper.core.labels import ENUMERATED, OTHER, LabelBounds, clean
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.metric import Kind, Metric
from watchkeeper.core.records import (
    Completion,
    Distribution,
    Exemplar,
    Gap,
    HistogramValue,
    Labels,
    Point,
    Sample,
    SeriesKey,
)
from watchkeeper.core.vocabulary import health

GAUGE_IDLE_SECONDS: Final = 300.0
"""a gauge nobody has set for so long is gone, not frozen"""
SERIES_IDLE_SECONDS: Final = 86_400.0
"""a counter or histogram nobody has added to for so long makes room"""
_KNOWN_SIZES: Final = 4_096
"""sizes below it have their buckets kept"""


Observation = tuple[float, float, bytes, bytes]
"""value, unix seconds, trace and span; the ids are empty where nothing is to be shown of it"""


class CounterSeries:
    __slots__ = ("_changed", "dirty", "is_counter", "labels", "metric", "touched_at", "value")

    def __init__(self, metric: Metric, labels: Labels, changed: "list[Series]") -> None:
        self.metric = metric
        self.is_counter = metric.kind is Kind.COUNTER
        self.labels = labels
        self.value = 0.0
        self.touched_at = 0.0
        self.dirty = False
        self._changed = changed

    def add(self, amount: float, at: float) -> None:
        self.value += amount
        self.touched_at = at  # as `touch` does, without the call: this is the hot path
        if not self.dirty:
            self.dirty = True
            self._changed.append(self)

    def set(self, value: float, at: float) -> None:
        self.value = value
        self.touched_at = at
        if not self.dirty:
            self.dirty = True
            self._changed.append(self)

    def touch(self, at: float) -> None:
        self.touched_at = at
        if not self.dirty:
            self.dirty = True
            self._changed.append(self)

    def point(self) -> Point:
        return Point(self.metric, self.labels, self.value)


class HistogramSeries:
    __slots__ = ("_changed", "bounds", "counts", "dirty", "exemplars", "labels", "metric", "sum", "touched_at")

    def __init__(self, metric: Metric, labels: Labels, changed: "list[Series]") -> None:
        self.metric = metric
        self.labels = labels
        self.bounds = metric.buckets
        self.counts: list[float] = [0] * (len(self.bounds) + 1)
        self.exemplars: dict[int, Observation] = {}
        """the newest by bucket"""
        self.sum = 0.0
        self.touched_at = 0.0
        self.dirty = False
        self._changed = changed

    def observe(self, value: float, at: float, trace_id: bytes = b"", span_id: bytes = b"") -> None:
        bucket = bisect_left(self.bounds, value)
        self.counts[bucket] += 1
        self.sum += value
        if trace_id:
            self.exemplars[bucket] = (value, at, trace_id, span_id)
        self.touch(at)

    def count_all(self, sizes: Sequence[int], total: int, at: float) -> None:
        """Whole numbers, of which none is shown. :param total: their sum"""
        bounds, counts, known = self.bounds, self.counts, _buckets_of_sizes(self.bounds)
        for size in sizes:
            counts[known[size] if 0 <= size < _KNOWN_SIZES else bisect_left(bounds, size)] += 1
        self.sum += total
        self.touch(at)

    def merge(self, many: Distribution, at: float) -> None:
        """Add observations that came already bucketed. On other bounds than held, a fresh series takes those."""
        if many.bounds != self.bounds:
            if any(self.counts):
                many = _rebucket(many, self.bounds)
            else:
                self.bounds = many.bounds
                self.counts = [0] * len(many.counts)
        for bucket, count in enumerate(many.counts):
            self.counts[bucket] += count
        self.sum += many.sum
        self.touch(at)

    def touch(self, at: float) -> None:
        self.touched_at = at
        if not self.dirty:
            self.dirty = True
            self._changed.append(self)

    def point(self) -> Point:
        exemplars: tuple[Exemplar | None, ...] = ()
        if self.exemplars:
            kept = map(self.exemplars.get, range(len(self.counts)))
            exemplars = tuple(Exemplar(*newest) if newest else None for newest in kept)
        return Point(self.metric, self.labels, HistogramValue(self.bounds, tuple(self.counts), self.sum, exemplars))


class Twins:
    """Histograms that take the same values, each on bounds of its own: a value's place is looked up once for all."""

    __slots__ = ("_bounds", "_twins")

    def __init__(self, *series: HistogramSeries) -> None:
        """:param series: each observes at once, so that nobody else sets its bounds later"""
        self._bounds = tuple(sorted({bound for one in series for bound in one.bounds}))
        uppers = (*self._bounds, inf)
        self._twins = tuple((one, tuple(bisect_left(one.bounds, upper) for upper in uppers)) for one in series)
        """each with its own bucket for every bucket between the bounds of all"""

    def observe_all(self, values: Sequence[float | None], calls: Sequence[Completion], at: float) -> None:
        """
        The hot path. Of each bucket the last value is shown, unless its call has no trace.

        :param values: one a call, None where it has none
        :param at: unix seconds
        """
        bounds = self._bounds
        counts = [0] * (len(bounds) + 1)
        newest: dict[int, int] = {}
        total = 0.0
        for index, value in enumerate(values):
            if value is not None:
                bucket = bisect_left(bounds, value)
                counts[bucket] += 1
                total += value
                newest[bucket] = index
        for series, _ in self._twins:
            series.sum += total
            series.touch(at)
        for bucket, index in sorted(newest.items(), key=itemgetter(1)):  # one bucket of a twin may be several of these
            value, call = values[index], calls[index]
            for series, buckets in self._twins:
                own = buckets[bucket]
                series.counts[own] += counts[bucket]
                if call.trace_id and value is not None:
                    series.exemplars[own] = (value, call.at, call.trace_id, call.span_id)


@lru_cache(maxsize=16)
def _buckets_of_sizes(bounds: tuple[float, ...]) -> Sequence[int]:
    """Of those from 0 on: to compare a whole number with floats takes longer than all else that is done with it."""
    return [bisect_left(bounds, size) for size in range(_KNOWN_SIZES)]


_LOG = logging.getLogger("watchkeeper.aggregate")
_HEALTH: Final = frozenset(health.METRICS)

Series = CounterSeries | HistogramSeries
SeriesType = TypeVar("SeriesType", CounterSeries, HistogramSeries)


class Aggregate:
    """
    Every series held, by metric and bounded labels. `changed()` hands over what moved since the last call.

    Past `max_series` a new series is folded into one whose labels are `other`, and past `max_values_per_label` a value,
    so that totals stay whole; a gauge, which cannot be folded, is left out. watchkeeper's own health is always
    admitted.

    `generation` rises whenever series were removed: whoever keeps a series at hand looks it up again then.
    """

    def __init__(self, ledger: Ledger, *, max_series: int, max_values_per_label: int) -> None:
        self.generation = 0
        self._ledger = ledger
        self._max_series = max_series
        self._bounds = LabelBounds(max_values_per_label)
        self._series: dict[SeriesKey, Series] = {}
        self._by_raw: dict[SeriesKey, Series] = {}
        self._changed: list[Series] = []
        self._gone: list[SeriesKey] = []
        self._full = False
        self._folded: set[int] = set()
        """hashes of series that were folded: those that come again are not told anew"""
        ledger.add(health.SERIES_FOLDED, 0)

    def counter(self, metric: Metric, labels: Labels) -> CounterSeries:
        """The series of a counter or gauge."""
        return self._find(metric, labels, CounterSeries)

    def histogram(self, metric: Metric, labels: Labels) -> HistogramSeries:
        return self._find(metric, labels, HistogramSeries)

    def apply_all(self, samples: Iterable[Sample]) -> None:
        """Fold samples in. A number that cannot be right is left out and counted."""
        by_raw, changed = self._by_raw, self._changed
        for sample in samples:
            value = sample.value
            series = by_raw.get((sample.metric, sample.labels))
            if type(series) is not CounterSeries or type(value) is not float or not isfinite(value):
                self.apply(sample)
                continue
            if (
                not series.is_counter
            ):  # from here as `set` and `add` do, without the call: nearly all, hundreds a second
                series.value = value
            elif value >= 0:
                series.value += value
            else:
                self._invalid(sample)
                continue
            series.touched_at = sample.at
            if not series.dirty:
                series.dirty = True
                changed.append(series)

    def apply(self, sample: Sample) -> None:
        """As `apply_all`, for one."""
        value = sample.value
        if isinstance(value, Distribution):
            if _sane(value):
                self.histogram(sample.metric, sample.labels).merge(value, sample.at)
            else:
                self._invalid(sample)
        elif not isfinite(value) or (value < 0 and sample.metric.kind is Kind.COUNTER):
            self._invalid(sample)
        elif sample.metric.kind is Kind.HISTOGRAM:
            self.histogram(sample.metric, sample.labels).observe(value, sample.at)
        elif sample.metric.kind is Kind.COUNTER:
            self.counter(sample.metric, sample.labels).add(value, sample.at)
        else:
            self.counter(sample.metric, sample.labels).set(value, sample.at)

    def forget(self, *gaps: Gap) -> None:
        """
        The gauges that gaps name go stale at once. A counter named as one series goes in minutes unless it is added to:
        what it counted last is still carried away. Many at a time: each call walks all series.
        """
        gone: dict[SeriesKey, None] = {}
        named: defaultdict[Metric, list[set[tuple[str, str]]]] = defaultdict(list)
        for gap in gaps:
            is_gauge = gap.metric.kind is Kind.GAUGE
            if not is_gauge and not gap.is_one_series:
                continue
            labels = tuple((name, clean(value)) for name, value in gap.labels if value)
            if not gap.is_one_series:
                named[gap.metric].append(set(labels))
            elif series := self._by_raw.get((gap.metric, gap.labels)) or self._series.get((gap.metric, labels)):
                if is_gauge:
                    gone[(series.metric, series.labels)] = None
                elif series.labels == labels:  # one that others were folded into is theirs too
                    series.touched_at -= SERIES_IDLE_SECONDS - GAUGE_IDLE_SECONDS
        if named:
            gone |= {key: None for key in self._series if any(part.issubset(key[1]) for part in named.get(key[0], ()))}
        self._remove([key for key in gone if key in self._series])

    def sweep(self, now: float) -> None:
        """Remove what nobody has touched for long, and let its label values go."""
        idle = [
            key
            for key, series in self._series.items()
            if now - series.touched_at > (GAUGE_IDLE_SECONDS if key[0].kind is Kind.GAUGE else SERIES_IDLE_SECONDS)
        ]
        if idle:
            self._remove(idle)
            self._full = len(self._series) >= self._max_series
            self._bounds.retain(pair for _, labels in self._series for pair in labels)

    def changed(self) -> tuple[tuple[Point, ...], tuple[SeriesKey, ...]]:
        """Points that moved and series that went, since the last call."""
        points = tuple(series.point() for series in self._changed)
        for series in self._changed:
            series.dirty = False
        self._changed.clear()
        gone, self._gone = tuple(self._gone), []
        return points, gone

    def label_values(self) -> dict[str, int]:
        return self._bounds.sizes()

    def __len__(self) -> int:
        return len(self._series)

    def _find(self, metric: Metric, labels: Labels, make: type[SeriesType]) -> SeriesType:
        raw = (metric, labels)
        series = self._by_raw.get(raw)
        if series is None:
            series = self._admit(metric, labels, make)
        if not isinstance(series, make):
            raise TypeError(f"{metric.name} is a {metric.kind}")
        return series

    def _admit(self, metric: Metric, labels: Labels, make: type[SeriesType]) -> Series:
        named = tuple((name, clean(value)) for name, value in labels if value)
        bounded = tuple((name, self._bounds.admit(name, value)) for name, value in named)
        if bounded != named and self._is_news(metric, labels):
            self._count_overflow(named, bounded)
        key = (metric, labels if bounded == labels else bounded)  # one tuple for both: a node has thousands
        if metric.kind is Kind.GAUGE and key[1] != named:  # `other` would be whichever came last
            return make(metric, key[1], [])
        series = self._series.get(key)
        if series is None and self._is_full(metric):
            if self._is_news(metric, labels):
                self._ledger.add(health.SERIES_FOLDED)
            if metric.kind is Kind.GAUGE:
                return make(metric, key[1], [])
            key = (metric, tuple((name, value if name in ENUMERATED else OTHER) for name, value in key[1]))
            series = self._series.get(key)
        if series is None:
            series = self._series[key] = make(metric, key[1], self._changed)
        if len(self._by_raw) >= 4 * self._max_series:
            self._by_raw.clear()
        self._by_raw[(metric, labels)] = series
        return series

    def _is_full(self, metric: Metric) -> bool:
        if len(self._series) < self._max_series or metric in _HEALTH:
            return False
        if not self._full:
            self._full = True
            _LOG.warning(
                "limits.max_series: %d series are held; further label values count under `other`. Raise it, or lower "
                "the number of services, models, pods or tenants that report here",
                self._max_series,
            )
        return True

    def _is_news(self, metric: Metric, labels: Labels) -> bool:
        """
        Whether this series was not folded before. A gauge that is left out comes again at each reading, a counter when
        what it is folded into was forgotten. Where many more are folded than may be held, some are news again.
        """
        known = hash((metric, labels))
        if known in self._folded:
            return False
        if len(self._folded) >= 4 * self._max_series:
            self._folded.clear()
        self._folded.add(known)
        return True

    def _count_overflow(self, named: Labels, bounded: Labels) -> None:
        for (name, value), (_, admitted) in zip(named, bounded, strict=True):
            if admitted != value:
                self._ledger.add(health.LABEL_OVERFLOW, 1, (("label", name),))

    def _remove(self, keys: Sequence[SeriesKey]) -> None:
        if not keys:
            return
        removed = {id(self._series.pop(key)) for key in keys}
        self._by_raw = {raw: series for raw, series in self._by_raw.items() if id(series) not in removed}
        self._changed[:] = [series for series in self._changed if id(series) not in removed]
        self._gone.extend(keys)
        self.generation += 1

    def _invalid(self, sample: Sample) -> None:
        self._ledger.add(health.INVALID_VALUES, 1, (("source", "pipeline"), ("field", sample.metric.name)))


def _sane(many: Distribution) -> bool:
    return (
        len(many.counts) == len(many.bounds) + 1
        and isfinite(many.sum)
        and all(isfinite(count) and count >= 0 for count in many.counts)
        and all(low < high for low, high in zip(many.bounds, many.bounds[1:], strict=False))
    )


def _rebucket(many: Distribution, bounds: tuple[float, ...]) -> Distribution:
    """Each bucket goes where its upper bound falls: never below its true place, sum and count exact."""
    counts = [0.0] * (len(bounds) + 1)
    for bucket, count in enumerate(many.counts):
        upper = many.bounds[bucket] if bucket < len(many.bounds) else float("inf")
        counts[bisect_left(bounds, upper)] += count
    return Distribution(bounds, tuple(counts), many.sum)
