"""Data points of pushed metrics as both encodings hand them over, and what is new in them."""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from collector.otlp import refusals
from collector.otlp.origins import Origin
from collector.otlp.series import DataPoint, Ignored, Increment, Series
from collector.otlp.tally import Tally
from watchkeeper.core.metric import Kind

_MAX_ATTRIBUTES: Final = 128
_MAX_TOTAL: Final = 1e15
"""in the metric's own unit; more is no measurement, and twice 1e308 would make a total infinite for good"""


class Point(NamedTuple):
    attributes: dict[str, object]
    value: DataPoint


class MetricItem(NamedTuple):
    """One wanted metric with its points. `temporality` as in OTLP: 1 = delta, 2 = cumulative."""

    name: str
    unit: str
    kind: Kind
    temporality: int
    points: Iterable[Point]


class Reader:
    """
    Points to what they add, each once. Not thread-safe.

    A point that contradicts itself is rejected, one that brings nothing ignored: its neighbours are taken.
    """

    def __init__(self, started_at: float) -> None:
        """:param started_at: unix seconds"""
        self.series: Final = Series(started_at)

    def fresh(
        self, item: MetricItem, origin: Origin, kinds: tuple[Kind, ...], scale: float, tally: Tally, *, zeros: bool
    ) -> Iterator[tuple[Point, Increment]]:
        """
        :param kinds: that the metric may have
        :param scale: what its values are multiplied by to be in the unit of ours
        :param zeros: also counters that did not move, so that they exist
        """
        for point in item.points:
            try:
                if item.kind not in kinds or len(point.attributes) > _MAX_ATTRIBUTES:
                    raise refusals.Rejected(refusals.INVALID_HISTOGRAM)
                if abs(point.value.total or 0.0) * scale > _MAX_TOTAL:
                    raise refusals.Rejected(refusals.INVALID_HISTOGRAM)
                increment = self.series.increment(_identity(item, origin, point), point.value, item.temporality)
            except refusals.Rejected as why:
                tally.rejected[why.reason] += 1
            except Ignored as why:
                if zeros and why.reason == refusals.UNCHANGED and item.kind is Kind.COUNTER:
                    yield point, Increment(0.0, 0.0, (), ())
                else:
                    tally.ignored[why.reason] += 1
            else:
                yield point, increment


def _identity(item: MetricItem, origin: Origin, point: Point) -> bytes:
    """Of the series: who sent it, its name, and every attribute."""
    digest = hashlib.blake2b(digest_size=16)
    for part in (*origin, item.name, *(f"{name}={point.attributes[name]!r}" for name in sorted(point.attributes))):
        digest.update(part.encode("utf-8", "surrogatepass"))
        digest.update(b"\0")
    return digest.digest()
