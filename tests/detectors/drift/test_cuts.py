"""How long the blocks of a reference have to be."""

from typing import Any

import numpy as np
import pytest

from detectors.drift.block import Block
from detectors.drift.kinds import Kind
from detectors.drift.packs import Pack, Plan, build

PER_SECOND = 2


def wandering(seed: int, hours: float, seconds: float, size: float = 0.3) -> Any:
    """Values of which the level wanders by `size` deviations and forgets in `seconds`, with their times."""
    chance = np.random.default_rng(seed)
    n = int(hours * 3600 * PER_SECOND)
    kept = np.exp(-1 / (seconds * PER_SECOND)) if seconds else 0.0
    steps = chance.standard_normal(n) * size * np.sqrt(1 - kept**2)
    level = np.zeros(n)
    for place in range(1, n):
        level[place] = kept * level[place - 1] + steps[place]
    return level + chance.standard_normal(n), np.arange(n) / PER_SECOND


def made(seed: int, hours: float, seconds: float, **plan: Any) -> Pack:
    values, times = wandering(seed, hours, seconds)
    return build("x", Kind.NUMBER, values, made_at=0.0, times=times, plan=Plan(**plan))


def test_blocks_of_independent_numbers_stay_as_long_as_asked_for() -> None:
    pack = made(1, 6, 0)

    assert (pack.block_size, pack.block_seconds) == (100, 60.0)
    assert len(pack.blocks["all"]) == pytest.approx(180, abs=3)


def test_blocks_of_numbers_that_wander_are_as_long_as_it_takes_to_forget() -> None:
    pack = made(2, 12, 120)

    assert pack.block_seconds >= 240
    assert pack.block_size == 100 * pack.block_seconds / 60
    assert all(sum(block) == pack.block_size for block in pack.blocks["all"])


def test_where_no_block_is_long_enough_there_are_none() -> None:
    assert made(3, 6, 7200).block_seconds == 0.0


def test_too_few_blocks_to_tell_stay_as_they_are() -> None:
    assert made(4, 0.2, 0).block_seconds == 60.0


@pytest.mark.parametrize("seed", [5, 6])
def test_in_days_that_wander_as_their_reference_did_blocks_of_the_right_length_stay_quiet(seed: int) -> None:
    """Four days after a reference of one; blocks of 60 s alarm ten times and more."""
    values, times = wandering(seed, 24 * 5, 600, 0.2)
    day = 24 * 3600 * PER_SECOND
    pack = build("x", Kind.NUMBER, values[:day], made_at=0.0, times=times[:day])
    found = np.searchsorted(pack.edges, values, side="right")
    block = Block(pack, 0.3, 30 * 86400 / pack.block_seconds)
    alarms = 0
    for start in range(day, len(values), 20):
        at = float(times[start])
        block.tick(np.bincount(found[start : start + 20], minlength=pack.bins), at, at)
        alarms += bool(block.crossings)

    assert alarms == 0
