import math
from fractions import Fraction

import numpy as np
import pytest

from detectors.drift.bands import (
    Band,
    clopper_pearson,
    design_effect,
    flag_band,
    incomplete_beta,
    mean_band,
)


def at_least(k: int, n: int, p: float) -> float:
    """P(X >= k) of a binomial, in exact arithmetic."""
    share = Fraction(p)
    return float(sum(math.comb(n, i) * share**i * (1 - share) ** (n - i) for i in range(k, n + 1)))


@pytest.mark.parametrize(("k", "n"), [(1, 7), (3, 50), (20, 60), (59, 60)])
def test_exact_limits_leave_half_a_percent_of_the_binomial_on_each_side(k: int, n: int) -> None:
    lo, hi = clopper_pearson(k, n)

    assert at_least(k, n, lo) == pytest.approx(0.005, rel=1e-6)
    assert 1 - at_least(k + 1, n, hi) == pytest.approx(0.005, rel=1e-6)


def test_without_an_event_the_limit_is_4_6_by_n_and_without_a_miss_its_mirror() -> None:
    assert clopper_pearson(0, 10_000)[1] == pytest.approx(4.6 / 10_000, rel=2e-3)
    assert clopper_pearson(500, 500) == pytest.approx((1 - clopper_pearson(0, 500)[1], 1.0))


@pytest.mark.parametrize(("k", "n"), [(2, 9), (40, 90)])
def test_the_incomplete_beta_is_the_binomial_tail(k: int, n: int) -> None:
    for p in (0.0, 0.01, 0.3, 0.77, 1.0):
        assert incomplete_beta(k, n - k + 1, p) == pytest.approx(at_least(k, n, p), abs=1e-12)


def test_the_incomplete_beta_holds_for_a_million_observations() -> None:
    lo, hi = clopper_pearson(20_000, 1_000_000)

    assert (lo, hi) == pytest.approx((0.0196412, 0.0203634), abs=1e-7)


def test_dependent_observations_count_for_fewer() -> None:
    assert flag_band(20, 1000, 4.0, 0.0).hi == pytest.approx(flag_band(5, 250, 1.0, 0.0).hi)
    narrow, wide = mean_band(0.5, 0.3, 1000, 1.0, 0.0), mean_band(0.5, 0.3, 1000, 4.0, 0.0)
    assert wide.hi - 0.5 == pytest.approx(2 * (narrow.hi - 0.5))


def test_tolerance_widens_each_side_and_limits_stay_within_0_and_1() -> None:
    plain, wide = flag_band(20, 1000, 1.0, 0.0), flag_band(20, 1000, 1.0, 0.002)

    assert (wide.lo, wide.hi) == pytest.approx((plain.lo - 0.002, plain.hi + 0.002))
    assert flag_band(0, 100, 1.0, 0.5).lo == 0.0
    assert flag_band(100, 100, 1.0, 0.5).hi == 1.0


@pytest.mark.parametrize(("lo", "hi"), [(0.3, 0.2), (-0.1, 0.2), (0.1, 1.1), (0.0, 0.0)])
def test_a_band_outside_0_to_1_is_refused(lo: float, hi: float) -> None:
    with pytest.raises(ValueError, match="0 <= lo < hi <= 1"):
        Band(lo, hi, 0.1, 0.0, 0.99, 1.0)


def test_the_design_effect_is_one_for_independent_values_and_the_session_length_for_copies() -> None:
    chance = np.random.default_rng(1)

    assert design_effect(chance.random(20_000)) == pytest.approx(1.0, abs=0.3)
    assert design_effect(np.repeat(chance.random(4_000), 10)) == pytest.approx(10.0, rel=0.3)
    assert design_effect(np.ones(1000)) == 1.0
