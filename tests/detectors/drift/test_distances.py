import numpy as np
import pytest

from detectors.drift import distances

UNIFORM = np.full(10, 100.0)


def test_known_windows_have_known_distances() -> None:
    window = np.array([200.0] * 5 + [0.0] * 5)

    assert distances.kolmogorov_smirnov(window, UNIFORM).value == pytest.approx(0.5)
    assert distances.auc(window, UNIFORM).value == pytest.approx(0.25)
    assert distances.jensen_shannon(window, UNIFORM).value == pytest.approx(0.3113, abs=1e-4)
    assert distances.psi(np.array([60.0, 40.0]), np.array([50.0, 50.0])).value == pytest.approx(0.1 * np.log(1.5))
    assert distances.wasserstein(window, UNIFORM, list(range(1, 10))) == pytest.approx(2.4 / 2.7203, rel=1e-3)


def test_nothing_moved_is_distance_zero_and_disjoint_is_one_bit() -> None:
    for distance in (distances.psi, distances.jensen_shannon, distances.kolmogorov_smirnov):
        assert distance(UNIFORM, UNIFORM).value == pytest.approx(0.0, abs=1e-12)
    assert distances.jensen_shannon(np.array([5.0, 0.0]), np.array([0.0, 5.0])).value == pytest.approx(1.0)


def test_an_empty_bin_does_not_make_psi_infinite() -> None:
    assert distances.psi(np.array([1000.0] + [0.0] * 9), UNIFORM).value < 10


def test_one_window_in_a_thousand_without_drift_exceeds_the_noise() -> None:
    chance = np.random.default_rng(1)
    p, windows = np.full(10, 0.1), chance.multinomial(2000, np.full(10, 0.1), 20_000).astype(float)
    reference = p * 1e9
    for distance, centre, tight in (
        (distances.psi, 0.0, 0.9),
        (distances.jensen_shannon, 0.0, 0.9),
        (distances.kolmogorov_smirnov, 0.0, 0.7),
        (distances.auc, 0.5, 0.9),
    ):
        found = [distance(window, reference) for window in windows[:6000]]
        over = np.mean([abs(one.value - centre) > one.noise for one in found])
        assert over <= 0.0025, distance.__name__
        assert np.quantile([abs(one.value - centre) for one in found], 0.999) > tight * found[0].noise


@pytest.mark.parametrize(("degrees", "exact"), [(1, 10.828), (4, 18.467), (9, 27.877), (63, 103.442)])
def test_the_quantile_of_chi_square_is_near_the_table(degrees: int, exact: float) -> None:
    assert distances.chi_square_999(degrees) == pytest.approx(exact, rel=0.01 if degrees >= 5 else 0.035)


def test_earth_movers_distance_of_constant_signals_is_zero() -> None:
    assert distances.wasserstein(np.array([5.0]), np.array([7.0]), []) == 0.0
    assert distances.wasserstein(np.array([0.0, 5.0]), np.array([7.0, 0.0]), [1.0]) == 0.0
