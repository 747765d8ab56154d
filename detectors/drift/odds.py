"""What all evidence shares, in plain numbers: for how long, what it bets, how it is read. Needs no numpy."""

import math
from typing import Final

DAYS_PER_FALSE_ALARM: Final = 30.0
HELD_SECONDS: Final = 1800.0
"""an alarm lasts until nothing crossed for so long: while a change lasts, restarted evidence crosses again and again"""
BETS: Final = 10
"""per side of a band"""
MOST_PER_TICK: Final = 500.0
"""nats one tick may add: far beyond every threshold, and still a number"""
_LARGEST_BET: Final = 0.9
_SMALLEST_BET: Final = 0.02


def horizon(tick_seconds: float, days: float = DAYS_PER_FALSE_ALARM) -> float:
    """A: ticks in so many days."""
    return days * 86400 / tick_seconds


def ladder(distance: float) -> tuple[float, ...]:
    """
    The bets u_j on one side of a band, geometric: see `rate`.

    :param distance: of the limit from the end of [0, 1] behind it
    """
    smallest = min(_SMALLEST_BET, distance / 2)
    return tuple(smallest * (_LARGEST_BET / smallest) ** (step / (BETS - 1)) for step in range(BETS))


def log_odds(odds: float) -> float:
    """Natural logarithm; 0 where there is no evidence, or less than none."""
    return math.log(odds) if odds > 1 else 0.0
