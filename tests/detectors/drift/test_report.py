import itertools
import math

import numpy as np
import pytest

from detectors.drift.bands import Band
from detectors.drift.rate import Score, table, weights
from detectors.drift.report import PeriodEvidence, drifted

SCORE = Score("rate", np.array([0.0, 1.0]), Band(0.01, 0.02, 0.015, 0.0, 0.99, 1.0))


def values(p: float, runs: int, ticks: int, seed: int, quiet: float = 0.0) -> np.ndarray:
    """Logarithms of the e-values of periods; a share of the ticks has no observations."""
    chance = np.random.default_rng(seed)
    bets, found = table(SCORE), []
    for _ in range(runs):
        evidence = PeriodEvidence(weights(SCORE.band), ticks)
        for up in chance.binomial(50, p, ticks).tolist():
            if chance.random() >= quiet:
                evidence.tick(np.array([50.0 - up, up]) @ bets)
        found.append(evidence.log_value)
    return np.array(found)


@pytest.mark.parametrize("quiet", [0.0, 0.7])
def test_the_mean_of_an_e_value_is_at_most_one_at_the_edge_of_the_band(quiet: float) -> None:
    found = np.exp(values(0.02, 400, 60, seed=1, quiet=quiet))

    assert found.mean() <= 1 + 3.1 * found.std() / math.sqrt(found.size)


def test_the_mean_is_at_most_one_where_traffic_ends_as_soon_as_it_looks_bad() -> None:
    """All 256 paths of 8 ticks that halve or raise by half. By the ticks that came it would exceed 1."""
    total = 0.0
    for path in itertools.product((0.5, 1.5), repeat=8):
        evidence, recent = PeriodEvidence(np.full(20, 0.05), 8), 0.0
        for number, factor in enumerate(path):
            evidence.tick(np.full(20, math.log(factor)))
            recent = (recent + 1) * factor
            if recent > 1.2 * (number + 1):
                break
        total += math.exp(evidence.log_value) / 256

    assert total <= 1 + 1e-9


def test_a_period_without_observations_is_no_evidence() -> None:
    assert PeriodEvidence(weights(SCORE.band), 10).log_value <= 0.0


def test_a_change_that_was_over_within_the_period_is_evidence() -> None:
    evidence = PeriodEvidence(weights(SCORE.band), 200)
    for number in range(200):
        up = 6.0 if 80 <= number < 90 else 0.5
        evidence.tick(np.array([50.0 - up, up]) @ table(SCORE))

    assert evidence.log_value > math.log(1000)


def test_a_period_takes_no_more_ticks_than_it_has() -> None:
    evidence = PeriodEvidence(weights(SCORE.band), 1)
    evidence.tick(np.zeros(20))

    with pytest.raises(ValueError, match="1 ticks"):
        evidence.tick(np.zeros(20))


def test_the_list_holds_the_segments_that_moved_and_few_others() -> None:
    quiet, moved = values(0.02, 40, 60, seed=2), values(0.06, 10, 60, seed=3)

    listed = drifted([*quiet.tolist(), *moved.tolist()], level=0.1)

    assert set(listed) >= set(range(40, 50))
    assert len(listed) <= 12


def test_the_rule_of_the_list_is_k_largest_above_total_by_level_k() -> None:
    assert drifted([math.log(x) for x in (50, 1, 14, 20)], level=0.1) == [0, 3, 2]
    assert drifted([math.log(x) for x in (50, 1, 13, 19)], level=0.1) == [0]
    assert drifted([math.log(x) for x in (39, 1, 1, 1)], level=0.1) == []
    assert drifted([]) == []


def test_an_e_value_beyond_every_float_stays_a_number() -> None:
    evidence = PeriodEvidence(weights(SCORE.band), 100)
    for _ in range(100):
        evidence.tick(np.array([0.0, 1000.0]) @ table(SCORE))

    assert math.isfinite(evidence.log_value)
