"""Rows of calls drawn at random for the record that is kept: a few of each segment and hour, never text."""

import random
from collections.abc import Mapping
from typing import Final

from watchkeeper.core.observed import Drawn, Row

HOUR_SECONDS: Final = 3600.0


class _Hour:
    __slots__ = ("changed", "hour", "rows", "seen")

    def __init__(self, hour: float) -> None:
        self.hour = hour
        self.seen = 0
        self.rows: list[Row] = []
        self.changed = False


class Sampler:
    """
    A reservoir for each segment, begun anew each hour: every row has the same chance. Belongs to the pipeline's thread.

    :param most: rows of one segment and hour
    """

    def __init__(self, most: int, chance: random.Random) -> None:
        self._most = most
        self._chance = chance
        self._hours: dict[str, _Hour] = {}
        self._over: list[_Hour] = []
        self._names: list[str] = []

    def add(self, segment: str, values: Mapping[str, float | str], now: float) -> None:
        """What one record of a call gave to watch. :param now: unix seconds"""
        if not values:
            return
        held = self._hours.get(segment)
        if held is None or not 0.0 <= now - held.hour < HOUR_SECONDS:
            if held is not None and held.changed:
                self._over.append(held)
                self._names.append(segment)
            held = self._hours[segment] = _Hour(now // HOUR_SECONDS * HOUR_SECONDS)
        held.seen += 1
        if len(held.rows) < self._most:
            held.rows.append(Row(now, segment, dict(values)))
            held.changed = True
            return
        place = int(self._chance.random() * held.seen)
        if place < self._most:
            held.rows[place] = Row(now, segment, dict(values))
            held.changed = True

    def drain(self) -> tuple[Drawn, ...]:
        """Of each segment that has other rows than at the last call, all that it has."""
        found = [*zip(self._names, self._over, strict=True)]
        found += [(segment, held) for segment, held in self._hours.items() if held.changed]
        self._names, self._over = [], []
        for _, held in found:
            held.changed = False
        return tuple(Drawn(held.hour, segment, held.seen, tuple(held.rows)) for segment, held in found)
