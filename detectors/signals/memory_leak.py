"""
Device memory that rises without end while the load does not.

The least memory in use of every 5 minutes (so that what an allocator takes and gives back within them does not count)
is looked at over the last 2 and the last 6 hours. It leaks when, over one of them, the Theil-Sen slope would fill the
device within `full_within_hours`; it rose by `growth_bytes` at least; it rose steadily, that is in nearly every
eighth of the time, no eighth having most of it, the last third no slower than half the whole, and with little back
and forth; and the load (utilisation) does not explain it: of the spans that differ in load, 80 % of those with more
load have more memory where it does. Memory given back once shows that this workload returns what it takes: from then
on only a level above that peak counts. When a device falls nearly empty, or goes to another pod, its history begins
anew.

Catches: a leak that fills the device within a day, 2 to 3 hours after it began; a slower one after 6. Misses: engines
that take their memory at start (their leaks show in host memory), leaks while the load keeps rising, leaks smaller
than `growth_bytes` in 6 hours. Mistakes for a leak: the first tooth of a sawtooth that takes hours and would fill the
device; the first day's wave of memory that comes an hour after the load. Keeps 72 spans of 5 minutes per device.
"""

from collections import deque
from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import Annotated, Final

import msgspec

from detectors.signals._devices import Device, Roster
from detectors.signals._labels import named
from detectors.signals._levels import Ladder
from detectors.signals._spans import GIB, number
from watchkeeper.core.interfaces import Plugin
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Assessment, Batch, State, Verdict
from watchkeeper.core.vocabulary import devices

_SPAN_SECONDS: Final = 300.0
_LONG: Final = 72
_SHORT: Final = 24
_PARTS: Final = 8
_RAISE_SECONDS: Final = 1800.0
_CLEAR_SECONDS: Final = 3600.0
_LARGEST_PART: Final = 0.4
"""of the growth, in one eighth of the time: more is a step"""
_DIRECT: Final = 0.6
"""growth over all ups and downs between spans; 1 = never down"""
_RETURNED: Final = 0.5
"""of the growth, given back: it is a sawtooth"""
_PEAK: Final = 1.05
"""a level is higher than the peak it once came back from, when by this factor"""
_EMPTY: Final = 0.1
"""of the device in use: whoever had it has ended"""
_LOAD_DIFFERS: Final = 0.03
"""two spans whose utilisation differs by less tell nothing of what memory goes with load"""
_FOLLOWS: Final = 0.8
"""share of such pairs with more memory at more load: then the load explains it"""
_TASK: Final = {"general", ""}


class MemoryLeakConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Device memory that rises steadily without the load."""

    enabled: bool = True
    """False: memory is not judged"""
    interval_seconds: Annotated[float, msgspec.Meta(ge=1)] = 60.0
    """how often it is judged"""
    full_within_hours: Annotated[float, msgspec.Meta(gt=0)] = 24.0
    """warn when at this pace the device is full sooner"""
    full_soon_hours: Annotated[float, msgspec.Meta(gt=0)] = 2.0
    """alarm when sooner than this"""
    growth_bytes: Annotated[float, msgspec.Meta(gt=0)] = GIB
    """less growth than this is nothing to speak of"""


class Growth(msgspec.Struct, frozen=True):
    """How memory rose: bytes per second by Theil-Sen, bytes in all, over so many seconds."""

    slope: float
    grown_bytes: float
    seconds: float


class _Span(msgspec.Struct):
    index: float
    lowest: float
    load_sum: float = 0.0
    load_count: int = 0

    @property
    def load(self) -> float:
        return self.load_sum / self.load_count if self.load_count else 0.0


def slope_of(levels: Sequence[float]) -> float:
    """Theil-Sen: the median of the slopes between all pairs, per step. Up to 29 % of the levels may be anything."""
    slopes = [(levels[j] - levels[i]) / (j - i) for i in range(len(levels)) for j in range(i + 1, len(levels))]
    return median(slopes)


def growth(levels: Sequence[float], least_bytes: float) -> Growth | None:
    """Steady growth of the levels of one span after the other; None = there is none."""
    if levels[-1] - levels[0] < least_bytes / 2:
        return None
    size = len(levels) // _PARTS
    parts = [median(levels[place * size : (place + 1) * size]) for place in range(_PARTS)]
    rises = [after - before for before, after in pairwise(parts)]
    rose = parts[-1] - parts[0]
    if sum(1 for rise in rises if rise > 0) < len(rises) - 1 or max(rises) > _LARGEST_PART * rose:
        return None
    steps = sum(abs(after - before) for before, after in pairwise(levels))
    if levels[-1] - levels[0] < _DIRECT * steps:
        return None
    slope = slope_of(levels)
    grown = slope * (len(levels) - 1)
    if grown < least_bytes:
        return None
    if slope_of(levels[-len(levels) // 3 :]) < slope / 2:
        return None
    return Growth(slope / _SPAN_SECONDS, grown, (len(levels) - 1) * _SPAN_SECONDS)


def follows_load(levels: Sequence[float], loads: Sequence[float]) -> bool:
    """Whether, of spans that differ in load, nearly all with more of it have more memory; False where few differ."""
    with_load = pairs = 0
    for later in range(len(levels)):
        for earlier in range(later):
            differs = loads[later] - loads[earlier]
            if abs(differs) >= _LOAD_DIFFERS:
                pairs += 1
                with_load += (levels[later] > levels[earlier]) == (differs > 0)
    return pairs >= len(levels) and with_load >= _FOLLOWS * pairs


class _Kept:
    __slots__ = ("growth", "judged_index", "ladder", "limit", "load", "peak", "place", "spans", "usage")

    def __init__(self) -> None:
        self.limit: float | None = None
        self.begin("")

    def begin(self, place: str) -> None:
        """Nothing is known of whoever has the device now."""
        self.place = place
        self.usage: float | None = None
        self.load = 0.0
        self.spans: deque[_Span] = deque(maxlen=_LONG + 1)
        self.peak = 0.0
        self.growth: Growth | None = None
        self.judged_index = float("-inf")
        self.ladder = Ladder(1.0, 1.0, _RAISE_SECONDS, _CLEAR_SECONDS)

    def use(self, usage: float, now: float) -> None:
        index = now // _SPAN_SECONDS
        self.usage = usage
        is_empty = self.limit is not None and usage < _EMPTY * self.limit
        is_set_back = bool(self.spans) and index < self.spans[-1].index
        if is_empty or is_set_back:
            self.spans.clear()
            self.peak = 0.0
            self.growth = None
        if is_empty:
            return
        if not self.spans or self.spans[-1].index < index:
            self.spans.append(_Span(index, usage))
        newest = self.spans[-1]
        newest.lowest = min(newest.lowest, usage)
        newest.load_sum += self.load
        newest.load_count += 1


class MemoryLeak:
    def __init__(self, config: MemoryLeakConfig, ledger: Ledger) -> None:
        self._config = config
        self._roster: Roster[_Kept] = Roster(_Kept)

    def update(self, batch: Batch) -> None:
        for point in batch.points:
            own = named(point.labels)
            if own.get("hw.gpu.task", "") not in _TASK:
                continue
            known = self._roster.see(own, batch.at)
            if known is None:
                continue
            kept = known.kept
            if kept.place != known.device.place:
                kept.begin(known.device.place)
            if point.metric is devices.MEMORY_LIMIT:
                kept.limit = number(point)
            elif point.metric is devices.UTILIZATION:
                kept.load = number(point)
            else:
                kept.use(number(point), batch.at)

    def assess(self, now: float) -> list[Assessment]:
        return [self._judge(known.device, known.kept, now) for known in self._roster.present(now)]

    def _judge(self, device: Device, kept: _Kept, now: float) -> Assessment:
        subject = device.placed_subject
        whole = list(kept.spans)[:-1]
        if kept.limit is None or kept.usage is None or (len(whole) < _SHORT and kept.ladder.state is State.OK):
            return Assessment(subject=subject, verdict=Verdict(State.WARMING, 0.0, 1.0))
        if whole and whole[-1].index != kept.judged_index:
            kept.judged_index = whole[-1].index
            kept.growth = self._growth(whole, kept)
        free = max(kept.limit - kept.usage, 1.0)
        slope = 0.0
        if kept.growth is not None and kept.usage > _PEAK * kept.peak:
            slope = kept.growth.slope
        filled_within = self._config.full_within_hours * 3600 * slope / free
        filled_soon = self._config.full_soon_hours * 3600 * slope / free
        state = kept.ladder.update(filled_within, now, filled_soon)
        verdict = Verdict(state, filled_within, 1.0)
        if state is State.OK or kept.growth is None or not slope:
            return Assessment(subject=subject, verdict=verdict)
        grown = kept.growth
        return Assessment(
            subject=subject,
            verdict=verdict,
            summary=f"memory of {device} rises by {slope * 3600 / GIB:.2f} GiB an hour and is full in "
            f"{free / slope / 3600:.1f} hours",
            action="find the process that grows on this device, restart it in turn with its replicas before it runs "
            "out and give the curve to whoever owns the engine",
            evidence=(
                f"{grown.grown_bytes / GIB:.1f} GiB more in {grown.seconds / 3600:.1f} hours, without a rise in load",
                f"{kept.usage / GIB:.1f} of {kept.limit / GIB:.1f} GiB in use",
            ),
            since=now - grown.seconds,
        )

    def _growth(self, whole: Sequence[_Span], kept: _Kept) -> Growth | None:
        levels = [span.lowest for span in whole]
        _remember_returned(levels, kept, self._config.growth_bytes)
        loads = [span.load for span in whole]
        for count in (_SHORT, _LONG):
            if len(levels) < count:
                continue
            found = growth(levels[-count:], self._config.growth_bytes)
            if found is not None and not follows_load(levels[-count:], loads[-count:]):
                return found
        return None


def _remember_returned(levels: Sequence[float], kept: _Kept, least_bytes: float) -> None:
    """The highest level from which the workload gave back half or more of what it had taken."""
    lowest = highest = levels[0]
    for level in levels[1:]:
        if level > highest:
            highest = level
        returned = highest - level
        if returned >= max(least_bytes / 2, _RETURNED * (highest - lowest)):
            kept.peak = max(kept.peak, highest)
            lowest = highest = level
        lowest = min(lowest, level)


PLUGIN: Final = Plugin(
    name="memory_leak",
    summary="Device memory that rises steadily while the load does not.",
    config=MemoryLeakConfig,
    build=MemoryLeak,
    reads=(devices.MEMORY_USAGE, devices.MEMORY_LIMIT, devices.UTILIZATION),
    roles=("run", "node"),
    interval_seconds=lambda config: config.interval_seconds,
)
