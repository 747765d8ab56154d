"""What happened lately, bounded: the last minute in detail, the last quarter of an hour as a few numbers."""

import math
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from exporters.page.tally import (
    GROWING,
    USED,
    Change,
    Loss,
    Origin,
    Step,
    Tally,
    Value,
    combined,
    is_frontend,
    model_of,
    step_of,
)
from exporters.page.totals import Buckets, Estimate, quantile
from watchkeeper.core.metric import Metric
from watchkeeper.core.records import Batch, Labels
from watchkeeper.core.vocabulary import engines, requests

STEP_SECONDS: Final = 5.0
WINDOW_STEPS: Final = 12
"""steps behind every live number: one minute"""
MARKS: Final = 180
"""steps in a chart: a quarter of an hour"""

Points = Mapping[Metric, Mapping[Labels, Value]]
"""every series alive"""
Spreads = Mapping[Origin, tuple[Estimate, Estimate]]
"""median and 95th percentile, by where they were measured"""


class Mark(msgspec.Struct, frozen=True):
    """One step of the charts: each number over the minute that ended with it, None where there was none to know."""

    index: int
    request_rate: float | None
    error_share: float | None
    input_rate: float | None
    output_rate: float | None
    first_token: Spreads
    per_token: Spreads
    running: float | None
    waiting: float | None
    outcomes: Mapping[str, float]
    """calls that ended in this step alone, by outcome"""
    losses: Mapping[Loss, float]
    """what was refused or lost in this step alone"""


class Seen(msgspec.Struct, frozen=True):
    """All that the page is made from, as it stood at one moment."""

    at: float | None
    """unix seconds of the last batch"""
    points: Points
    marks: tuple[Mark, ...]
    steps: tuple[Step, ...]
    """the last minute, the running step included"""
    covered_seconds: float
    """how long `steps` span"""


class History:
    """
    Takes batches and remembers. Writing is cheap (a dictionary entry per changed series); growth is worked out once
    per step and when somebody looks. Bounded by the series alive and by the constants above. Not thread-safe.
    """

    def __init__(self) -> None:
        self._points: dict[Metric, dict[Labels, Value]] = {}
        self._before: dict[tuple[Metric, Labels], Value | None] = {}
        """for each series touched in the running step: its total when the step began"""
        self._steps: deque[Step] = deque()
        self._marks: deque[Mark] = deque(maxlen=MARKS)
        self._index: int | None = None
        self._first_at = 0.0
        self._at: float | None = None

    def add(self, batch: Batch) -> None:
        self._advance(batch.at)
        for metric, labels in batch.gone:
            self._points.get(metric, {}).pop(labels, None)
            self._before.pop((metric, labels), None)
        for point in batch.points:
            if point.metric not in USED:
                continue
            series = self._points.setdefault(point.metric, {})
            if point.metric in GROWING:
                self._before.setdefault((point.metric, point.labels), series.get(point.labels))
            series[point.labels] = point.value

    def seen(self) -> Seen:
        """A snapshot that later batches leave alone."""
        points = {metric: dict(series) for metric, series in self._points.items()}
        steps = () if self._index is None else (*self._steps, self._running(self._index))
        covered = 0.0 if self._at is None else self._covered(steps, self._at)
        return Seen(self._at, points, tuple(self._marks), steps, covered)

    def _advance(self, at: float) -> None:
        index = math.floor(at / STEP_SECONDS)
        if self._index is None or index < self._index - WINDOW_STEPS:  # the first batch, or the clock was set back
            self._steps.clear()
            self._marks.clear()
            self._before.clear()
            self._index, self._first_at = index, at
        elif index > self._index:
            self._close(self._index)
            self._index = index
            while self._steps and self._steps[0].index <= index - WINDOW_STEPS:
                self._steps.popleft()
        self._at = at

    def _close(self, index: int) -> None:
        step = self._running(index)
        self._before.clear()
        self._steps.append(step)
        kept = [held for held in self._steps if held.index > index - WINDOW_STEPS]
        seconds = self._covered(kept, (index + 1) * STEP_SECONDS)
        self._marks.append(mark_of(step, combined(held.total for held in kept), seconds, self._points))

    def _running(self, index: int) -> Step:
        changes = (
            Change(metric, labels, before, self._points[metric][labels])
            for (metric, labels), before in self._before.items()
        )
        return step_of(index, changes)

    def _covered(self, steps: Iterable[Step], until: float) -> float:
        """At least one step, so that the first call after the start is not a burst."""
        first = next((step.index * STEP_SECONDS for step in steps), until)
        return max(until - max(first, self._first_at), STEP_SECONDS)


def mark_of(step: Step, minute: Tally, seconds: float, points: Points) -> Mark:
    """The numbers of one step, from the minute that ends with it."""
    return Mark(
        index=step.index,
        request_rate=request_rate(minute, seconds, points),
        error_share=minute.error_share,
        input_rate=token_rate(minute, "input", seconds, points),
        output_rate=token_rate(minute, "output", seconds, points),
        first_token=spreads(minute.first_token),
        per_token=spreads(minute.per_token),
        running=gauge_sum(points, engines.RUNNING),
        waiting=gauge_sum(points, engines.WAITING),
        outcomes=step.total.outcomes,
        losses=step.losses,
    )


def request_rate(minute: Tally, seconds: float, points: Points) -> float | None:
    """Calls a second as they were reported; where none ever was, as the engines count them; None = nobody counts."""
    if points.get(requests.REQUESTS):
        return minute.calls / seconds
    return minute.finished / seconds if points.get(engines.FINISHED) else None


def token_rate(minute: Tally, kind: str, seconds: float, points: Points) -> float | None:
    """Tokens a second of one type, from the calls, else from the engines; None = nobody counts."""
    if points.get(requests.TOKENS):
        return minute.tokens.get(kind, 0.0) / seconds
    return minute.worked.get(kind, 0.0) / seconds if points.get(engines.TOKENS) else None


def spreads(measured: Mapping[Origin, Buckets]) -> Spreads:
    """Quantiles of what was observed at all."""
    found = {origin: (quantile(0.5, buckets), quantile(0.95, buckets)) for origin, buckets in measured.items()}
    return {origin: (p50, p95) for origin, (p50, p95) in found.items() if p50 is not None and p95 is not None}


def gauge_sum(points: Points, metric: Metric) -> float | None:
    """A gauge over all its series, without frontends whose engines tell it too; None when there is none."""
    told = [(dict(labels), value) for labels, value in points.get(metric, {}).items() if isinstance(value, float | int)]
    behind = {model_of(labels) for labels, _ in told if not is_frontend(labels)}
    values = [value for labels, value in told if not is_frontend(labels) or model_of(labels) not in behind]
    return sum(values) if values else None
