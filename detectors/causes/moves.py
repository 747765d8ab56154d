"""
How far a quantity moved at an onset, in its own usual spreads.

Before: the 30 minutes up to the onset. After: from it to now, 30 minutes at most. Both are cut into blocks of a fifth
of the time after (a sixth of that before, if it is less), 10 to 60 seconds: as many observations in each as can be had.

    z = (median of the blocks after - median before) / max(interquartile range before, floor), within -20 .. 20

Of a share the whole counts instead of the median, and its sampling error is a floor too; of rare events likewise, with
sqrt(events before + 1) as what is usual: one error after 30 clean minutes must count.

No seasonal part is removed, 90 minutes know none. None is needed: on a steady ramp the interquartile range is half of
what half an hour moves, and medians of neighbouring half-hours are one such move apart, so |z| stays at 2.
"""

from collections.abc import Iterable
from math import ceil, isnan, nan, sqrt
from statistics import median, quantiles
from typing import Final

import msgspec

from detectors.causes.candidates import Candidate, Measure, Take
from detectors.causes.history import STEP_SECONDS, History, Track
from detectors.causes.scope import TIERS, Place

MOVED: Final = 3.0
LIMIT: Final = 20.0
_BEFORE_SECONDS: Final = 1800.0
_AFTER_SECONDS: Final = 1800.0
_EARLY_SECONDS: Final = 600.0
"""how long before the finding's onset a quantity's own is looked for"""
LEAST_BEFORE_SECONDS: Final = 180.0
LEAST_AFTER_SECONDS: Final = 30.0
_LEAST_BLOCKS: Final = (5, 3)
"""with a value, before and after"""
_BLOCK_STEPS: Final = 6
_BLOCKS_BEFORE: Final = 6
_BLOCKS_AFTER: Final = 5
"""how many there are to be, where that makes shorter ones"""
_WHOLE: Final = (Take.SHARE, Take.EVENTS, Take.MOST)


class Window(msgspec.Struct, frozen=True):
    """Steps to compare: `first` to `end` (not in) before, `begin` to `last` (in) after, in blocks of `block` steps."""

    first: int
    end: int
    begin: int
    last: int
    block: int

    @property
    def before_seconds(self) -> float:
        return max(0, self.end - self.first) * STEP_SECONDS

    @property
    def after_seconds(self) -> float:
        return max(0, self.last - self.begin + 1) * STEP_SECONDS

    @property
    def is_enough(self) -> bool:
        return self.before_seconds >= LEAST_BEFORE_SECONDS and self.after_seconds >= LEAST_AFTER_SECONDS


class Move(msgspec.Struct, frozen=True):
    """`before` and `after` in the candidate's unit; `onset` unix seconds, 0 = it did not move; `near` one of TIERS."""

    candidate: Candidate
    before: float
    after: float
    z: float
    onset: float = 0.0
    near: str = ""
    apart: str = ""


def window(history: History, onset: float) -> Window:
    """:param onset: unix seconds; the step in which it lies is in neither part"""
    end, begin = int(onset // STEP_SECONDS), ceil(onset / STEP_SECONDS)
    first = max(history.first_step, end - int(_BEFORE_SECONDS / STEP_SECONDS))
    last = min(history.last_step, begin + int(_AFTER_SECONDS / STEP_SECONDS) - 1)
    block = min(_BLOCK_STEPS, (last - begin + 1) // _BLOCKS_AFTER, (end - first) // _BLOCKS_BEFORE)
    return Window(first, end, begin, last, max(1, block))


def move_of(candidate: Candidate, history: History, tiers: tuple[frozenset[Place], ...], look: Window) -> Move | None:
    """From the series nearest to the finding that tell enough; None: nobody does. `look` is enough."""
    for near, places in zip(TIERS, tiers, strict=True):
        for measure in candidate.measures:
            found = _among(candidate, measure, history.tracks(measure, places, look.first, look.last), look)
            if found is not None:
                return msgspec.structs.replace(found, near=near)
    return None


def _among(candidate: Candidate, measure: Measure, tracks: tuple[Track, ...], look: Window) -> Move | None:
    if measure.take is Take.MOST:
        tracks = _most_frequent(tracks, look)
    elif not measure.most_moved and len(tracks) > 1:
        tracks = (max(tracks, key=lambda track: len(_told(track.upper))),)
    moves = [move for track in tracks if (move := _compare(candidate, measure, track, look)) is not None]
    return max(moves, key=lambda move: abs(move.z), default=None)


def _most_frequent(tracks: tuple[Track, ...], look: Window) -> tuple[Track, ...]:
    """The value of `apart` that came most before the onset, as a share of all that have one."""
    named = [track for track in tracks if track.apart]
    if not named:
        return ()
    counts = [[0.0 if isnan(count) else count for count in track.upper] for track in named]
    every = [sum(step) for step in zip(*counts, strict=True)]
    before = look.end - look.first
    most, top = max(zip(counts, named, strict=True), key=lambda pair: (sum(pair[0][:before]), pair[1].apart))
    return (Track(top.apart, [count if total > 0 else nan for count, total in zip(most, every, strict=True)], every),)


def _compare(candidate: Candidate, measure: Measure, track: Track, look: Window) -> Move | None:
    before, after = slice(0, look.end - look.first), slice(look.begin - look.first, None)
    per = STEP_SECONDS if measure.take in (Take.RATE, Take.EVENTS) else 1.0
    blocks_before = _blocks(track, before, look.block, per, from_end=True)
    blocks_after = _blocks(track, after, look.block, per, from_end=False)
    told_before, told_after = _told(blocks_before), _told(blocks_after)
    if len(told_before) < _LEAST_BLOCKS[0] or len(told_after) < _LEAST_BLOCKS[1]:
        return None
    low, _, high = quantiles(told_before, n=4, method="inclusive")
    if measure.take in _WHOLE:
        was, count = _whole(track, before, per)
        now, _ = _whole(track, after, per)
    else:
        was, now, count = median(told_before), median(told_after), 0.0
    spread = max(high - low, candidate.floor, candidate.floor_ratio * abs(was))
    if measure.take is Take.EVENTS:
        spread = max(spread, sqrt(was * count + 1) / count)
    elif measure.take in _WHOLE:
        share = min(1.0, max(0.0, was))
        spread = max(spread, sqrt((share * (1 - share) + 1 / count) / count))
    z = min(LIMIT, max(-LIMIT, (now - was) / spread)) if spread > 0 else 0.0
    began = _onset(track, look, was, now, per) if abs(z) >= MOVED else 0.0
    return Move(candidate, was, now, z, began, apart=track.apart)


def _told(values: Iterable[float]) -> list[float]:
    return [value for value in values if not isnan(value)]


def _blocks(track: Track, part: slice, size: int, per: float, *, from_end: bool) -> list[float]:
    upper, lower = track.upper[part], track.lower[part]
    whole = len(upper) // size * size
    first = len(upper) - whole if from_end else 0
    found = []
    for start in range(first, first + whole, size):
        top, bottom = _sums(upper[start : start + size], lower[start : start + size], per)
        found.append(top / bottom if bottom > 0 else nan)
    return found


def _sums(upper: list[float], lower: list[float], per: float) -> tuple[float, float]:
    """Over the steps that are told."""
    told = [pair for pair in zip(upper, lower, strict=True) if not isnan(pair[0])]
    return sum(over for over, _ in told), sum(under for _, under in told) * per


def _whole(track: Track, part: slice, per: float) -> tuple[float, float]:
    """The value over all steps, and what it is a share of: observations, or seconds."""
    top, bottom = _sums(track.upper[part], track.lower[part], per)
    return top / bottom, bottom


def _onset(track: Track, look: Window, was: float, now: float, per: float) -> float:
    """Begin of the first two blocks in a row that are past half of the way; at the end of what is known one will do."""
    start = max(0, look.end - int(_EARLY_SECONDS / STEP_SECONDS) - look.first)
    values = _blocks(track, slice(start, None), look.block, per, from_end=False)
    way = 1 if now > was else -1
    past = [(value - was) * way >= abs(now - was) / 2 for value in values]
    for place in range(len(past)):
        if past[place] and (place + 1 == len(past) or past[place + 1] or isnan(values[place + 1])):
            return (look.first + start + place * look.block) * STEP_SECONDS
    return look.begin * STEP_SECONDS
