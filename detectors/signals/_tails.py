"""The arithmetic of `tail`: how far out a point is, and whether that is more than chance brings."""

import hashlib
import math
from array import array
from collections.abc import Sequence
from itertools import accumulate, count, pairwise
from statistics import fmean, median, quantiles
from typing import Final

import msgspec

from detectors.drift.odds import horizon, log_odds
from detectors.drift.ranks import EXPONENTS, LEAST_BLOCKS, Bag, grow
from detectors.signals.tail import Line, TailConfig, metric_of
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.metric import Kind, Metric
from watchkeeper.core.records import Assessment, Batch, HistogramValue, Labels, SeriesKey, State, Verdict
from watchkeeper.core.vocabulary import engines, signals

WINDOW: Final = 4_000
LATEST: Final = 120
"""points that are left out of what is usual, so that what goes on for an hour does not become it"""
LEAST_POINTS: Final = 100 + LATEST
BLOCK: Final = 10
LEAST_OF_HOUR: Final = 36
"""earlier blocks of the same hour of the day before they are asked too: three days"""
HELD_SECONDS: Final = 1800.0
_ACCEPTED_SECONDS: Final = 86_400.0
"""after which what a warning was about is what is usual"""
_RENEWED: Final = 20
_MEAN: Final = 4
_USUAL: Final = 6.0
"""scales within which all points are alike"""
_FORGET_SECONDS: Final = 3600.0
_ROOT: Final = math.sqrt(2.0)


class Usual(msgspec.Struct, frozen=True):
    """Location and scale of points, of means of 4, and of means of 4 absolute differences; 1 and 99 % of points."""

    location: float
    scale: float
    mean_location: float
    mean_scale: float
    unrest_location: float
    unrest_scale: float
    lowest: float
    highest: float


def usual(points: Sequence[float], floor: float) -> Usual:
    """:param points: at least 8, oldest first"""
    means = _means(points)
    unrest = _means(_steps(points))
    location, scale, lowest, highest = _spread(points, floor)
    return Usual(location, scale, *_spread(means, floor)[:2], *_spread(unrest, floor)[:2], lowest, highest)


def _steps(points: Sequence[float]) -> list[float]:
    return [abs(after - before) for before, after in pairwise(points)]


def _means(values: Sequence[float]) -> list[float]:
    """Of each 4 in a row but the first."""
    total = list(accumulate(values))
    return [(end - begin) / _MEAN for begin, end in zip(total, total[_MEAN:], strict=False)]


def _spread(values: Sequence[float], floor: float) -> tuple[float, float, float, float]:
    ordered = sorted(values)
    hundredths = quantiles(ordered, n=100, method="inclusive")
    lowest, location, highest = hundredths[0], hundredths[49], hundredths[98]
    deviation = 1.4826 * median([abs(value - location) for value in ordered])  # two runs: quickly sorted
    scale = max(deviation, (highest - lowest) / 4.65, 1e-9 + 1e-6 * abs(location), floor)
    return location, scale, lowest, highest


def score(newest: Sequence[float], known: Usual, line: Line) -> float:
    """
    How far out the newest point is, in [0, 1]; 0 within 6 scales.

    :param newest: the last 5 points, oldest first
    """
    value, mean = newest[-1], fmean(newest[-_MEAN:])
    if line.beyond is not None and (mean <= line.beyond if line.side == "high" else mean >= line.beyond):
        return 0.0
    unrest = fmean(_steps(newest))
    sides = {"high": (1.0,), "low": (-1.0,), "both": (1.0, -1.0)}[line.side]
    out = max(
        max(side * (value - known.location) / known.scale for side in sides),
        max(side * (mean - known.mean_location) / known.mean_scale for side in sides),
        (unrest - known.unrest_location) / known.unrest_scale,
    )
    if out < _USUAL:
        return 0.0
    tail = len(sides) * 0.5 * math.erfc(out / _ROOT)
    return min(1.0, -math.log10(tail) / 20) if tail > 0 else 1.0


class Points:
    """The last 4,000 points of a series, in a ring."""

    __slots__ = ("_ring", "total")

    def __init__(self) -> None:
        self._ring = array("f")
        self.total = 0

    def add(self, value: float) -> None:
        if self.total < WINDOW:
            self._ring.append(value)
        else:
            self._ring[self.total % WINDOW] = value
        self.total += 1

    def newest(self, number: int) -> list[float]:
        """Oldest first; fewer where there are not so many."""
        held = min(number, len(self._ring))
        end = self.total % WINDOW if self.total > WINDOW else len(self._ring)
        if held <= end:
            return self._ring[end - held : end].tolist()
        return (self._ring[end - held :] + self._ring[:end]).tolist()


class Watched:
    """
    One series. Fed with what came, asked once a point.

    :param limit: A / w: blocks in which this series alone may cross once without cause
    :param turn: series with different ones renew what is usual at different points: 3 ms each
    """

    def __init__(self, line: Line, metric: Metric, subject: Labels, limit: float, turn: int) -> None:
        self.line = line
        self.metric = metric
        self.subject = subject
        self.seen_at = 0.0
        self.raised = False
        self.since = 0.0
        """when the run of blocks with something far out began"""
        self.points = Points()
        self.crossings = 0
        """how often evidence reached its limit, by chance or not"""
        self._limit = limit
        self._turn = turn
        self._sum = 0.0
        self._number = 0
        self._began_at: float | None = None
        self._known: Usual | None = None
        self._bag = Bag()
        self._hours: dict[int, Bag] = {}
        self._evidence = [0.0] * len(EXPONENTS)
        self._odds = 0.0
        self._block: list[float] = []
        self._blocks = 0
        self._out_at = 0.0
        self._is_out = False

    def add(self, value: float, at: float) -> None:
        """A gauge's value, or what a counter grew by."""
        self._sum += value
        self._number += 1
        self.seen_at = at

    def close(self, now: float) -> None:
        """End the point. An interval in which nothing came is none."""
        began, self._began_at = self._began_at, now
        if not self._number:
            return
        is_counter = self.metric.kind is Kind.COUNTER
        seconds = now - began if began is not None else 0.0
        over = seconds if is_counter else float(self._number)
        value = self._sum / over if over > 0 else None
        self._sum, self._number = 0.0, 0
        if value is None:  # of a counter that was not seen before it is not known since when it grew
            return
        self._judge(value, now)
        self.points.add(value)
        is_new = not self.raised or not 0 <= now - self.since < _ACCEPTED_SECONDS
        if self.points.total >= LEAST_POINTS and (self.points.total - self._turn) % _RENEWED == 0 and is_new:
            self._known = usual(self.points.newest(WINDOW)[:-LATEST], self.line.floor)

    def _judge(self, value: float, now: float) -> None:
        if self._known is None:
            return
        self._block.append(score([*self.points.newest(_MEAN), value], self._known, self.line))
        if self._block[-1] > 0:
            self._out_at = now
            if not self._is_out:
                self.since, self._is_out = now, True
        if self.raised and not 0 <= now - self._out_at < HELD_SECONDS:
            self.raised = False
        if len(self._block) == BLOCK:
            self._rank(max(self._block), int(now % 86_400 // 3600))
            self._is_out = max(self._block) > 0
            self._block.clear()

    def _rank(self, highest: float, hour: int) -> None:
        """Among all blocks, and among those of its hour once there are enough: the larger of two p-values is one."""
        self._blocks += 1
        chance = _chance(self.subject, self._blocks)
        known = self._bag.total
        same = self._hours.setdefault(hour, Bag())
        is_known = same.total >= LEAST_OF_HOUR
        p, p_of_hour = self._bag.rank(highest, chance), same.rank(highest, chance)
        if is_known:
            p = max(p, p_of_hour)
        if known < LEAST_BLOCKS:
            return
        self._evidence = grow(self._evidence, p)
        self._odds = fmean(self._evidence)
        if self._odds >= self._limit:
            self._evidence = [0.0] * len(EXPONENTS)
            self.crossings += 1
            self.raised |= highest > 0

    def assess(self, days: float) -> Assessment:
        if self._known is None or self._bag.total < LEAST_BLOCKS:
            return Assessment(subject=self.subject, verdict=Verdict(State.WARMING, 0.0, 1.0))
        odds = log_odds(self._odds) / math.log(self._limit)
        if not self.raised:
            return Assessment(subject=self.subject, verdict=Verdict(State.OK, odds, 1.0))
        value, unit = fmean(self.points.newest(_MEAN)), self.metric.unit
        known, per = self._known, " per second" if self.metric.kind is Kind.COUNTER else ""
        where = " ".join(text for label, text in self.subject if label != "series")
        return Assessment(
            subject=self.subject,
            verdict=Verdict(State.WARN, max(odds, 1.0), 1.0),
            summary=f"{self.line.label}{f' of {where}' if where else ''} is {_said(value, unit)}{per}, far outside of "
            f"its last hours: usually {known.lowest:.4g} to {_said(known.highest, unit)}",
            action=_ACTIONS.get(self.metric, _ACTION),
            evidence=(
                f"median {known.location:.4g}, scale {known.scale:.4g}, of the points before"
                f"chance had one finding in {days:g} days, all series together",
            ),
            since=self.since,
        )


_ACTION: Final = "look at what else changed then: load, versions, configuration, the device or the engine behind it"
_ACTIONS: Final = {
    engines.WAITING: "compare the request rate, prompt lengths and KV cache use since then; add replicas or admit less",
}


def _said(value: float, unit: str) -> str:
    return f"{value:.4g} {unit.strip('{}')}" if unit not in ("", "1") else f"{value:.4g}"


def _chance(subject: Labels, number: int) -> float:
    """In (0, 1): the same for the same series and block."""
    digest = hashlib.blake2b(repr((subject, number)).encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") % 2**53 + 0.5) / 2**53


class Tail:
    """Bounded by `max_series`. A series that is not seen for an hour leaves."""

    def __init__(self, config: TailConfig, ledger: Ledger) -> None:
        self._config = config
        self._ledger = ledger
        self._horizon = horizon(config.interval_seconds * BLOCK, config.false_alarm_days)
        self._lines: dict[Metric, list[Line]] = {}
        for line in config.series:
            metric = metric_of(line)
            if metric is not None:
                self._lines.setdefault(metric, []).append(line)
        self._feeds: dict[SeriesKey, tuple[Labels, ...]] = {}
        self._totals: dict[SeriesKey, float] = {}
        self._watched: dict[Labels, Watched] = {}
        self._places: dict[int, Labels] = {}
        """which place in the budget is whose; from 1"""
        self._refused: set[Labels] = set()

    def update(self, batch: Batch) -> None:
        for point in batch.points:
            lines = self._lines.get(point.metric)
            if lines is None or isinstance(point.value, HistogramValue):
                continue
            key = (point.metric, point.labels)
            value = point.value
            if point.metric.kind is Kind.COUNTER:
                last = self._totals.get(key, 0.0)
                self._totals[key] = value
                value = value - last if value >= last else value
            feeds = self._feeds.get(key)
            if feeds is None:
                feeds = self._feeds[key] = self._admit(point.metric, point.labels, lines)
            for subject in feeds:
                if (watched := self._watched.get(subject)) is not None:
                    watched.add(value, batch.at)
        for key in batch.gone:
            self._feeds.pop(key, None)
            self._totals.pop(key, None)

    def _admit(self, metric: Metric, labels: Labels, lines: list[Line]) -> tuple[Labels, ...]:
        """The subjects that a series belongs to; those that differ only in labels that name no subject are one."""
        own = dict(labels)
        named = tuple((name, own[name]) for name in signals.SUBJECT if name in own)
        subjects = []
        for line in lines:
            if not line.fits(own):
                continue
            subject = (*named, ("series", line.label))
            if subject not in self._watched and not self._take(subject, line, metric):
                continue
            subjects.append(subject)
        return tuple(subjects)

    def _take(self, subject: Labels, line: Line, metric: Metric) -> bool:
        if len(self._watched) >= self._config.max_series:
            self._refused.add(subject)
            self._ledger.set(signals.UNWATCHED, len(self._refused), ((signals.SIGNAL, "tail"),))
            return False
        place = next(place for place in count(1) if place not in self._places)
        self._places[place] = subject
        limit = max(self._horizon * place * (place + 1), 1.0 + 1e-9)
        self._watched[subject] = Watched(line, metric, subject, limit, turn=place % _RENEWED)
        return True

    def assess(self, now: float) -> list[Assessment]:
        for place, subject in list(self._places.items()):
            watched = self._watched[subject]
            watched.close(now)
            if watched.seen_at > now:  # the clock was set back
                watched.seen_at = now
            if now - watched.seen_at > _FORGET_SECONDS:
                del self._watched[subject], self._places[place]
                self._feeds = {key: fed for key, fed in self._feeds.items() if subject not in fed}
        return [watched.assess(self._config.false_alarm_days) for watched in self._watched.values()]
