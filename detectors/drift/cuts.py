"""
Blocks of a reference, cut as `block.Block` cuts them live, and how long they have to be.

Ranks of blocks promise something only while blocks can be exchanged for each other. Where the mean of what is watched
wanders, neighbours are alike; then blocks are doubled until they are no more alike than by chance.
"""

import math
from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.drift.bands import Floats
from detectors.drift.pit import mid_ranks

Integers = NDArray[np.int64]

_FEWEST: Final = 20
"""blocks of a reference below which it cannot be told whether they are alike"""
_CHANCE: Final = 2.33
"""standard deviations of a correlation: one in a hundred by chance"""


def lengthened(
    found: Integers, strata: Iterable[Integers], clock: Floats, bins: int, size: int, seconds: float
) -> tuple[int, float]:
    """
    Observations and seconds that a block must have: those given, doubled as often as neighbours are alike.

    :return: 0 seconds where no length would do: the reference holds too little for blocks
    """
    runs = [run for places in strata for run in _runs(places)]
    ranks = mid_ranks(np.bincount(found, minlength=bins).astype(np.float64))
    length, factor = seconds, 1
    while length > 0:
        means = [np.array(_cut(found, run, clock, bins, size * factor, length), dtype=np.float64) for run in runs]
        series = [one @ ranks / (size * factor) for one in means if len(one) > 1]
        pairs = sum(one.size - 1 for one in series)
        if pairs < _FEWEST:
            return size, 0.0 if factor > 1 else seconds
        if _alike(series) <= _CHANCE / math.sqrt(pairs):
            return size * factor, length
        factor, length = factor * 2, length * 2
    return size, seconds


def blocks(
    found: Integers, places: Integers, clock: Floats | None, bins: int, size: int, seconds: float
) -> tuple[tuple[int, ...], ...]:
    """Counts per bin of whole blocks, none across a gap between two visits of the stratum."""
    return tuple(block for run in _runs(places) for block in _cut(found, run, clock, bins, size, seconds))


def _runs(places: Integers) -> list[Integers]:
    return np.split(places, np.flatnonzero(np.diff(places) > 1) + 1)


def _cut(
    found: Integers, run: Integers, clock: Floats | None, bins: int, size: int, seconds: float
) -> list[tuple[int, ...]]:
    chance = np.random.default_rng(run.size)
    times = None if clock is None else clock[run]
    cut: list[tuple[int, ...]] = []
    start = 0
    while start + size <= run.size:
        end = start + size
        if times is not None:
            over = int(np.searchsorted(times, times[start] + seconds))
            if over == run.size:
                break
            end = max(end, over)
        drawn = chance.choice(run[start:end], size, replace=False)
        cut.append(tuple(np.bincount(found[drawn], minlength=bins).tolist()))
        start = end
    return cut


def _alike(series: list[Floats]) -> float:
    """Correlation of neighbours."""
    middle = np.concatenate(series).mean()
    before = np.concatenate([one[:-1] for one in series]) - middle
    after = np.concatenate([one[1:] for one in series]) - middle
    spread = math.sqrt(float(before @ before) * float(after @ after))
    return float(before @ after) / spread if spread > 0 else 0.0
