"""A state that changes its mind seldom: it must be asked for long enough, and let go by a margin for long enough."""

from typing import Final

from watchkeeper.core.records import State

MARGIN: Final = 0.8
"""raised at the threshold, kept down to this share of it"""


class Level:
    """
    On once the score has been at `threshold` or over for `raise_seconds`; off once it has been under 0.8 of it for
    `clear_seconds`. `since` is when the run began that raised it.
    """

    __slots__ = ("_changing_since", "_clear_seconds", "_raise_seconds", "is_on", "since", "threshold")

    def __init__(self, threshold: float, raise_seconds: float, clear_seconds: float) -> None:
        self.threshold = threshold
        self.is_on = False
        self.since = 0.0
        self._raise_seconds = raise_seconds
        self._clear_seconds = clear_seconds
        self._changing_since: float | None = None

    @property
    def is_ending(self) -> bool:
        """On, and about to be let go."""
        return self.is_on and self._changing_since is not None

    def update(self, score: float, now: float, held: float | None = None) -> bool:
        """:param held: where what is on is kept by another number than the one that raises it"""
        kept = score if held is None else held
        against = kept < MARGIN * self.threshold if self.is_on else score >= self.threshold
        if not against:
            self._changing_since = None
            return self.is_on
        if self._changing_since is None or now < self._changing_since:
            self._changing_since = now
        if now - self._changing_since >= (self._clear_seconds if self.is_on else self._raise_seconds):
            self.is_on = not self.is_on
            self.since = self._changing_since
            self._changing_since = None
        return self.is_on


class Ladder:
    """
    Warn and, above it, alarm, each a Level of its own. A threshold of None is never reached. From alarm to warn it goes
    only where the warning stands: what is over at once is no new warning.
    """

    __slots__ = ("_alarm", "_is_ending", "_warn")

    def __init__(self, warn: float | None, alarm: float | None, raise_seconds: float, clear_seconds: float) -> None:
        self._warn = Level(warn, raise_seconds, clear_seconds) if warn is not None else None
        self._alarm = Level(alarm, raise_seconds, clear_seconds) if alarm is not None else None
        self._is_ending = False

    def update(self, score: float, now: float, alarm_score: float | None = None, held: float | None = None) -> State:
        """
        :param alarm_score: where the alarm goes by another number than the warning
        :param held: where what is raised is kept by another number than the one that raises it
        """
        was_alarm = self.state is State.ALARM
        if self._warn is not None:
            self._warn.update(score, now, held)
        if self._alarm is not None:
            self._alarm.update(score if alarm_score is None else alarm_score, now, held)
        self._is_ending = was_alarm and self._warn is not None and self._warn.is_ending
        return self.state

    @property
    def state(self) -> State:
        if self._is_ending or (self._alarm is not None and self._alarm.is_on):
            return State.ALARM
        return State.WARN if self._warn is not None and self._warn.is_on else State.OK

    @property
    def since(self) -> float:
        """Unix seconds; 0 while nothing is raised."""
        on = [level.since for level in (self._warn, self._alarm) if level is not None and level.is_on]
        return min(on, default=0.0)
