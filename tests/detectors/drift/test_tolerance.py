import numpy as np

from detectors.drift.bands import Floats, mean_band
from detectors.drift.kinds import Kind
from detectors.drift.packs import build
from detectors.drift.pit import values
from detectors.drift.rate import Score
from detectors.drift.tolerance import least, ticks

RANKS = values(np.ones(64))["location"]


def chosen(sequence: Floats) -> float:
    """The tolerance for ranks in order of time."""
    found = np.minimum((sequence * 64).astype(np.int64), 63)

    def banded(width: float) -> dict[str, Score]:
        return {"all": Score("location", RANKS, mean_band(0.5, 0.29, found.size, 1.0, width))}

    return least(0.02, banded, ticks(found, ["all"] * found.size, 64))


def test_independent_observations_ask_for_no_more_than_the_floor() -> None:
    assert chosen(np.random.default_rng(1).random(20_000)) == 0.02


def test_a_reference_that_wanders_asks_for_what_keeps_its_own_replay_quiet() -> None:
    """Means of 500 observations in a row swing by 0.1 on each side: the band has to reach about as far."""
    chance = np.random.default_rng(2)
    shift = 0.1 * np.sign(np.sin(np.arange(20_000) / 500 * np.pi))

    assert 0.05 < chosen(np.clip(chance.random(20_000) * 0.8 + 0.1 + shift, 0, 0.999)) <= 0.11


def test_a_wandering_that_evidence_averages_away_asks_for_less_than_its_size() -> None:
    chance = np.random.default_rng(3)
    shift = 0.1 * np.sign(np.sin(np.arange(20_000) / 25 * np.pi))

    assert chosen(np.clip(chance.random(20_000) * 0.8 + 0.1 + shift, 0, 0.999)) <= 0.05


def test_what_nothing_can_keep_quiet_gets_the_most() -> None:
    assert chosen(np.repeat([0.0, 0.999], 5000)) >= 0.4


def test_a_tick_never_holds_two_strata() -> None:
    found = ticks(np.zeros(130, dtype=np.int64), ["a"] * 70 + ["b"] * 60, 2)

    assert [(key, int(counts.sum())) for key, counts in found] == [("a", 50), ("a", 20), ("b", 50), ("b", 10)]


def test_a_flag_that_comes_in_bursts_gets_more_than_one_that_does_not() -> None:
    chance = np.random.default_rng(4)
    steady = (chance.random(20_000) < 0.05).astype(float)
    bursts = (chance.random(20_000) < np.repeat(chance.choice([0.0, 0.25], 40, p=[0.8, 0.2]), 500)).astype(float)
    plain, wild = (build("x", Kind.FLAG, one, made_at=0.0).strata["all"].bands["rate"] for one in (steady, bursts))

    assert plain.tolerance < 0.006
    assert wild.tolerance > 3 * plain.tolerance


def test_a_reference_of_a_day_asks_for_more_than_what_kept_that_very_day_quiet() -> None:
    chance = np.random.default_rng(5)
    level = np.repeat(chance.normal(0, 0.15, 60), 600)
    values = level + chance.standard_normal(level.size)
    hour, day = (
        build("x", Kind.NUMBER, values, made_at=0.0, times=np.linspace(0, hours * 3600, values.size))
        .strata["all"]
        .bands["location"]
        .tolerance
        for hours in (1, 24)
    )

    assert day > 1.1 * hour


def test_independent_observations_of_a_day_ask_for_no_more_than_the_floor() -> None:
    values = np.random.default_rng(6).random(40_000)
    pack = build("x", Kind.NUMBER, values, made_at=0.0, times=np.linspace(0, 86_400, values.size))

    assert {band.tolerance for band in pack.strata["all"].bands.values()} == {0.02}
