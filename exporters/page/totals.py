"""Totals since start become growth, and bucket counts become quantiles, by PromQL's rules. Pure functions."""

import math
from collections.abc import Iterable, Sequence
from itertools import accumulate

import msgspec

from watchkeeper.core.records import HistogramValue


class Buckets(msgspec.Struct, frozen=True):
    """Observations per bucket, not cumulative; `counts` one more than `bounds`, the last one up to +Inf."""

    bounds: tuple[float, ...]
    counts: tuple[float, ...]

    @property
    def total(self) -> float:
        return sum(self.counts)


class Estimate(msgspec.Struct, frozen=True):
    """A quantile. `at_least`: it lies above the highest bound, so that `value` is only a floor."""

    value: float
    at_least: bool = False


def increase(before: float | None, now: float) -> float:
    """How much a total grew. A total lower than before was reset and counts from 0; a new one started at 0."""
    return max(now, 0.0) if before is None or now < before else now - before


def bucket_increase(before: HistogramValue | None, now: HistogramValue) -> Buckets:
    """What a histogram took in since `before`; all of it when it was reset or its bounds changed."""
    kept = before is not None and before.bounds == now.bounds and len(before.counts) == len(now.counts)
    if before is None or not kept or any(new < old for old, new in zip(before.counts, now.counts, strict=True)):
        return Buckets(now.bounds, now.counts)
    return Buckets(now.bounds, tuple(new - old for old, new in zip(before.counts, now.counts, strict=True)))


def merged(parts: Iterable[Buckets]) -> Buckets:
    """
    Several histograms as one. Where bounds differ, the result has the bounds of all, and a count is spread evenly
    over its bucket, which is also what a quantile assumes.
    """
    sums: dict[tuple[float, ...], list[float]] = {}
    for part in parts:
        held = sums.get(part.bounds)
        if held is None:
            sums[part.bounds] = list(part.counts)
        else:
            sums[part.bounds] = [a + b for a, b in zip(held, part.counts, strict=True)]
    if len(sums) <= 1:
        return next((Buckets(bounds, tuple(counts)) for bounds, counts in sums.items()), Buckets((), (0.0,)))
    bounds = tuple(sorted({bound for known in sums for bound in known}))
    below = [sum(_below(known, counts, bound) for known, counts in sums.items()) for bound in bounds]
    total = sum(sum(counts) for counts in sums.values())
    steps = (b - a for a, b in zip([0.0, *below], [*below, total], strict=True))
    return Buckets(bounds, tuple(max(step, 0.0) for step in steps))


def quantile(share: float, buckets: Buckets) -> Estimate | None:
    """
    PromQL's `histogram_quantile`: even spread inside a bucket, the first one beginning at 0.

    :param share: in [0, 1]
    :returns: None when nothing was observed or there is no bound
    """
    total = buckets.total
    if not buckets.bounds or not total > 0 or not math.isfinite(total):
        return None
    rank = share * total
    cumulative = list(accumulate(buckets.counts))
    index = next((i for i, below in enumerate(cumulative[:-1]) if below >= rank), len(buckets.bounds))
    if index == len(buckets.bounds):
        return Estimate(buckets.bounds[-1], at_least=True)
    upper = buckets.bounds[index]
    if index == 0 and upper <= 0:
        return Estimate(upper)
    lower = buckets.bounds[index - 1] if index else 0.0
    held = buckets.counts[index]
    before = cumulative[index] - held
    inside = (rank - before) / held if held > 0 else 0.0
    return Estimate(lower + (upper - lower) * min(max(inside, 0.0), 1.0))


def _below(bounds: tuple[float, ...], counts: Sequence[float], limit: float) -> float:
    """Observations up to `limit`."""
    total = 0.0
    lower = min(0.0, bounds[0]) if bounds else 0.0
    for bound, count in zip(bounds, counts, strict=False):
        if limit >= bound:
            total += count
        else:
            return total + count * max(limit - lower, 0.0) / (bound - lower)
        lower = bound
    return total
