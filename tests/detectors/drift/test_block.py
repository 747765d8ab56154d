"""Blocks: quiet where single observations depend on each other, and as well behaved as a watch."""

import math

import numpy as np
import pytest

from detectors.drift.block import Block, Statistics
from detectors.drift.kinds import Kind
from detectors.drift.packs import Pack, Plan, build
from detectors.drift.ranks import LEAST_BLOCKS, Bag
from detectors.drift.seasons import Season
from detectors.drift.state import ForeignState
from watchkeeper.core.records import State

SIZE = 100


def autoregressive(chance: np.random.Generator, n: int, memory: float = 0.95) -> np.ndarray:
    noise = chance.normal(0.0, math.sqrt(1 - memory**2), n)
    values = np.empty(n)
    last = chance.normal()
    for place in range(n):
        values[place] = last = memory * last + noise[place]
    return values


def counts(pack: Pack, values: np.ndarray, size: int = SIZE) -> list[np.ndarray]:
    bins = np.searchsorted(pack.edges, values, side="right").reshape(-1, size)
    return [np.bincount(row, minlength=pack.bins) for row in bins]


def alarms(block: Block, ticks: list[np.ndarray], start: float = 0.0, seconds: float = 10.0) -> list[int]:
    found = []
    for place, tick in enumerate(ticks):
        at = start + place * seconds
        block.tick(tick, at, at)
        found += [place] * len(block.crossings)
    return found


def test_a_strongly_dependent_stream_stays_quiet_and_its_change_is_found() -> None:
    chance = np.random.default_rng(1)
    pack = build("x", Kind.NUMBER, autoregressive(chance, 60_000), made_at=0.0, plan=Plan(block_size=SIZE))
    block = Block(pack, 1.0, 10_000.0)

    assert alarms(block, counts(pack, autoregressive(chance, 200_000))) == []
    assert alarms(block, counts(pack, autoregressive(chance, 6_000) + 1.5), 3e6)


def test_it_warms_up_until_its_stratum_has_a_hundred_blocks() -> None:
    chance = np.random.default_rng(2)
    pack = build("x", Kind.NUMBER, chance.normal(size=2_000), made_at=0.0)
    block = Block(pack, 1.0, 100.0)
    assert (block.verdict(0.0).state, block.blocks_known(0.0)) == (State.WARMING, 10)

    assert alarms(block, counts(pack, chance.normal(5.0, 1.0, 90 * SIZE))) == []
    block.tick(np.bincount([0], minlength=pack.bins), 1e6, 1e6)
    assert (block.verdict(0.0).state, block.blocks_known(0.0)) == (State.OK, LEAST_BLOCKS)


def test_every_block_has_the_same_number_of_observations_whatever_the_traffic() -> None:
    """A statistic of 10,000 observations has another law than one of 100; busy hours would look too quiet."""
    chance = np.random.default_rng(3)
    times = np.arange(60_000, dtype=np.float64)
    pack = build("x", Kind.NUMBER, chance.normal(size=60_000), made_at=0.0, times=times)
    assert {sum(one) for one in pack.blocks["all"]} == {SIZE}
    block = Block(pack, 1.0, 10_000.0)
    medians = []
    for size in (SIZE, 50 * SIZE):
        found = []
        for place, tick in enumerate(counts(pack, chance.normal(size=60 * size), size)):
            block.tick(tick, size * 1e4 + place * 60.0, 0.0)
            found.append(block.last()["psi"])
        medians.append(np.median(found[1:]))

    assert medians[1] == pytest.approx(medians[0], rel=0.3)


def test_a_block_lasts_its_seconds_and_an_unfinished_one_goes_with_its_hour() -> None:
    chance = np.random.default_rng(4)
    times = np.arange(4 * 3600, dtype=np.float64)
    plan = Plan(season=Season.HOUR)
    pack = build("x", Kind.NUMBER, chance.normal(size=times.size), made_at=0.0, times=times, plan=plan)
    block = Block(pack, 1.0, 10_000.0)
    before = block.blocks_known(0.0)
    tick = np.bincount(np.arange(SIZE) % pack.bins, minlength=pack.bins)

    for at in (3500.0, 3540.0, 3559.0):
        block.tick(tick, at, at)
        assert block.blocks_known(0.0) == before
    block.tick(tick, 3570.0, 3570.0)
    assert block.blocks_known(0.0) == before + 1
    later = block.blocks_known(3600.0)
    block.tick(tick, 3610.0, 3610.0)  # 40 seconds of the first hour are dropped
    block.tick(tick, 3640.0, 3640.0)
    assert (block.blocks_known(0.0), block.blocks_known(3600.0)) == (before + 1, later)
    block.tick(tick, 3670.0, 3670.0)
    assert (block.blocks_known(0.0), block.blocks_known(3600.0)) == (before + 1, later + 1)


def test_a_restart_at_any_point_changes_nothing_and_48_strata_fit_into_64_kilobytes() -> None:
    chance = np.random.default_rng(5)
    times = np.arange(0.0, 7 * 86400.0, 20.0)
    plan = Plan(season=Season.HOUR_AND_WEEKEND, block_size=20)
    pack = build("x", Kind.NUMBER, chance.normal(size=times.size), made_at=0.0, times=times, plan=plan)
    assert len(pack.strata) == 48
    steady, restarted = Block(pack, 0.5, 100.0), Block(pack, 0.5, 100.0)
    for place in range(2000):
        if chance.random() < 0.02:
            state = restarted.state()
            assert len(state) < 64_000
            restarted = Block(pack, 0.5, 100.0)
            restarted.restore(state)
        tick, at = chance.multinomial(10, np.full(pack.bins, 1 / pack.bins)), place * 30.0
        assert steady.tick(tick, at, at) == restarted.tick(tick, at, at)
    assert steady.state() == restarted.state()
    Block(pack, 0.4, 100.0).restore(state)
    with pytest.raises(ForeignState):
        Block(pack, 0.6, 100.0).restore(state)
    with pytest.raises(ForeignState):
        restarted.restore(state[:-9])


def test_observations_one_by_one_and_in_ticks_make_the_same_blocks() -> None:
    chance = np.random.default_rng(6)
    pack = build("x", Kind.NUMBER, chance.normal(size=30_000), made_at=0.0)
    values = chance.normal(0.3, 1.0, 5000)
    single, ticks = Block(pack, 1.0, 100.0), Block(pack, 1.0, 100.0)
    for value in values.tolist():
        single.update(value, 0.0)
    alarms(ticks, counts(pack, values), seconds=0.0)

    assert single.last() == ticks.last()
    assert single.verdict(0.0) == ticks.verdict(0.0)


def test_a_rank_among_ties_is_uniform() -> None:
    bag = Bag()
    ranks = [bag.rank(0.5, (place * 0.618 + 0.3) % 1.0) for place in range(2000)]

    assert np.quantile(ranks, [0.1, 0.5, 0.9]) == pytest.approx([0.1, 0.5, 0.9], abs=0.02)


def test_statistics_are_small_for_the_reference_itself_and_finite_for_an_empty_bin() -> None:
    pack = build("x", Kind.NUMBER, np.random.default_rng(7).normal(size=10_000), made_at=0.0)
    statistics = Statistics(pack, "all")

    assert statistics.of(pack.strata["all"].first_half)["psi"] < 1e-3
    moved = statistics.of([SIZE] + [0] * (pack.bins - 1))
    assert 1.0 < moved["psi"] < 100.0
    assert moved["location"] == pytest.approx(0.5, abs=0.01)
