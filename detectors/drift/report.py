"""
Which of many segments drifted in a period: e-values, and a list whose expected share of false entries is bounded.

Under no drift an e-value has mean <= 1. Unlike alarms over time, of which nothing of the kind can be promised, a report
is made once for a period that was fixed before it began.

R. Wang, A. Ramdas, False discovery rate control with e-values, JRSS-B 84, 2022 (holds under any dependence).
"""

from collections.abc import Sequence

import numpy as np

from detectors.drift.bands import Floats


class PeriodEvidence:
    """
    The e-value of one score over one period; start a new one for each.

    `ticks`: how many the period has by the clock. Not how many held observations: that is known only afterwards, may
    depend on what was observed, and dividing by it would break the bound.
    """

    def __init__(self, track_weights: Floats, ticks: int) -> None:
        if ticks < 1:
            raise ValueError("a period has at least one tick")
        with np.errstate(divide="ignore"):
            self._log_weights = np.log(track_weights)
        self._ticks = ticks
        self._seen = 0
        self._whole = np.zeros(track_weights.size)
        self._recent = np.full(track_weights.size, -np.inf)
        self._over = np.full(track_weights.size, -np.inf)

    def tick(self, added: Floats) -> None:
        """
        What a tick with observations added to the log of each track, as for `rate.Tracks`.

        :raises ValueError: more ticks than the period has
        """
        if self._seen >= self._ticks:
            raise ValueError(f"the period had {self._ticks} ticks")
        self._seen += 1
        self._whole += added
        self._recent = np.logaddexp(self._recent, 0.0) + added
        self._over = np.logaddexp(self._over, self._recent)

    @property
    def log_value(self) -> float:
        """
        Logarithm of the e-value: a third each on a change before the period, on one that began within it, and on one
        that began and was over within it. The last bets evenly on all pairs of a first and a last tick.
        """
        whole = np.logaddexp.reduce(self._whole + self._log_weights)
        recent = np.logaddexp.reduce(self._recent + self._log_weights) - np.log(self._ticks)
        pairs = self._ticks * (self._ticks + 1) / 2
        over = np.logaddexp.reduce(self._over + self._log_weights) - np.log(pairs)
        return float(np.logaddexp(np.logaddexp(whole, recent), over) - np.log(3))


def drifted(log_values: Sequence[float], level: float = 0.1) -> list[int]:
    """
    Places of the segments to list, most evident first (e-BH).

    :param level: bound on the expected share of listed segments that did not drift, in (0, 1)
    """
    total = len(log_values)
    order = sorted(range(total), key=lambda place: -log_values[place])
    listed = 0
    for k, place in enumerate(order, start=1):
        if log_values[place] >= np.log(total / (level * k)):
            listed = k
    return order[:listed]
