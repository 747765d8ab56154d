"""The one row in plain numbers against the rows of `detectors.drift.rate`, which drift is judged by."""

import math
import random

import numpy as np
import pytest

from detectors.drift.bands import Band
from detectors.drift.odds import log_odds
from detectors.drift.rate import BETS, Score, Tracks, bets, table, weights
from detectors.signals._evidence import Evidence

LIMIT = 500.0


class Row:
    """One row of `Tracks`, asked like an `Evidence`."""

    def __init__(self, allowed):
        self.band = Band(0.0, allowed, allowed, 0.0, 0.99, 1.0)
        self.tracks = Tracks(np.array([LIMIT]), weights(self.band)[None, :])

    def flags(self, up, n, at):
        added = np.array([[n - up, up]]) @ table(Score("up", np.array([0.0, 1.0]), self.band))
        return bool(self.tracks.tick(slice(None), added, np.array([up]), np.array([n]), at)[0])

    def share(self, value, at):
        limits = np.repeat([self.band.hi, self.band.lo], BETS)
        added = np.log1p((value - limits) * bets(self.band))[None, :]
        return bool(self.tracks.tick(slice(None), added, np.array([value]), np.array([1.0]), at)[0])

    @property
    def score(self):
        return log_odds(float(self.tracks.odds[0])) / math.log(LIMIT)

    def since_onset(self):
        at, mean, n = self.tracks.since_onset(0)
        return at, mean * n, n


def close(some, other):
    return some == pytest.approx(other, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("allowed", [0.00001, 0.003, 0.01, 0.1, 0.5])
@pytest.mark.parametrize("kind", ["flags", "share"])
def test_one_row_in_plain_numbers_is_what_a_row_of_rate_is(kind, allowed):
    chance = random.Random(f"{kind}{allowed}")
    ours, theirs = Evidence(allowed, LIMIT), Row(allowed)
    alarms = onsets = 0
    for tick in range(600):
        worse = 1.0 if tick % 200 < 120 else 6.0
        at = 1_700_000_000.0 + 10 * tick
        if kind == "flags":
            n = chance.choice([1, 3, 50, 2000])
            up = sum(chance.random() < allowed * worse for _ in range(n))
            said = [one.flags(float(up), float(n), at) for one in (ours, theirs)]
        else:
            value = 1.0 if chance.random() < allowed * worse else allowed * chance.random()
            said = [one.share(value, at) for one in (ours, theirs)]
        assert said[0] is said[1]
        assert close(ours.score, theirs.score)
        assert close(ours.since_onset(), theirs.since_onset())
        alarms += said[0]
        onsets += ours.since_onset()[0] == at

    assert onsets > 5
    assert alarms > 2 or (kind, allowed) in {("share", 0.00001), ("share", 0.003), ("flags", 0.00001)}


def test_a_tick_beyond_all_measure_is_still_a_number():
    for evidence in (Evidence(0.01, LIMIT), Row(0.01)):
        assert evidence.flags(1e6, 1e6, 0.0)
        assert evidence.score == pytest.approx(500 / math.log(LIMIT), rel=1e-3)
        assert not evidence.flags(0.0, 1e6, 10.0)
        assert evidence.score == 0.0
