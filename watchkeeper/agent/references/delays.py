"""How many observations a change needs before it is found: what an operator weighs a tolerance against."""

import math
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from detectors.drift import shares
from detectors.drift.bands import Floats
from detectors.drift.kinds import Kind
from detectors.drift.packs import Pack, Stratum
from detectors.drift.rate import Score, table, weights

PER_TICK: Final = 10.0
"""observations, at one a second"""
_FACTORS: Final = (1.2, 1.5, 2.0)
_RARE: Final = (0.01, 0.05)
"""shares in which something new or unseen is asked about"""
_RARE_FLAG: Final = 0.05
_POINTS: Final = 32
"""into which a bin of numbers is cut to follow it where a change moves it"""


class Delay(NamedTuple):
    """`observations`: about how many; None: it stays in the band, and is never found."""

    change: str
    observations: float | None


def delays(pack: Pack, horizon: float, detectors: int) -> tuple[Delay, ...]:
    """
    Of some changes, in the largest stratum, where observations are independent.

    :param horizon: ticks in which the whole deployment expects at most one false alarm
    :param detectors: that share the budget
    """
    key = max(pack.strata, key=lambda one: sum(pack.strata[one].counts))
    scores = pack.scores(key)
    limit = math.log(horizon * max(1, detectors) * len(scores) / (1 - shares.RESERVE))
    return tuple(
        Delay(change, min(filter(None, (_needed(score, now, limit) for score in scores)), default=None))
        for change, now in _changes(pack, pack.strata[key])
    )


def _needed(score: Score, now: Floats, limit: float) -> float | None:
    """
    Observations until the bets together reach the limit, when each gains in every tick what it gains on average.

    Evidence is a sum over every tick since the change, M = (M + 1) e^(n g): it reaches e^(N g) / (1 - e^(-n g)).
    """
    shares, gains = weights(score.band), now @ table(score)
    rising = (shares > 0) & (gains > 0)
    if not rising.any():
        return None
    gains = gains[rising]
    starts = np.log(shares[rising]) - np.log(-np.expm1(-PER_TICK * gains))
    low, high = 0.0, float(((limit - starts) / gains).min())
    while high - low > 1e-3 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if np.logaddexp.reduce(starts + middle * gains) >= limit else (middle, high)
    return max(PER_TICK, high)


def _changes(pack: Pack, stratum: Stratum) -> Iterator[tuple[str, Floats]]:
    """A change in words, and the share of each bin once it happened."""
    held = np.asarray(stratum.counts, dtype=np.float64) / sum(stratum.counts)
    if pack.kind is Kind.FLAG:
        rate = float(held[1])
        if rate > 0:
            yield "twice as often", _flag(min(1.0, 2 * rate))
        if rate < _RARE_FLAG:
            yield from ((f"in {share * 100:g} % of calls", _flag(share)) for share in _RARE if share > 2 * rate)
    elif pack.kind is Kind.CATEGORY:
        for share in _RARE:
            now = held * (1 - share)
            now[-1] += share
            yield f"a new word in {share * 100:g} % of calls", now
    elif pack.edges and pack.edges[0] >= 0:
        yield from ((f"{factor:g} times as much", _scaled(pack.edges, held, factor)) for factor in _FACTORS)


def _flag(rate: float) -> Floats:
    return np.array([1 - rate, rate])


def _scaled(edges: tuple[float, ...], held: Floats, factor: float) -> Floats:
    """Shares of the bins when each number is `factor` times what it was; within a bin they lie evenly."""
    lows = np.array([0.0, *edges])
    highs = np.array([*edges, edges[-1]])
    parts = (np.arange(_POINTS) + 0.5) / _POINTS
    points = lows[:, None] + (highs - lows)[:, None] * parts
    found = np.searchsorted(edges, points * factor, side="right")
    return np.asarray(np.bincount(found.ravel(), weights=np.repeat(held / _POINTS, _POINTS), minlength=held.size))
