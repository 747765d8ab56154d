import numpy as np
import pytest

from detectors.drift.pit import mid_ranks, values


@pytest.mark.parametrize("counts", [np.ones(64), np.array([5.0, 0.0, 1.0, 94.0]), np.array([3.0])])
def test_the_mean_mid_rank_of_the_reference_is_one_half_whatever_its_shape(counts: np.ndarray) -> None:
    assert mid_ranks(counts) @ counts / counts.sum() == pytest.approx(0.5)


def test_the_spread_of_a_reference_is_one_half_only_where_no_value_is_frequent() -> None:
    even, lumpy = np.ones(64), np.array([10.0, 80.0, 10.0])

    assert values(even)["spread"] @ even / 64 == pytest.approx(0.5)
    assert values(lumpy)["spread"] @ lumpy / 100 == pytest.approx(0.18)
