"""
Running totals of an engine to increments. Never negative, whatever the engine does.

A total is counted in full only when it is known to have begun under our eyes; else we begin where it first stood.
"""

from collections.abc import Mapping, Set
from math import inf
from typing import Final, NamedTuple

import msgspec

from collector._pages.page import Value
from watchkeeper.core.records import Distribution, Labels

MISSED_PAGES: Final = 12
"""pages without a series after which its state is dropped"""
CLOCK_SKEW_SECONDS: Final = 60.0
"""the engine's clock may stand this far before or behind ours"""
_SAME_START_SECONDS: Final = 1.0
_ROUNDING: Final = 1e-9
"""relative; sums over an engine's processes are added in another order each time"""


class Key(NamedTuple):
    """One running total: what it counts, its family on the page, all its labels there."""

    metric: str
    family: str
    labels: Labels


class Total(msgspec.Struct, frozen=True):
    """`started` is the unix time at which the counting began, None when it is not told."""

    value: Value
    started: float | None = None


class Advance(msgspec.Struct, frozen=True):
    increments: Mapping[Key, Value]
    reset: bool
    """some total began anew"""


class _Seen:
    __slots__ = ("at", "latest_start", "missed", "started", "value")
    latest_start: float

    def __init__(self, total: Total, at: float, before: "_Seen | None" = None) -> None:
        self.value = total.value
        self.started = total.started
        self.latest_start = max(
            -inf if before is None else before.latest_start, -inf if total.started is None else total.started
        )
        self.at = at
        self.missed = 0


class Deltas:
    """
    The state of one engine's totals. Bounded by `max_series` and by forgetting what the page no longer has: then only
    when a series was last seen, so that one that comes back is known from one that begins; where even that is too
    much, all of the family pass for such as come back.

    :param since: unix time at which we began to watch
    """

    def __init__(self, since: float, max_series: int) -> None:
        self._since = since
        self._max_series = max_series
        self._seen: dict[Key, _Seen] = {}
        self._families: Set[str] = frozenset()
        self._forgotten: dict[Key, float] = {}
        self._overlooked: dict[str, float] = {}
        self._incarnation: float | None = None

    def advance(
        self,
        totals: Mapping[Key, Total],
        now: float,
        families: Set[str] = frozenset(),
        incarnation: float | None = None,
    ) -> Advance:
        """
        What was added since the last page; 0 for a series that begins, so that it exists.

        :param families: all family names of the page: a series that is new in a family known from the page before
            started at 0
        :param incarnation: a number that rises when the engine restarts, with no meaning as a time
        """
        restarted = _rose(self._incarnation, incarnation)
        self._incarnation = incarnation if incarnation is not None else self._incarnation
        increments: dict[Key, Value] = {}
        reset = False
        for key, told in totals.items():
            total = _dated(told, now)
            seen = self._seen.get(key)
            if seen is None:
                increments[key] = total.value if self._began_now(key, total) else _zero(total.value)
            else:
                increments[key], anew = _step(seen, total, restarted)
                reset = reset or anew
            self._seen[key] = _Seen(total, now, seen)
        self._forget(totals)
        self._families = families
        return Advance(increments, reset)

    def _began_now(self, key: Key, total: Total) -> bool:
        """Whether all that a series new to us holds was counted since we watch."""
        before = (self._forgotten.pop(key, None), self._overlooked.get(key.family))
        seen_at = max((at for at in before if at is not None), default=None)
        if total.started is not None and total.started >= (self._since if seen_at is None else seen_at):
            return True
        return key.family in self._families and seen_at is None

    def _forget(self, present: Mapping[Key, Total]) -> None:
        crowded = len(self._seen) > self._max_series
        for key in [key for key in self._seen if key not in present]:
            seen = self._seen[key]
            seen.missed += 1
            if crowded or seen.missed >= MISSED_PAGES:
                self._forgotten[key] = seen.at
                del self._seen[key]
        while len(self._forgotten) > self._max_series:
            oldest = next(iter(self._forgotten))
            self._overlooked[oldest.family] = self._forgotten.pop(oldest)

    def __len__(self) -> int:
        return len(self._seen)


def _dated(total: Total, now: float) -> Total:
    """Without a start that is still to come: it is in another unit, or of a clock that is far off."""
    return total if total.started is None or total.started <= now + CLOCK_SKEW_SECONDS else Total(total.value)


def _step(seen: _Seen, total: Total, restarted: bool | None) -> tuple[Value, bool]:
    """The increment, and whether the total began anew. `restarted` is the engine's own word, None if it gives none."""
    if seen.started is not None and total.started is not None:
        if abs(total.started - seen.started) > _SAME_START_SECONDS:
            # a start that is old, or before the latest one, is another process behind this address: what of it is new,
            # none knows
            fresh = total.started > seen.latest_start and total.started >= seen.at - CLOCK_SKEW_SECONDS
            return (total.value if fresh else _zero(total.value)), True
    elif restarted is not None:
        return (total.value if restarted else _zero(total.value)), True
    return _difference(seen.value, total.value)


def _difference(before: Value, after: Value) -> tuple[Value, bool]:
    if isinstance(before, Distribution) and isinstance(after, Distribution):
        if before.bounds != after.bounds:
            fell = _fell(sum(before.counts), sum(after.counts))
            return (after if fell else _zero(after)), fell
        if _fell(before.sum, after.sum) or any(map(_fell, before.counts, after.counts)):
            return after, True
        counts = tuple(max(0.0, high - low) for low, high in zip(before.counts, after.counts, strict=True))
        return Distribution(after.bounds, counts, max(0.0, after.sum - before.sum)), False
    if isinstance(before, Distribution) or isinstance(after, Distribution):
        return _zero(after), False
    return (after, True) if _fell(before, after) else (max(0.0, after - before), False)


def _fell(before: float, after: float) -> bool:
    return after < before - _ROUNDING * abs(before)


def _rose(before: float | None, after: float | None) -> bool | None:
    """None when nothing changed or nothing is known."""
    return None if before is None or after is None or before == after else after > before


def _zero(value: Value) -> Value:
    return Distribution(value.bounds, (0.0,) * len(value.counts), 0.0) if isinstance(value, Distribution) else 0.0
