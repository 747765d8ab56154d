"""The arithmetic of `share_over`: good and bad calls out of running totals, and the evidence against an objective."""

from bisect import bisect_left
from datetime import UTC, datetime
from itertools import count
from typing import Final

import msgspec

from detectors.drift.odds import HELD_SECONDS, horizon
from detectors.signals._evidence import Evidence
from detectors.signals._spans import Spans
from detectors.signals.share_over import AVAILABILITY, LATENCIES, Objective, ShareOverConfig
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.metric import Metric
from watchkeeper.core.observed import Segment
from watchkeeper.core.records import (
    Assessment,
    Batch,
    HistogramValue,
    Labels,
    Outcome,
    Point,
    SeriesKey,
    State,
    Vantage,
    Verdict,
)
from watchkeeper.core.vocabulary import requests, signals

_VIEW_SECONDS: Final = 600.0
"""an observer that told of nothing for so long gives way to the next"""
_HELD_SPANS: Final = 11
_MOST_JUDGES: Final = 500
_FAILED: Final = (Outcome.ERROR.value, Outcome.TIMEOUT.value, Outcome.REJECTED.value)
_NEAREST: Final = (Vantage.CLIENT.value, Vantage.TAP.value, Vantage.ENGINE.value, Vantage.PAGE.value)
"""to the user, first"""
_OTHER_ROLE: Final = {"time_to_first_token": "decode", "duration": "prefill", "time_per_output_token": "prefill"}
"""of engines that share a request, the one whose number is not the caller's"""
_SAID: Final = {
    "duration": "took longer than {edge:g} s",
    "time_to_first_token": "waited longer than {edge:g} s for the first token",
    "time_per_output_token": "took longer than {edge:g} s for each token after the first",
    AVAILABILITY: "failed",
}
_ACTIONS: Final = {
    "duration": "see which part is slow: first token (queue, prompts), each token (batch, devices), or longer answers",
    "time_to_first_token": "look at waiting requests and KV cache use: with a queue add replicas or admit fewer; "
    "without one look for longer prompts or a lost prefix cache",
    "time_per_output_token": "look for a throttled or slow device, a larger batch, and preemptions; then admit fewer "
    "requests at a time",
    AVAILABILITY: "look at the error types of these calls (error_type) and whether the engine answers; move traffic to "
    "another replica, model or provider if it does not",
}


class Onset(msgspec.Struct):
    """What crossed: since when, how many bad ones of how many since then, the last crossing, whether one came late."""

    since: float
    bad: float
    calls: float
    crossed_at: float = 0.0
    lasted: bool = False


class Judge:
    """
    One objective of one service and model. Fed with calls per tick.

    :param limit: A / w: ticks in which this judge alone may cross once without cause
    """

    def __init__(self, line: Objective, segment: Segment, config: ShareOverConfig, limit: float) -> None:
        self.line = line
        self.segment = segment
        self.edge = line.bound_seconds or 0.0
        """beyond which calls were counted as bad last"""
        self._config = config
        self._allowed = 1 - line.objective
        self._evidence = Evidence(self._allowed, limit)
        self._was_fed = False
        self._calls = Spans(HELD_SECONDS / (_HELD_SPANS - 1), _HELD_SPANS)
        self._bad = Spans(HELD_SECONDS / (_HELD_SPANS - 1), _HELD_SPANS)
        self._onset: Onset | None = None
        self._open: dict[int, list[float]] = {}
        self._seen: dict[int, float] = {}
        self._began_at: float | None = None

    def add(self, view: int, bad: float, calls: float, at: float) -> None:
        """Calls that ended, as one observer (the lower, the nearer) told of them."""
        if calls <= 0:
            return
        held = self._open.setdefault(view, [0.0, 0.0])
        held[0] += min(bad, calls)
        held[1] += calls
        self._seen[view] = at
        if self._began_at is None:
            self._began_at = at

    def close(self, now: float) -> None:
        """End the tick: what the nearest observer told becomes evidence."""
        views = [view for view, at in self._seen.items() if abs(now - at) <= _VIEW_SECONDS]
        bad, calls = self._open.get(min(views, default=-1), (0.0, 0.0))
        began = self._began_at if self._began_at is not None and self._began_at <= now else now
        self._open.clear()
        self._began_at = None
        if calls <= 0:
            return
        self._calls.add(calls, now)
        self._bad.add(bad, now)
        self._was_fed = True
        has_crossed = self._evidence.flags(bad, calls, began)
        if self._onset is not None:
            self._onset.bad += bad
            self._onset.calls += calls
        if has_crossed:
            self._cross(now)

    def _cross(self, now: float) -> None:
        if self._onset is None:
            since, bad, calls = self._evidence.since_onset()
            self._onset = Onset(since=since, bad=bad, calls=calls)
        onset = self._onset
        onset.crossed_at = now
        onset.lasted |= now - onset.since >= self._config.alarm_seconds

    def assess(self, now: float) -> Assessment:
        if not self._was_fed:
            return Assessment(subject=self.subject, verdict=Verdict(State.WARMING, 0.0, 1.0))
        onset = self._hold(now)
        score = self._evidence.score
        if onset is None or onset.bad < self._config.least_calls:
            return Assessment(subject=self.subject, verdict=Verdict(State.OK, score, 1.0))
        state = State.ALARM if onset.lasted else State.WARN
        share = onset.bad / onset.calls
        bad, calls = self._bad.total(now, HELD_SECONDS), self._calls.total(now, HELD_SECONDS)
        return Assessment(
            subject=self.subject,
            verdict=Verdict(state, max(score, 1.0), 1.0),
            summary=f"{share:.1%} of the calls of {self._who} {self._said} since {_clock(onset.since)}, "
            f"objective at most {_percent(self._allowed)}",
            action=_ACTIONS[self.line.metric],
            evidence=(
                f"{onset.bad:.0f} of {onset.calls:.0f} calls since {_clock(onset.since)}",
                f"{bad:.0f} of {calls:.0f} in the last {HELD_SECONDS / 60:.0f} minutes",
                f"chance had one finding in {self._config.false_alarm_days:g} days, all objectives together",
            ),
            since=onset.since,
        )

    def _hold(self, now: float) -> Onset | None:
        """What crossed, until it is over."""
        onset = self._onset
        if onset is None:
            return None
        if now < onset.crossed_at:  # the clock was set back
            onset.crossed_at = now
        if now - onset.crossed_at < HELD_SECONDS:
            return onset
        if self._bad.total(now, HELD_SECONDS) <= self._allowed * self._calls.total(now, HELD_SECONDS):
            self._onset = None
        return self._onset

    @property
    def subject(self) -> Labels:
        named = zip(("k8s.namespace.name", "service.name", "gen_ai.request.model"), self.segment, strict=True)
        return (*((label, value) for label, value in named if value), ("objective", self.line.label))

    @property
    def _who(self) -> str:
        namespace, service, model = self.segment
        place = "/".join(part for part in (namespace, service) if part)
        return f"{place or 'all services'}{f' to {model}' if model else ''}"

    @property
    def _said(self) -> str:
        return _SAID[self.line.metric].format(edge=self.edge)


def _percent(share: float) -> str:
    return f"{100 * share:.3g}%"


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S UTC")


class _Feed:
    """One series as one judge takes it."""

    __slots__ = ("bad", "bounds", "calls", "first_over", "is_bad", "judge", "view")

    def __init__(self, judge: Judge, view: int, is_bad: bool) -> None:
        self.judge = judge
        self.view = view
        self.is_bad = is_bad
        """of a counter: all that it counts"""
        self.bad = 0.0
        self.calls = 0.0
        self.bounds: tuple[float, ...] | None = None
        self.first_over = 0

    def take(self, value: HistogramValue, at: float) -> None:
        if value.bounds != self.bounds:
            self.bounds = value.bounds
            self.first_over = bisect_left(value.bounds, self.judge.line.bound_seconds or 0.0) + 1
        if self.first_over > len(value.bounds):  # its last edge is below the bound: nobody can tell
            return
        bad, calls = float(sum(value.counts[self.first_over :])), float(sum(value.counts))
        if calls < self.calls or bad < self.bad:  # it began anew
            self.bad = self.calls = 0.0
        if bad > self.bad:
            self.judge.edge = value.bounds[self.first_over - 1]
        self.judge.add(self.view, bad - self.bad, calls - self.calls, at)
        self.bad, self.calls = bad, calls

    def count(self, total: float, at: float) -> None:
        calls = total - self.calls if total >= self.calls else total
        self.calls = total
        self.judge.add(self.view, calls if self.is_bad else 0.0, calls, at)


class ShareOver:
    """Bounded by 500 judges and the series there are."""

    def __init__(self, config: ShareOverConfig, ledger: Ledger) -> None:
        self._config = config
        self._ledger = ledger
        self._refused: set[tuple[str, str, Segment]] = set()
        self._horizon = horizon(config.interval_seconds, config.false_alarm_days)
        self._feeds: dict[SeriesKey, tuple[_Feed, ...]] = {}
        self._judges: dict[tuple[str, str, Segment], Judge] = {}
        self._places: dict[int, tuple[str, str, Segment]] = {}
        """which place in the budget is whose; from 1"""

    def update(self, batch: Batch) -> None:
        for point in batch.points:
            key = (point.metric, point.labels)
            feeds = self._feeds.get(key)
            if feeds is None:
                feeds = self._feeds[key] = self._admit(point)
            for feed in feeds:
                if isinstance(point.value, HistogramValue):
                    feed.take(point.value, batch.at)
                else:
                    feed.count(point.value, batch.at)
        if batch.gone:
            for key in batch.gone:
                self._feeds.pop(key, None)
            self._forget()

    def assess(self, now: float) -> list[Assessment]:
        for judge in self._judges.values():
            judge.close(now)
        return [judge.assess(now) for judge in self._judges.values()]

    def _admit(self, point: Point) -> tuple[_Feed, ...]:
        """Which judges take a series; none for one that says nothing of the caller's wait, or nothing that counts."""
        own = dict(point.labels)
        segment = Segment(
            own.get("k8s.namespace.name", ""), own.get("service.name", ""), own.get("gen_ai.request.model", "")
        )
        feeds: dict[str, _Feed] = {}
        for line in self._config.objectives:
            if line.label in feeds or not line.fits(*segment):
                continue
            view = _view(line, point.metric, own)
            if view is not None and (judge := self._judge(line, segment)) is not None:
                feeds[line.label] = _Feed(judge, view, own.get("outcome") in _FAILED)
        return tuple(feeds.values())

    def _judge(self, line: Objective, segment: Segment) -> Judge | None:
        key = (line.label, line.metric, segment)
        judge = self._judges.get(key)
        if judge is None and len(self._judges) >= _MOST_JUDGES:
            self._refused.add(key)
            self._ledger.set(signals.UNWATCHED, len(self._refused), ((signals.SIGNAL, "share_over"),))
        elif judge is None:
            place = next(place for place in count(1) if place not in self._places)
            self._places[place] = key
            limit = self._horizon * place * (place + 1)
            judge = self._judges[key] = Judge(line, segment, self._config, max(limit, 1.0 + 1e-9))
        return judge

    def _forget(self) -> None:
        """Judges without a series leave, and their places with them: at any time the shares are at most 1."""
        fed = {id(feed.judge) for feeds in self._feeds.values() for feed in feeds}
        for place, key in list(self._places.items()):
            if id(self._judges[key]) not in fed:
                del self._judges[key], self._places[place]


def _view(line: Objective, metric: Metric, own: dict[str, str]) -> int | None:
    """How near to the user the observer stands, 0 the nearest; None where this series is none of the objective's."""
    if line.metric == AVAILABILITY:
        counts = own.get("outcome") in (*_FAILED, Outcome.OK.value)
        return 0 if metric is requests.REQUESTS and counts else None
    if metric not in LATENCIES[line.metric]:
        return None
    if own.get(requests.ROLE) == _OTHER_ROLE[line.metric]:
        return None
    if line.metric == "time_to_first_token" and own.get(requests.STREAM) == "false":
        return None
    if metric is not LATENCIES[line.metric][0]:
        return 1  # what the caller's own program counted
    vantage = own.get(requests.VANTAGE, Vantage.PAGE.value)
    return None if vantage not in _NEAREST else 2 * _NEAREST.index(vantage)
