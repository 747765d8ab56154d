"""
What is combined before the evidence moves, in one process and over many.

A tick holds counts per bin of the reference. Counts of replicas add up, so any split of the same traffic over replicas
gives the same evidence. Ticks of replicas have common numbers: unix seconds // `tick_seconds`. A tick without
observations is never made, so quiet nights cost nothing of the promise.
"""

from enum import StrEnum
from typing import Final

import msgspec

TICK_SECONDS: Final = 10.0
_REMEMBERED: Final = 64
"""ticks back from the newest of a replica within which a second delivery is recognised; older records are refused"""
_AHEAD: Final = 64
"""ticks by which a replica's clock may be ahead"""
_MOST_REPLICAS: Final = 4096


class TickRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one replica saw of one signal in one tick: what travels, and merges by adding `counts`."""

    signal: str
    """key of the watch that it is for"""
    reference: str
    """id of the pack whose bins were counted"""
    replica: str
    started: str
    """id of this start of the replica: after a restart the same tick may come once more, with other observations"""
    number: int
    counts: tuple[int, ...]


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
    AHEAD = "ahead"
    """from the future: the replica's clock is wrong"""
    FOREIGN = "foreign"
    """counted by another reference"""


class _Source(msgspec.Struct):
    newest: int
    mask: int
    """bit i: record number newest - i was taken"""


class MergerState(msgspec.Struct, frozen=True):
    closed: int
    open: dict[int, list[int]]
    sources: list[tuple[str, str, int, int]]


class Merger:
    """
    Adds up the records of many replicas, each once, tick by tick, for one signal.

    A tick closes `grace_seconds` after its end. `now` may be event time: where a backlog is read after an outage, hand
    in the time of the records, or they are all late.
    """

    def __init__(self, reference: str, bins: int, seconds: float = TICK_SECONDS, grace_seconds: float = 5.0) -> None:
        self._reference = reference
        self._bins = bins
        self._seconds = seconds
        self._grace_seconds = grace_seconds
        self._closed = -(2**62)
        self._open: dict[int, list[int]] = {}
        self._sources: dict[tuple[str, str], _Source] = {}

    def add(self, record: TickRecord, now: float) -> Taken:
        """:param now: unix seconds"""
        if record.reference != self._reference or len(record.counts) != self._bins:
            return Taken.FOREIGN
        if record.number > now // self._seconds + _AHEAD:
            return Taken.AHEAD
        if record.number <= self._closed - _REMEMBERED:
            return Taken.EXPIRED
        refused = self._refused(record)
        if refused is not None:
            return refused
        late = record.number <= self._closed
        counts = self._open.setdefault(self._closed + 1 if late else record.number, [0] * self._bins)
        for place, count in enumerate(record.counts):
            counts[place] += count
        return Taken.LATE if late else Taken.TAKEN

    def due(self, now: float) -> list[Tick]:
        """Ticks that are over, oldest first."""
        over = int((now - self._grace_seconds) // self._seconds) - 1
        if over <= self._closed:
            return []
        self._closed = over
        numbers = sorted(number for number in self._open if number <= over)
        for source in [key for key, known in self._sources.items() if known.newest <= over - _REMEMBERED]:
            del self._sources[source]
        return [Tick(number * self._seconds, tuple(self._open.pop(number))) for number in numbers]

    def _refused(self, record: TickRecord) -> Taken | None:
        key = (record.replica, record.started)
        source = self._sources.get(key)
        if source is None:
            if len(self._sources) >= _MOST_REPLICAS:
                return Taken.EXPIRED
            self._sources[key] = _Source(record.number, 1)
            return None
        back = source.newest - record.number
        if back < 0:
            source.mask = (source.mask << -back | 1) & (1 << _REMEMBERED) - 1 if back > -_REMEMBERED else 1
            source.newest = record.number
            return None
        if back >= _REMEMBERED:
            return Taken.EXPIRED
        if source.mask >> back & 1:
            return Taken.DUPLICATE
        source.mask |= 1 << back
        return None

    def state(self) -> MergerState:
        sources = [(*key, source.newest, source.mask) for key, source in self._sources.items()]
        return MergerState(self._closed, {number: list(counts) for number, counts in self._open.items()}, sources)

    def restore(self, state: MergerState) -> None:
        """:raises ValueError: of other bins"""
        if any(len(counts) != self._bins for counts in state.open.values()):
            raise ValueError("the state holds other bins than the reference")
        self._closed = state.closed
        self._open = {number: list(counts) for number, counts in state.open.items()}
        self._sources = {(replica, started): _Source(newest, mask) for replica, started, newest, mask in state.sources}
