"""Metrics from their serialised form. Only those that are wanted are parsed; others are only counted."""

from collections.abc import Iterator
from typing import Any, Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.metrics.v1.metrics_pb2 import HistogramDataPoint, Metric, NumberDataPoint

from collector.otlp import wire
from collector.otlp.points import MetricItem, Point
from collector.otlp.series import DataPoint
from watchkeeper.core.metric import Kind

_DATA: Final = frozenset((5, 7, 9, 10, 11))
"""gauge, sum, histogram, exponential histogram, summary: each holds its points as field 1"""


def count_points(raw: bytes, limit: int) -> tuple[str, int]:
    """
    A metric's name ("" when it is not UTF-8) and how many data points it has.

    :raises Malformed: broken
    :raises CountExceeded: more than `limit`
    """
    name, points = b"", 0
    for number, wire_type, start, end in wire.fields(raw, 0, len(raw)):
        if wire_type != wire.BYTES:
            continue
        if number == 1:
            name = raw[start:end]
        elif number in _DATA:
            for inner, _, _, _ in wire.fields(raw, start, end):
                points += inner == 1
                if points > limit:
                    raise wire.CountExceeded
    return name.decode(errors="ignore"), points


def read(raw: bytes) -> MetricItem | None:
    """None: it cannot be parsed."""
    try:
        parsed = Metric.FromString(raw)
    except DecodeError:
        return None
    data = parsed.WhichOneof("data")
    if data == "sum" and parsed.sum.is_monotonic:
        temporality: int = parsed.sum.aggregation_temporality
        return MetricItem(parsed.name, parsed.unit, Kind.COUNTER, temporality, _numbers(parsed.sum.data_points))
    if data == "histogram":
        temporality = parsed.histogram.aggregation_temporality
        points = _histograms(parsed.histogram.data_points)
        return MetricItem(parsed.name, parsed.unit, Kind.HISTOGRAM, temporality, points)
    if data == "exponential_histogram":
        temporality = parsed.exponential_histogram.aggregation_temporality
        points = _exponential(parsed.exponential_histogram.data_points)
        return MetricItem(parsed.name, parsed.unit, Kind.HISTOGRAM, temporality, points)
    others = getattr(parsed, data).data_points if data else ()
    return MetricItem(parsed.name, parsed.unit, Kind.GAUGE, 0, [Point({}, DataPoint(0, 0, 0, 0, None)) for _ in others])


def _numbers(points: Any) -> Iterator[Point]:
    point: NumberDataPoint
    for point in points:
        value = float(point.as_int) if point.WhichOneof("value") == "as_int" else point.as_double
        read = DataPoint(point.start_time_unix_nano, point.time_unix_nano, point.flags, 0, value)
        yield Point(_attributes(point.attributes), read)


def _histograms(points: Any) -> Iterator[Point]:
    point: HistogramDataPoint
    for point in points:
        read = DataPoint(
            point.start_time_unix_nano,
            point.time_unix_nano,
            point.flags,
            point.count,
            point.sum if point.HasField("sum") else None,
            tuple(point.explicit_bounds),
            tuple(point.bucket_counts),
        )
        yield Point(_attributes(point.attributes), read)


def _exponential(points: Any) -> Iterator[Point]:
    """Their buckets are not the metric's and move with time: taken as a count and a sum."""
    for point in points:
        total = point.sum if point.HasField("sum") else None
        read = DataPoint(point.start_time_unix_nano, point.time_unix_nano, point.flags, point.count, total)
        yield Point(_attributes(point.attributes), read)


def _attributes(pairs: Any) -> dict[str, object]:
    """Plain values; a structured one keeps its place in the identity of the series as text."""
    found: dict[str, object] = {}
    for pair in pairs:
        kind = pair.value.WhichOneof("value")
        value = getattr(pair.value, kind) if kind else None
        found[pair.key] = value if isinstance(value, str | bool | int | float) else str(value)
    return found
