"""From evidence to what is said: warming, ok, warn, alarm, and what a finding needs to know."""

import math
from typing import Final

import msgspec

from detectors.drift.bands import Band
from detectors.drift.odds import HELD_SECONDS, log_odds
from watchkeeper.core.records import State, Verdict

WARNING: Final = math.log(30)
"""nats below the threshold: at most one expected false warning a day where a false page is one a month"""


class Crossing(msgspec.Struct, frozen=True):
    """Evidence of one score reached its threshold in the tick that began `at` (unix seconds)."""

    score: str
    at: float
    onset: float
    """unix seconds at which what was seen began; rank causes by this, not by `at`"""
    log_odds: float
    """natural logarithm of how much better a change explains what was seen than any mean within the band"""
    effect: float
    """mean of the score since the onset"""
    observations: int
    """since the onset"""
    band: Band | None
    reference: str
    share: float
    horizon: float
    """ticks (blocks) in which the whole deployment expects at most one false alarm"""


class Effect(msgspec.Struct, frozen=True):
    """What a score reads now, for people: mean over about the last hour of ticks, beside its band."""

    score: str
    value: float
    observations: float
    band: Band


def verdict(odds: float, limit: float, crossed_at: float, now: float) -> Verdict:
    """
    Score 1 is the threshold: logarithm of the evidence by that of the limit, not below 0.

    :param crossed_at: unix seconds of the last alarm, 0 = never
    """
    score = log_odds(odds) / math.log(limit)
    if crossed_at and now - crossed_at < HELD_SECONDS:
        state = State.ALARM
    elif odds > 1 and math.log(odds) >= math.log(limit) - WARNING:
        state = State.WARN
    else:
        state = State.OK
    return Verdict(state, score, 1.0)


_RANK: Final = (State.OK, State.WARMING, State.WARN, State.ALARM)


def worst(verdicts: list[Verdict]) -> Verdict:
    """Of several scores: the state that asks for most, and the highest score."""
    state = max((verdict.state for verdict in verdicts), key=_RANK.index)
    return Verdict(state, max(verdict.score for verdict in verdicts), 1.0)
