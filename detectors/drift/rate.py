"""
Has the conditional mean of a bounded score left its band? Evidence that promises how often it is wrong.

J bets on each side of the band. Bet j of the upper side multiplies, for every observation v, by 1 + lam_j (v - hi) with
lam_j = u_j / hi; of the lower side by 1 - mu_j (v - lo) with mu_j = u_j / (1 - lo). While the mean of v, given all that
went before, lies in [lo, hi], each factor has mean <= 1. Every tick M_j <- (M_j + 1) * product, hence with R the
weighted mean of all M_j the sum R_t + limit * alarms_t - t is a supermartingale when R is set to 0 at each alarm
(R >= limit): E[alarms in T ticks] <= T / limit, for finite T, whatever depends on what.

The bets u_j are geometric from min(0.02, half the distance of the limit to its end of [0, 1]) to 0.9: the best bet on
a rate that rises from hi to p is (p - hi) / (1 - hi), so that a grid which begins at 0.02 never finds 0.07 % becoming
0.3 %. A side whose limit is 0 or 1 cannot be crossed and gets no weight.

J. Shin, A. Ramdas, A. Rinaldo, E-detectors, 2024, arXiv:2203.03532. I. Waudby-Smith, A. Ramdas, Estimating means of
bounded random variables by betting, JRSS-B 2024. Onset: E. S. Page, Continuous inspection schemes, Biometrika 41, 1954.
"""

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.drift.bands import Band, Floats
from detectors.drift.odds import BETS, MOST_PER_TICK, ladder

TRACKS: Final = 2 * BETS
_RECENT: Final = 1 - 1 / 360
"""what the readable effect keeps from tick to tick: about the last hour of ticks of 10 s"""


class Score(msgspec.Struct, frozen=True):
    """What is watched of a signal: a value in [0, 1] for each of its bins, and the band of their mean."""

    name: str
    values: Floats
    band: Band


def bets(band: Band) -> Floats:
    """Factors lam_j and -mu_j by which a value's distance from its limit counts; upper side first."""
    up, down = np.array(ladder(band.hi)), np.array(ladder(1 - band.lo))
    return np.concatenate([up / band.hi, -down / (1 - band.lo)])


def weights(band: Band) -> Floats:
    """Of the tracks, summing to 1; all 0 for the band [0, 1], which nothing leaves."""
    sides = np.repeat([float(band.hi < 1), float(band.lo > 0)], BETS)
    return np.asarray(sides / max(1.0, float(sides.sum())))


def table(score: Score) -> Floats:
    """bins x tracks: what one observation in a bin adds to the log of each track."""
    limits = np.repeat([score.band.hi, score.band.lo], BETS)
    return np.asarray(np.log1p((score.values[:, None] - limits) * bets(score.band)))


class Tracks:
    """
    The evidence of any number of scores, a row each. Memory: 4 x 20 numbers of 8 bytes a row. Pure arithmetic.

    `limits`: A / w of each row, where A is the ticks in which one false alarm of the whole deployment is accepted and w
    the row's share of it. `track_weights`: rows x tracks.
    """

    def __init__(self, limits: Floats, track_weights: Floats) -> None:
        if not (limits > 1).all():
            raise ValueError("a limit must be above 1 tick")
        rows = limits.size
        self.limits = limits
        self.weights = track_weights
        self.evidence = np.zeros((rows, TRACKS))
        self.cusum = np.zeros((rows, TRACKS))
        self.onset = np.zeros((rows, TRACKS))
        """when each cusum was last 0: unix seconds"""
        self.base_sum = np.zeros((rows, TRACKS))
        self.base_n = np.zeros((rows, TRACKS))
        """sum and number of all values up to `onset`"""
        self.total_sum = np.zeros(rows)
        self.total_n = np.zeros(rows)
        self.recent_sum = np.zeros(rows)
        self.recent_n = np.zeros(rows)
        self.odds = np.zeros(rows)
        """R after the last tick, before an alarm set it to 0"""
        self.best = np.zeros(rows, dtype=np.intp)
        """the track that said most at the last tick"""

    def tick(
        self, rows: NDArray[np.intp] | slice, added: Floats, sums: Floats, counts: Floats, at: float
    ) -> NDArray[np.bool_]:
        """
        One tick of `rows` (indices, or a slice), each with at least one observation; rows left out do not move at all.

        :param added: rows x tracks, logs: counts @ table
        :param sums: of the scores' values in this tick, `counts`: their number
        :param at: unix seconds at which the tick began
        :return: which of the rows alarm
        """
        total_sum = self.total_sum[rows]
        total_n = self.total_n[rows]
        cusum, onset, base_sum, base_n = self.cusum[rows], self.onset[rows], self.base_sum[rows], self.base_n[rows]
        fresh = cusum <= 0
        np.copyto(onset, at, where=fresh)
        np.copyto(base_sum, total_sum[:, None], where=fresh)
        np.copyto(base_n, total_n[:, None], where=fresh)
        np.maximum(cusum, 0.0, out=cusum)
        cusum += added
        self.total_sum[rows] = total_sum + sums
        self.total_n[rows] = total_n + counts
        self.recent_sum[rows] = self.recent_sum[rows] * _RECENT + sums
        self.recent_n[rows] = self.recent_n[rows] * _RECENT + counts

        evidence = self.evidence[rows]
        evidence += 1.0
        evidence *= np.exp(np.minimum(added, MOST_PER_TICK))
        weighted = evidence * self.weights[rows]
        odds = weighted.sum(axis=1)
        alarms = odds >= self.limits[rows]
        evidence[alarms] = 0.0
        cusum[alarms] = 0.0  # else a second change would be dated by a long one before it
        self.odds[rows] = odds
        self.best[rows] = weighted.argmax(axis=1)
        if not isinstance(rows, slice):  # what was read was a copy
            self.cusum[rows], self.onset[rows] = cusum, onset
            self.base_sum[rows], self.base_n[rows] = base_sum, base_n
            self.evidence[rows] = evidence
        return np.asarray(alarms)

    def since_onset(self, row: int) -> tuple[float, float, float]:
        """Of the track that says most: unix seconds of the onset, mean of the values since, and how many."""
        best = int(self.best[row])
        n = float(self.total_n[row] - self.base_n[row, best])
        return float(self.onset[row, best]), float(self.total_sum[row] - self.base_sum[row, best]) / n, n
