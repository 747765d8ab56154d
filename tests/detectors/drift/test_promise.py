"""
The promise, counted: while the mean of a score stays in its band, T ticks hold at most T / A expected alarms.

Every null stands at the very edge of its band, where the bound is tightest. A count fails only beyond the 99.9 %
quantile of a Poisson variable with the promised mean: alarms of one run are spread more evenly than that.
"""

import math
from collections.abc import Callable

import numpy as np
import pytest

from detectors.drift.bands import Band, Floats
from detectors.drift.pit import values as pit_values
from detectors.drift.ranks import Bag, grow
from detectors.drift.rate import TRACKS, Score, Tracks, table, weights

HORIZON = 400.0
FLAG = np.array([0.0, 1.0])
Draw = Callable[[np.random.Generator, int], Floats]
"""counts per bin of one tick in each run"""


def band(lo: float, hi: float) -> Band:
    return Band(lo, hi, (lo + hi) / 2, 0.0, 0.99, 1.0)


def poisson_limit(mean: float) -> int:
    """99.9 % quantile (normal, with the correction for skewness)."""
    return math.ceil(mean + 3.09 * math.sqrt(mean) + (3.09**2 - 1) / 6)


def binomial_limit(n: int, p: float) -> int:
    """99.9 % quantile."""
    return math.ceil(n * p + 3.09 * math.sqrt(n * p * (1 - p)) + (3.09**2 - 1) / 6)


def alarms(
    score: Score, draw: Draw, runs: int, ticks: int, seed: int, shares: int = 1, horizon: float = HORIZON
) -> tuple[int, int]:
    """Alarms of all runs, and runs with one within the first tenth of the horizon."""
    chance = np.random.default_rng(seed)
    tracks = Tracks(np.full(runs, horizon * shares), np.tile(weights(score.band), (runs, 1)))
    bets = table(score)
    early = np.zeros(runs, dtype=bool)
    count = 0
    for number in range(ticks):
        counts = draw(chance, runs)
        fired = tracks.tick(slice(None), counts @ bets, counts @ score.values, counts.sum(axis=1), float(number))
        count += int(fired.sum())
        if number < horizon / 10:
            early |= fired
    return count, int(early.sum())


def flags(p: float, per_tick: int) -> Draw:
    def draw(chance: np.random.Generator, runs: int) -> Floats:
        up = chance.binomial(per_tick, p, runs)
        return np.stack([per_tick - up, up], axis=1).astype(np.float64)

    return draw


def shares(p: Floats, per_tick: int) -> Draw:
    return lambda chance, runs: chance.multinomial(per_tick, p, runs).astype(np.float64)


def tilted(score: Floats, mean: float, base: Floats) -> Floats:
    """The base distribution over bins, tilted until its mean score is as wanted."""
    lo, hi = -60.0, 60.0
    for _ in range(80):
        middle = (lo + hi) / 2
        p = base * np.exp(middle * (score - 0.5))
        p /= p.sum()
        lo, hi = (middle, hi) if p @ score < mean else (lo, middle)
    return np.asarray(p)


BINS = (np.arange(64) + 0.5) / 64
BETA = BINS**1 * (1 - BINS) ** 4 / (BINS**1 * (1 - BINS) ** 4).sum()
BETA_MEAN = float(BETA @ BINS)
RANKS = pit_values(np.ones(64))

EDGES: dict[str, tuple[Score, Draw]] = {
    "0.05% x 1, upper": (Score("rate", FLAG, band(0.0, 0.0005)), flags(0.0005, 1)),
    "0.2% x 10, upper": (Score("rate", FLAG, band(0.0005, 0.002)), flags(0.002, 10)),
    "0.2% x 10, lower": (Score("rate", FLAG, band(0.002, 0.006)), flags(0.002, 10)),
    "2% x 100, upper": (Score("rate", FLAG, band(0.015, 0.02)), flags(0.02, 100)),
    "2% x 100, lower": (Score("rate", FLAG, band(0.02, 0.03)), flags(0.02, 100)),
    "beta x 20": (Score("rate", BINS, band(BETA_MEAN - 0.05, BETA_MEAN)), shares(BETA, 20)),
    "location x 20": (
        Score("location", RANKS["location"], band(0.48, 0.52)),
        shares(tilted(RANKS["location"], 0.52, np.ones(64) / 64), 20),
    ),
    "spread x 20": (
        Score("spread", RANKS["spread"], band(0.48, 0.52)),
        shares(tilted(RANKS["spread"], 0.48, np.ones(64) / 64), 20),
    ),
}


@pytest.mark.parametrize("name", EDGES)
def test_alarms_at_the_edge_of_the_band_stay_under_the_bound(name: str) -> None:
    score, draw = EDGES[name]
    runs, ticks = 200, 2400

    count, early = alarms(score, draw, runs, ticks, seed=1)

    assert count <= poisson_limit(runs * ticks / HORIZON)
    assert early <= binomial_limit(runs, 0.1)


def test_alarms_stay_under_the_bound_where_the_mean_follows_the_past_within_the_band() -> None:
    """Each flag's chance is whichever end of the band the last flags point to: dependent, never outside."""
    score = Score("rate", FLAG, band(0.1, 0.3))
    runs, ticks = 200, 2400
    last = np.zeros(runs, dtype=bool)

    def draw(chance: np.random.Generator, runs: int) -> Floats:
        nonlocal last
        last = chance.random(runs) < np.where(last, 0.3, 0.1)
        return np.stack([~last, last], axis=1).astype(np.float64)

    count, _ = alarms(score, draw, runs, ticks, seed=2)

    assert count <= poisson_limit(runs * ticks / HORIZON)


def test_alarms_stay_under_the_bound_where_traffic_follows_what_was_seen() -> None:
    """An adversary sends more in the tick after evidence has gathered, and none while there is little."""
    score = Score("rate", FLAG, band(0.05, 0.2))
    runs, ticks = 200, 2400
    tracks = Tracks(np.full(runs, HORIZON), np.tile(weights(score.band), (runs, 1)))
    bets = table(score)
    chance = np.random.default_rng(3)
    count = 0
    used = 0
    for number in range(ticks):
        size = np.where(tracks.odds > 3, 40, np.where(number % 2 == 0, 3, 0))
        up = chance.binomial(size, 0.2)
        counts = np.stack([size - up, up], axis=1).astype(np.float64)
        rows = np.flatnonzero(size)
        used += rows.size
        counts = counts[rows]
        count += int(tracks.tick(rows, counts @ bets, counts @ score.values, counts.sum(axis=1), float(number)).sum())

    assert count <= poisson_limit(used / HORIZON)


def test_alarms_stay_under_the_bound_where_the_season_moves_the_mean_from_edge_to_edge() -> None:
    score = Score("rate", BINS, band(0.3, 0.5))
    runs, ticks = 200, 2400
    phases = [tilted(BINS, 0.4 + 0.1 * math.sin(2 * math.pi * hour / 24), BETA) for hour in range(24)]
    number = 0

    def draw(chance: np.random.Generator, runs: int) -> Floats:
        nonlocal number
        number += 1
        return chance.multinomial(10, phases[number // 20 % 24], runs).astype(np.float64)

    count, _ = alarms(score, draw, runs, ticks, seed=4)

    assert count <= poisson_limit(runs * ticks / HORIZON)


def test_sixteen_copies_of_one_signal_under_shares_alarm_no_more_than_one_would() -> None:
    """Copies alarm together: 16 at once, each a sixteenth as often."""
    score, draw = EDGES["0.2% x 10, upper"]
    runs, ticks, copies = 200, 4000, 16

    count, _ = alarms(score, draw, runs, ticks, seed=5, shares=copies)

    assert copies * count <= poisson_limit(runs * ticks / HORIZON)


def test_a_share_that_falls_while_evidence_is_held_keeps_the_promise_of_both_shares() -> None:
    score, draw = EDGES["2% x 100, upper"]
    chance = np.random.default_rng(8)
    runs, ticks, change = 300, 2000, 500
    tracks = Tracks(np.full(runs, HORIZON), np.tile(weights(score.band), (runs, 1)))
    count = 0
    for number in range(ticks):
        if number == change:
            tracks.limits[:] = 3 * HORIZON
        counts = draw(chance, runs)
        bets = counts @ table(score)
        count += int(tracks.tick(slice(None), bets, counts @ score.values, counts.sum(axis=1), float(number)).sum())

    assert count > 0
    assert count <= poisson_limit(runs * (change / HORIZON + (ticks - change) / (3 * HORIZON)))


def test_a_stream_outside_its_band_does_alarm_so_that_the_bounds_above_mean_something() -> None:
    score, _ = EDGES["2% x 100, upper"]
    runs, ticks = 50, 200

    count, _ = alarms(score, flags(0.03, 100), runs, ticks, seed=6)

    assert count > 10 * runs * ticks / HORIZON


def product_alarms(chance: np.random.Generator, runs: int, size: int, blocks: int, growing: bool) -> int:
    """Runs in which the product of k p^(k - 1), which promises at most 1 %, ever reaches 100."""
    statistic = chance.random((runs, size + blocks), dtype=np.float32)
    exponents = np.array([0.1, 0.2, 0.35, 0.5, 0.7])
    log_product = np.zeros((runs, 5))
    fired = np.zeros(runs, dtype=bool)
    for number in range(size, size + blocks):
        known = statistic[:, : number if growing else size]
        p = ((known > statistic[:, number, None]).sum(axis=1) + chance.random(runs)) / (known.shape[1] + 1)
        log_product += np.log(exponents) + (exponents - 1) * np.log(p)[:, None]
        fired |= np.exp(log_product).mean(axis=1) >= 100
    return int(fired.sum())


def test_a_fixed_bag_of_blocks_breaks_the_promise_that_a_growing_one_keeps() -> None:
    """Nobody may make ranks cheaper by ranking against a bag that stands still: 1 % promised becomes about 7 %."""
    runs, size, blocks = 500, 100, 800
    limit = binomial_limit(runs, 0.01)

    assert product_alarms(np.random.default_rng(7), runs, size, blocks, growing=True) <= limit
    assert product_alarms(np.random.default_rng(8), runs, size, blocks, growing=False) > limit


def test_ranks_in_a_growing_bag_keep_the_promise_with_ties_and_repeated_alarms() -> None:
    """Half of all blocks look exactly alike."""
    runs, blocks, horizon = 40, 1500, 50.0
    chance = np.random.default_rng(9)
    count = 0
    for _ in range(runs):
        bag, evidence = Bag(), [0.0] * 5
        for value in np.maximum(chance.normal(size=100 + blocks), 0.0) + 1e-3:
            p = bag.rank(float(value), float(chance.random()))
            if bag.total <= 100:
                continue
            evidence = grow(evidence, p)
            if sum(evidence) / 5 >= horizon:
                count += 1
                evidence = [0.0] * 5

    assert count <= poisson_limit(runs * blocks / horizon)


def test_tables_have_a_mean_factor_of_at_most_one_at_both_edges_for_every_track() -> None:
    """The one inequality on which everything rests, for every bet: E[exp(table)] <= 1 where the mean is lo or hi."""
    for score, _ in EDGES.values():
        factors = np.exp(table(score))
        for mean in (score.band.lo, (score.band.lo + score.band.hi) / 2, score.band.hi):
            p = tilted(score.values, mean, np.ones(score.values.size) / score.values.size) if mean > 0 else None
            if p is not None:
                assert p @ factors == pytest.approx(np.minimum(p @ factors, 1.0), abs=1e-7)
        assert factors.shape == (score.values.size, TRACKS)
