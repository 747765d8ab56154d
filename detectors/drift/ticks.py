"""
What is combined before the evidence moves, in one process and over many.

A tick holds counts per bin of the reference. Counts of replicas add up, so any split of the same traffic over replicas
gives the same evidence. Ticks of replicas have common numbers: unix seconds // `tick_seconds`. A tick without
observations is never made, so quiet nights cost nothing of the promise.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec

TICK_SECONDS: Final = 10.0
_REMEMBERED: Final = 64
"""ticks back from the newest of a replica within which a second delivery is recognised; older records are refused"""
_MOST_OPEN: Final = 64
"""ticks held open at once; beyond, the oldest is judged with what it has"""
_MOST_REPLICAS: Final = 16_384
_HELD_BACK: Final = 2
"""ticks that every replica must be ahead before one is over: what was swapped on the way is still counted in its own"""
_LONGEST_STEP_SECONDS: Final = 10.0
"""that a silence of all replicas counts as: after an outage nobody is given up who is only just coming back"""
_SET_BACK_SECONDS: Final = 600.0
"""by which a clock must be behind the newest one before it is believed"""


class Tick(msgspec.Struct, frozen=True):
    """Merged counts of one tick that began `at` (unix seconds); at least one observation."""

    at: float
    counts: tuple[int, ...]


class OpenTick:
    """
    Fills the tick in progress; the first call at or after its end closes it.

    By time: a tick ends where unix seconds pass a multiple of `seconds`. With `observations`, a tick also ends when it
    holds so many (only in one process: such ticks have no common numbers and cannot be merged over replicas).
    """

    def __init__(self, bins: int, seconds: float = TICK_SECONDS, observations: int | None = None) -> None:
        if seconds <= 0 or (observations is not None and observations < 1):
            raise ValueError("a tick has a length above 0")
        self._seconds = seconds
        self._observations = observations
        self.counts = [0] * bins
        self.held = 0
        self.number = 0

    def add(self, place: int, now: float) -> Tick | None:
        """One observation in bin `place`. :return: the tick that ended before it, or with it"""
        ended = self.close(now)
        if not self.held:
            self.number = int(now // self._seconds)
        self.counts[place] += 1
        self.held += 1
        if self._observations is not None and self.held >= self._observations:
            return self._end()  # the one before ended in its own add: at most one tick ends per call
        return ended

    def close(self, now: float) -> Tick | None:
        """The tick if its time is over."""
        return self._end() if self.held and now >= (self.number + 1) * self._seconds else None

    def _end(self) -> Tick:
        tick = Tick(self.number * self._seconds, tuple(self.counts))
        self.counts = [0] * len(self.counts)
        self.held = 0
        return tick


class Taken(StrEnum):
    """What became of a record. Bounded, because it becomes a label value."""

    TAKEN = "taken"
    LATE = "late"
    """its tick was over; it counts in the next: bands and bets of that one were fixed before anybody looked at it"""
    DUPLICATE = "duplicate"
    EXPIRED = "expired"
    """too old to know whether it came before"""


class _Source(msgspec.Struct, array_like=True):
    """A start of a replica."""

    newest: int
    mask: int
    """bit i: record number newest - i was taken"""
    heard: float
    """in the merger's own time"""
    is_live: bool = True


class MergerState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    closed: int
    time: float
    stamp: float
    open: dict[int, dict[str, dict[int, int]]]
    sources: dict[int, _Source]


class Merger:
    """
    Adds up the records of many replicas, each once, tick by tick, for one segment.

    What is over is told by the records alone, whatever the time of day: a tick, when every live replica told of ticks
    two later. A replica is live until the others went on for `grace_seconds` without it. That time is the merger's own:
    it goes on with the times at which records were sent, and stands still while nobody sends. So the same records in
    the same order give the same ticks, however late or fast they are read, and clocks of replicas that differ by less
    than `grace_seconds` cost nothing. In the first `grace_seconds` nothing is over: who is there shows itself first.
    """

    def __init__(self, grace_seconds: float = 60.0) -> None:
        self._grace_seconds = grace_seconds
        self._closed = -(2**62)
        self._time = 0.0
        self._stamp = float("-inf")
        self._open: dict[int, dict[str, dict[int, int]]] = {}
        self._sources: dict[int, _Source] = {}
        self._newest: Counter[int] = Counter()
        """how many live replicas have told of this tick last"""

    def add(self, source: str, number: int, counts: Mapping[str, Mapping[int, int]], sent_at: float) -> Taken:
        """
        :param source: a start of a replica
        :param number: of the tick
        :param counts: by signal and bin
        :param sent_at: unix seconds on the sender's clock
        """
        self._pass(sent_at)
        key = int.from_bytes(hashlib.blake2b(source.encode(), digest_size=8).digest(), "big")
        refused = self._refused(key, number)
        if refused is not None:
            return refused
        late = number <= self._closed
        if counts:
            held = self._open.setdefault(self._closed + 1 if late else number, {})
            for signal, bins in counts.items():
                sums = held.setdefault(signal, {})
                for place, count in bins.items():
                    sums[place] = sums.get(place, 0) + count
        return Taken.LATE if late else Taken.TAKEN

    def due(self) -> list[tuple[int, dict[str, dict[int, int]]]]:
        """Ticks that are over, by number, oldest first; to be asked after every record."""
        over = min(self._newest, default=self._closed) - _HELD_BACK
        if self._time < self._grace_seconds:
            over = self._closed
        if len(self._open) > _MOST_OPEN:
            over = max(over, sorted(self._open)[len(self._open) - _MOST_OPEN - 1])
        if over <= self._closed:
            return []
        self._closed = over
        return [(number, self._open.pop(number)) for number in sorted(self._open) if number <= over]

    def drop(self, signal: str) -> None:
        """What is held of a signal counts no more: its bins are others now."""
        for counts in self._open.values():
            counts.pop(signal, None)

    def _pass(self, sent_at: float) -> None:
        step = sent_at - self._stamp if self._stamp > float("-inf") else 0.0
        if step >= 0 or step < -_SET_BACK_SECONDS:
            self._stamp = sent_at
        before, self._time = self._time, self._time + min(max(step, 0.0), _LONGEST_STEP_SECONDS)
        if int(before) == int(self._time):
            return
        for known in self._sources.values():
            if known.is_live and self._time - known.heard > self._grace_seconds:
                known.is_live = False
                self._leave(known.newest)

    def _leave(self, number: int) -> None:
        self._newest[number] -= 1
        if not self._newest[number]:
            del self._newest[number]

    def _refused(self, key: int, number: int) -> Taken | None:
        known = self._sources.get(key)
        if known is None:
            if number <= self._closed - _REMEMBERED and not self._is_set_back(number):
                return Taken.EXPIRED
            self._make_room()
            self._sources[key] = _Source(number, 1, self._time)
            self._newest[number] += 1
            return None
        known.heard = self._time
        if known.is_live:
            self._leave(known.newest)
        known.is_live = True
        said = _noted(known, number)
        self._newest[known.newest] += 1
        return said

    def _is_set_back(self, number: int) -> bool:
        """All who still speak are where this record is: it was the clocks before that were wrong."""
        if any(newest > number + _REMEMBERED for newest in self._newest):
            return False
        self._closed = number - 1
        return True

    def _make_room(self) -> None:
        if len(self._sources) >= _MOST_REPLICAS:
            gone = min(self._sources, key=lambda key: self._sources[key].heard)
            known = self._sources.pop(gone)
            if known.is_live:
                self._leave(known.newest)

    def state(self) -> MergerState:
        sources = {key: msgspec.structs.replace(known) for key, known in self._sources.items()}
        held = {number: {name: dict(bins) for name, bins in counts.items()} for number, counts in self._open.items()}
        return MergerState(self._closed, self._time, self._stamp, held, sources)

    def restore(self, state: MergerState) -> None:
        self._closed, self._time, self._stamp = state.closed, state.time, state.stamp
        self._open, self._sources = state.open, state.sources
        self._newest = Counter(known.newest for known in state.sources.values() if known.is_live)


def _noted(known: _Source, number: int) -> Taken | None:
    """Remembers it as taken; what it is otherwise."""
    back = known.newest - number
    if back < 0:
        known.mask = (known.mask << -back | 1) & (1 << _REMEMBERED) - 1 if back > -_REMEMBERED else 1
        known.newest = number
        return None
    if back >= _REMEMBERED:
        return Taken.EXPIRED
    if known.mask >> back & 1:
        return Taken.DUPLICATE
    known.mask |= 1 << back
    return None
