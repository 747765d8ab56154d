"""
KsanaLLM, which has no metrics page: it pushes OTLP/HTTP JSON with what is new since its last push.

A push sent again adds nothing. An interval that never came is a gap, and so is silence: an engine without work sends
nothing, so that silence does not tell whether it lives.
"""

import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from collector.otlp import values
from collector.otlp.attributes import Attributes
from collector.otlp.ksana_table import BY_NAME, NAME, Row, Take
from collector.otlp.observed import Observed
from collector.otlp.origins import Origin
from collector.otlp.points import MetricItem, Point, Reader
from collector.otlp.series import Increment
from collector.otlp.spans import labels_of, ordered, when
from collector.otlp.tally import Tally
from watchkeeper.core.metric import Kind, Metric
from watchkeeper.core.records import Distribution, Gap, Reason, Sample, SeriesKey, Vantage
from watchkeeper.core.vocabulary import engines, requests

_RANKED: Final = re.compile(r"(.+)_(\d{1,3})")
_NO_RANK: Final = ""
_KINDS: Final = (Kind.HISTOGRAM, Kind.COUNTER)

MAX_GAUGES: Final = 3000
"""three an engine"""
_MISSED_INTERVALS: Final = 2.5
"""without a push: the gauges of the last one are gone"""
_SHORTEST_SECONDS: Final = 10.0
_LONGEST_SECONDS: Final = 100.0
_FAR_ENOUGH: Final = 0.1
"""of the highest bound that our metric has: buckets that end below say nothing of what is slow"""
_HOLE_NS: Final = 1_000_000_000
"""between the end of one interval and the start of the next, what was counted never arrived"""


def wanted(name: str) -> bool:
    return bool(_rows(name)[0])


def _rows(name: str) -> tuple[tuple[Row, ...], str]:
    """The rows of a name, and its rank."""
    if rows := BY_NAME.get(name):
        return rows, _NO_RANK
    if ranked := _RANKED.fullmatch(name):
        return tuple(row for row in BY_NAME.get(ranked[1], ()) if row.take is Take.MEAN), ranked[2]
    return (), _NO_RANK


class _Gauge:
    """Where one gauge stood by rank, in the interval that ended at `time_ns`. Gone at `due`, unix seconds."""

    __slots__ = ("due", "means", "time_ns")

    def __init__(self) -> None:
        self.time_ns = 0
        self.due = 0.0
        self.means: dict[str, float] = {}

    def take(self, rank: str, mean: float, time_ns: int) -> float | None:
        """What it stands at with this mean; None: a newer interval is known."""
        if time_ns < self.time_ns:
            return None
        if time_ns > self.time_ns:
            self.means.clear()
            self.time_ns = time_ns
        self.means[rank] = mean
        ranks = [mean for rank, mean in self.means.items() if rank != _NO_RANK]
        return sum(ranks) if ranks else mean


class Ksana:
    """Not thread-safe. Bounded by MAX_GAUGES: the engine not heard of for longest is forgotten first."""

    def __init__(self, reader: Reader, attributes: Attributes) -> None:
        self._reader = reader
        self._attributes = attributes
        self._gauges: OrderedDict[SeriesKey, _Gauge] = OrderedDict()
        self._next_due = float("inf")

    def take(self, item: MetricItem, origin: Origin, tally: Tally, now: float) -> None:
        rows, rank = _rows(item.name)
        for point, increment in self._reader.fresh(item, origin, _KINDS, rows[0].scale, tally, zeros=True):
            labels = self._labels(point, origin)
            self._heard(point, labels, tally, now)
            for row in rows:
                sample = self._sample(row, rank, item.kind, point, increment, labels, now)
                if sample is not None:
                    tally.samples.append(sample)

    def silent(self, now: float) -> tuple[Gap, ...]:
        """The gauges of engines that have missed their pushes: where they stand is not known any more."""
        if now < self._next_due:
            return ()
        gone = [key for key, gauge in self._gauges.items() if now >= gauge.due]
        for key in gone:
            del self._gauges[key]
        self._next_due = min((gauge.due for gauge in self._gauges.values()), default=float("inf"))
        return tuple(Gap(metric, Reason.LOST, labels) for metric, labels in gone)

    def _heard(self, point: Point, labels: dict[str, str], tally: Tally, now: float) -> None:
        """Note that the engine lives, and whether a push before this one never came."""
        up = self._gauge(engines.ENGINE_UP, labels, point, now)
        if up.time_ns and point.value.start_ns > up.time_ns + _HOLE_NS:
            tally.gaps.append(Gap(engines.RECEIVED, Reason.LOST, ordered(engines.RECEIVED, labels)))
        if point.value.time_ns > up.time_ns:
            up.time_ns = point.value.time_ns
            tally.samples.append(_sample_of(engines.ENGINE_UP, 1.0, point, labels, now))

    def _sample(
        self, row: Row, rank: str, kind: Kind, point: Point, increment: Increment, labels: dict[str, str], now: float
    ) -> Sample | None:
        """None: the point says nothing for this row."""
        labels = {**labels, **dict(row.constants)}
        if row.take is Take.SUM or (row.take is Take.COUNT and kind is Kind.COUNTER):
            return _sample_of(row.metric, increment.total, point, labels, now)
        if row.take is Take.COUNT:
            return _sample_of(row.metric, increment.observations, point, labels, now)
        if kind is not Kind.HISTOGRAM or not increment.observations:
            return None
        if row.take is Take.MEAN:
            gauge = self._gauge(row.metric, labels, point, now)
            stands = gauge.take(rank, increment.total / increment.observations, point.value.time_ns)
            return None if stands is None else _sample_of(row.metric, stands, point, labels, now)
        many = _distribution(row, increment)
        if row.phase and not many.bounds:
            return _sample_of(engines.WORK_TIME, many.sum, point, {**labels, "phase": row.phase}, now)
        labels[requests.VANTAGE] = (Vantage.ENGINE if many.bounds else Vantage.TOTALS).value
        return _sample_of(row.metric, many, point, labels, now)

    def _gauge(self, metric: Metric, labels: dict[str, str], point: Point, now: float) -> _Gauge:
        key = (metric, ordered(metric, labels))
        gauge = self._gauges.pop(key, None)
        if gauge is None:
            gauge = _Gauge()
            if len(self._gauges) >= MAX_GAUGES:
                self._gauges.popitem(last=False)
        self._gauges[key] = gauge
        interval = (point.value.time_ns - point.value.start_ns) / 1e9
        gauge.due = now + _MISSED_INTERVALS * min(max(interval, _SHORTEST_SECONDS), _LONGEST_SECONDS)
        self._next_due = min(self._next_due, gauge.due)
        return gauge

    def _labels(self, point: Point, origin: Origin) -> dict[str, str]:
        """
        What the operator names under `setting.profiler.attributes` stands on the resource and on every point; usual
        are an `instance` and a `container_name`.
        """
        given = point.attributes
        found = self._attributes.pairs(given.items())
        labels = labels_of(Observed(b"", b"", b"", "", 0, 0, 0, found), "", origin)
        labels["gen_ai.provider.name"] = NAME
        if not labels["gen_ai.request.model"]:
            labels["gen_ai.request.model"] = _text(given, "model_name") or _text(given, "model")
        if not labels["server.address"]:
            labels["server.address"], labels["server.port"] = _address(_text(given, "instance") or origin.address)
        labels["k8s.pod.name"] = labels["k8s.pod.name"] or _text(given, "container_name") or origin.container
        return labels


def _distribution(row: Row, increment: Increment) -> Distribution:
    """In our unit; without buckets where the highest one is far below what is usual."""
    total = increment.total * row.scale
    bounds = tuple(bound * row.scale for bound in increment.bounds)
    if not bounds or (row.take is Take.DURATIONS and bounds[-1] < _FAR_ENOUGH * row.metric.buckets[-1]):
        return Distribution((), (increment.observations,), total)
    return Distribution(bounds, tuple(map(float, increment.counts)), total)


def _sample_of(metric: Metric, value: float | Distribution, point: Point, labels: dict[str, str], now: float) -> Sample:
    return Sample(metric, value, when(point.value.time_ns, now), ordered(metric, labels))


def _text(given: Mapping[str, object], name: str) -> str:
    """An attribute as a name, "" when it is none."""
    text = values.text(given.get(name))
    return text if isinstance(text, str) else ""


def _address(instance: str) -> tuple[str, str]:
    """Host and port of `host`, `host:port` or an IPv6 address."""
    if instance.count(":") > 1 and not instance.startswith("["):
        return instance, ""
    host, port = values.address(f"//{instance}")
    return (host, port) if host else (instance, "")
