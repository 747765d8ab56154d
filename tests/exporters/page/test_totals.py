import math
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.page.totals import Buckets, Estimate, bucket_increase, increase, merged, quantile
from watchkeeper.core.records import HistogramValue

BOUNDS = st.lists(st.floats(0.001, 100.0), min_size=1, max_size=12, unique=True).map(lambda held: tuple(sorted(held)))


@st.composite
def histograms(draw: st.DrawFn) -> Buckets:
    bounds = draw(BOUNDS)
    counts = draw(st.lists(st.integers(0, 1000), min_size=len(bounds) + 1, max_size=len(bounds) + 1))
    return Buckets(bounds, tuple(map(float, counts)))


def test_a_total_grows_by_the_difference() -> None:
    assert increase(3.0, 10.0) == 7.0


def test_a_total_that_fell_was_reset_and_counts_from_zero() -> None:
    assert increase(10.0, 4.0) == 4.0


def test_a_new_total_began_at_zero() -> None:
    assert increase(None, 5.0) == 5.0


def test_buckets_grow_by_the_difference() -> None:
    before = HistogramValue((1.0, 2.0), (1.0, 2.0, 3.0), 9.0)
    now = HistogramValue((1.0, 2.0), (1.0, 5.0, 4.0), 20.0)

    assert bucket_increase(before, now) == Buckets((1.0, 2.0), (0.0, 3.0, 1.0))


@pytest.mark.parametrize(
    "before",
    [
        None,
        HistogramValue((1.0, 2.0), (9.0, 0.0, 0.0), 1.0),  # reset
        HistogramValue((1.0, 3.0), (1.0, 0.0, 0.0), 0.0),  # other bounds
        HistogramValue((1.0,), (0.0, 0.0), 0.0),
    ],
)
def test_a_histogram_that_is_not_the_old_one_counts_from_zero(before: HistogramValue | None) -> None:
    now = HistogramValue((1.0, 2.0), (1.0, 5.0, 4.0), 20.0)

    assert bucket_increase(before, now) == Buckets((1.0, 2.0), (1.0, 5.0, 4.0))


@pytest.mark.parametrize(
    ("share", "counts", "expected"),
    [
        (0.5, (10.0, 0.0, 0.0, 0.0), 0.05),  # half way into the first bucket, which begins at 0
        (0.5, (0.0, 10.0, 0.0, 0.0), 0.15),  # half way from 0.1 to 0.2
        (0.9, (5.0, 3.0, 2.0, 0.0), 0.3),  # rank 9 of 10: one of the two between 0.2 and 0.4
        (0.95, (90.0, 5.0, 5.0, 0.0), 0.2),  # exactly at a bound
        (0.0, (0.0, 10.0, 0.0, 0.0), 0.0),
        (1.0, (0.0, 10.0, 0.0, 0.0), 0.2),
    ],
)
def test_a_quantile_lies_where_promql_puts_it(share: float, counts: tuple[float, ...], expected: float) -> None:
    estimate = quantile(share, Buckets((0.1, 0.2, 0.4), counts))

    assert estimate is not None
    assert estimate.value == pytest.approx(expected)
    assert not estimate.at_least


def test_a_quantile_above_every_bound_is_a_floor() -> None:
    assert quantile(0.95, Buckets((0.1, 0.2), (1.0, 0.0, 9.0))) == Estimate(0.2, at_least=True)


@pytest.mark.parametrize(
    "buckets", [Buckets((0.1,), (0.0, 0.0)), Buckets((), (5.0,)), Buckets((0.1,), (math.nan, 1.0))]
)
def test_nothing_observed_has_no_quantile(buckets: Buckets) -> None:
    assert quantile(0.5, buckets) is None


@given(histograms(), st.floats(0, 1), st.floats(0, 1))
@settings(deadline=None, max_examples=200)
def test_a_greater_share_never_has_a_smaller_quantile(buckets: Buckets, one: float, two: float) -> None:
    low, high = quantile(min(one, two), buckets), quantile(max(one, two), buckets)

    assert (low is None) == (high is None)
    if low is not None and high is not None:
        assert low.value <= high.value + 1e-9


@given(histograms(), st.floats(0, 1))
@settings(deadline=None, max_examples=200)
def test_a_quantile_lies_inside_the_bucket_that_holds_its_rank(buckets: Buckets, share: float) -> None:
    estimate = quantile(share, buckets)
    if estimate is None:
        return
    edges = (0.0, *buckets.bounds)
    cumulative = tuple(accumulate(buckets.counts))
    index = next(i for i, below in enumerate(cumulative) if below >= share * buckets.total)

    if index == len(buckets.bounds):
        assert estimate == Estimate(buckets.bounds[-1], at_least=True)
    else:
        assert edges[index] - 1e-9 <= estimate.value <= edges[index + 1] + 1e-9


def test_histograms_of_equal_bounds_add_up() -> None:
    assert merged([Buckets((1.0,), (1.0, 2.0)), Buckets((1.0,), (3.0, 4.0))]) == Buckets((1.0,), (4.0, 6.0))


def test_histograms_of_other_bounds_meet_on_the_bounds_of_both() -> None:
    together = merged([Buckets((1.0, 2.0), (4.0, 2.0, 1.0)), Buckets((0.5, 2.0), (1.0, 3.0, 0.0))])

    assert together.bounds == (0.5, 1.0, 2.0)
    assert together.counts == pytest.approx((3.0, 3.0, 4.0, 1.0))  # 3 between 0.5 and 2 are 1 up to 1.0 and 2 above


@given(st.lists(histograms(), min_size=1, max_size=4))
@settings(deadline=None, max_examples=100)
def test_merging_loses_no_observation(parts: list[Buckets]) -> None:
    together = merged(parts)

    assert together.total == pytest.approx(sum(part.total for part in parts))
    assert all(count >= 0 for count in together.counts)
    assert list(together.bounds) == sorted(set(together.bounds))


def test_merging_nothing_is_an_empty_histogram() -> None:
    assert merged([]).total == 0
