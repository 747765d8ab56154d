"""Running totals to increments: what a data point adds to the point before it of the same series."""

import math
from collections import OrderedDict
from itertools import pairwise
from typing import Final, NamedTuple

from collector.otlp import refusals

MAX_SERIES: Final = 20_000
MAX_DELTAS: Final = 20_000
"""points that bring only what is new, remembered so that one sent again is known"""
DELTA: Final = 1
CUMULATIVE: Final = 2
NO_RECORDED_VALUE: Final = 1
"""flag bit 0: the series has ended, the point has no value"""


class DataPoint(NamedTuple):
    """
    One point of a counter or histogram. Times in unix nanoseconds, 0 = not given.

    `counts` has one more entry than `bounds`; both are empty for a counter, and for a histogram without buckets.
    """

    start_ns: int
    time_ns: int
    flags: int
    observations: int
    total: float | None
    bounds: tuple[float, ...] = ()
    counts: tuple[float, ...] = ()


class Increment(NamedTuple):
    observations: float
    total: float
    bounds: tuple[float, ...]
    counts: tuple[float, ...]


class Ignored(Exception):  # noqa: N818 - an answer
    """The point is fine and brings nothing; `reason` is of IGNORED_REASONS."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Series:
    """
    Remembers the last point of each series; the one not heard of for longest goes first. Not thread-safe.

    The start time is part of what identifies a series, so that two replicas that carry the same attributes are not
    taken for one that restarts all the time.
    """

    def __init__(self, started_at: float) -> None:
        """:param started_at: unix seconds at which this process started"""
        self._started_ns = int(started_at * 1e9)
        self._last: OrderedDict[tuple[bytes, int], DataPoint] = OrderedDict()
        self._deltas: OrderedDict[tuple[bytes, int, int], None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._last) + len(self._deltas)

    def increment(self, key: bytes, point: DataPoint, temporality: int) -> Increment:
        """
        What is new.

        :raises Rejected: invalid_temporality or invalid_histogram
        :raises Ignored: stale, no_sum, duplicate, baseline or unchanged
        """
        if temporality not in (DELTA, CUMULATIVE):
            raise refusals.Rejected(refusals.INVALID_TEMPORALITY)
        if point.flags & NO_RECORDED_VALUE:
            raise Ignored(refusals.STALE)
        check(point)
        if temporality == DELTA:
            return self._delta(key, point)
        identity = (key, point.start_ns)
        last = self._last.pop(identity, None)
        if last is None and len(self._last) >= MAX_SERIES:
            self._last.popitem(last=False)
        self._last[identity] = point
        if last is None:
            if not point.start_ns or point.start_ns < self._started_ns:
                raise Ignored(refusals.BASELINE)
            return _new(point)
        if point.time_ns <= last.time_ns:
            self._last[identity] = last
            raise Ignored(refusals.DUPLICATE)
        return _new(_difference(point, last))

    def _delta(self, key: bytes, point: DataPoint) -> Increment:
        """Known again by its interval, in whatever order it comes."""
        interval = (key, point.start_ns, point.time_ns)
        if interval in self._deltas:
            raise Ignored(refusals.DUPLICATE)
        if len(self._deltas) >= MAX_DELTAS:
            self._deltas.popitem(last=False)
        self._deltas[interval] = None
        return _new(point)


def check(point: DataPoint) -> None:
    """
    :raises Rejected: a histogram that contradicts itself
    :raises Ignored: its sum is not given
    """
    counts, bounds = point.counts, point.bounds
    if (counts or bounds) and len(counts) != len(bounds) + 1:
        raise refusals.Rejected(refusals.INVALID_HISTOGRAM)
    if any(low >= high for low, high in pairwise(bounds)) or not all(map(math.isfinite, bounds)):
        raise refusals.Rejected(refusals.INVALID_HISTOGRAM)
    if point.total is None:
        raise Ignored(refusals.NO_SUM)
    if (
        not math.isfinite(point.total)
        or point.total < 0
        or point.observations < 0
        or any(count < 0 for count in counts)
    ):
        raise refusals.Rejected(refusals.INVALID_HISTOGRAM)


def _difference(point: DataPoint, last: DataPoint) -> DataPoint:
    """A total that fell has been reset: all of it is new. Buckets that changed: only the count and sum can be told."""
    before, after = last.total or 0.0, point.total or 0.0
    if point.observations < last.observations or after < before:
        return point
    if point.bounds != last.bounds or len(point.counts) != len(last.counts):
        return point._replace(
            observations=point.observations - last.observations, total=after - before, bounds=(), counts=()
        )
    counts = tuple(new - old for new, old in zip(point.counts, last.counts, strict=True))
    if any(count < 0 for count in counts):
        return point
    return point._replace(observations=point.observations - last.observations, total=after - before, counts=counts)


def _new(point: DataPoint) -> Increment:
    if not point.observations and not point.total:
        raise Ignored(refusals.UNCHANGED)
    counts = point.counts or (float(point.observations),)
    return Increment(float(point.observations), point.total or 0.0, point.bounds, counts)
