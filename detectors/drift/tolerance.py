"""
How much tolerance a reference asks for: the least at which the reference itself, replayed, never comes near a page.

The mean of real traffic wanders within the hour, by more than chance and at every scale. A quantile of the means of
short blocks counts chance as wandering where observations are independent, and brief wandering that evidence would
average away where they are not; the replay asks the question itself.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.drift.bands import Floats
from detectors.drift.rate import Score, Tracks, table, weights

_NEAR: Final = 8640.0
"""odds: a thirtieth of the ticks of 10 s in 30 days, where one detector that has the whole budget begins to warn"""
_FAR: Final = 100.0
"""odds that a reference of a day must stay below: where traffic wanders, other days go further than the one it holds"""
_DAY_SECONDS: Final = 12 * 3600.0
"""from which a reference is meant to stand for days that it does not hold; an hour is for trying"""
_STEP: Final = 1.1
_MOST: Final = 0.45
CHUNK: Final = 50
"""observations that are one tick of the replay"""


def near(span_seconds: float) -> float:
    """
    How large the odds of a replayed reference may become. :param span_seconds: of the reference; 0: not known

    Measured in tests: with 8,640, traffic whose level wanders alarmed in the days after its reference again and again.
    """
    return _FAR if span_seconds >= _DAY_SECONDS else _NEAR


def least(
    floor: float,
    with_tolerance: Callable[[float], Mapping[str, Score]],
    replay: Sequence[tuple[str, Floats]],
    near: float = _NEAR,
) -> float:
    """
    :param floor: never less than this
    :param with_tolerance: a tolerance to the score of each stratum
    :param replay: the reference in order of time: stratum, and counts per bin of each tick
    :param near: odds at which a tolerance is not enough
    :return: floor, or floor x 1.1^k; at most 0.45 where nothing is enough
    """
    grid = [floor]
    while grid[-1] * _STEP <= _MOST:
        grid.append(grid[-1] * _STEP)
    scores = [with_tolerance(tolerance) for tolerance in grid]
    tables = {key: np.stack([table(one[key]) for one in scores]) for key in scores[0]}
    sides = {key: np.stack([weights(one[key].band) for one in scores]) for key in scores[0]}
    tracks = Tracks(np.full(len(grid), near), np.zeros((len(grid), tables[next(iter(tables))].shape[2])))
    reached = np.zeros(len(grid), dtype=bool)
    nothing = np.zeros(len(grid))
    for key, counts in replay:
        tracks.weights = sides[key]
        reached |= tracks.tick(slice(None), counts @ tables[key], nothing, nothing, 0.0)
    quiet = np.flatnonzero(~reached)
    return grid[int(quiet[0])] if quiet.size else _MOST


def ticks(found: NDArray[np.int64], keys: Sequence[str], bins: int) -> list[tuple[str, Floats]]:
    """Cuts observations in order of time, given by bin and stratum, into ticks of one stratum each."""
    names = np.asarray(keys)
    runs = np.split(np.arange(found.size), np.flatnonzero(names[1:] != names[:-1]) + 1)
    return [
        (str(names[run[start]]), np.bincount(found[run[start : start + CHUNK]], minlength=bins).astype(np.float64))
        for run in runs
        for start in range(0, run.size, CHUNK)
    ]
