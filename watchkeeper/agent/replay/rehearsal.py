"""Calls through the pipeline at the times at which they were made: one clock, theirs."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from detectors.drift.packs import Pack, Plan
from watchkeeper.agent.drift.drift import Drift
from watchkeeper.agent.drift.judge import Key
from watchkeeper.agent.drift.streams import segment_of, values_of
from watchkeeper.agent.references.observations import Wanted, gather
from watchkeeper.agent.references.proposals import propose
from watchkeeper.agent.wiring import Judges, wire
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.observed import Row
from watchkeeper.core.prepared import Prepared
from watchkeeper.core.records import Batch, Completion, Finding, Reading, Severity, State
from watchkeeper.core.vocabulary import drift

_LEAST_TICK_SECONDS: Final = 5.0
"""half a tick of drift: finer ones would find nothing sooner"""
_LONGEST_STEP_SECONDS: Final = 10.0
"""in a silence: signals judge it, too"""
_LONGEST_SILENCE_SECONDS: Final = 6 * 3600.0
"""past it the clock jumps: a file of two far apart days is not a long outage"""


class Fixed:
    """References that were made for a replay."""

    def __init__(self, packs: Mapping[Key, Pack]) -> None:
        self._packs = packs
        self.problems: tuple[str, ...] = ()

    def refresh(self) -> bool:
        return False

    def active(self) -> Mapping[Key, Pack]:
        return self._packs


class Raised(msgspec.Struct, frozen=True):
    """A finding, and how many calls had come when it was raised."""

    finding: Finding
    calls: int


class Watched(msgspec.Struct):
    """How a stream fared: its state at the end, and how near it came to an alarm (1 = there)."""

    state: float
    nearest: float


class Rehearsal:
    """Runs calls and keeps what is found. `first_at` and `last_at` are unix seconds, NaN before the first call."""

    def __init__(self, config: Any, judges: Judges, drifting: Drift | None, ledger: Ledger) -> None:
        self.raised: list[Raised] = []
        self.streams: dict[tuple[str, ...], Watched] = {}
        self.calls = 0
        self.first_at = math.nan
        self.last_at = math.nan
        self._ticked_at = math.nan
        self._tick_seconds = max(_LEAST_TICK_SECONDS, config.tick_seconds)
        self._wired = wire(config, judges, drifting, ledger, [self._write], is_tapped=False)

    def run(self, calls: Iterable[Completion], paced: Callable[[float], None] = lambda _at: None) -> None:
        """
        :param paced: told the time of each call before it is taken in, in unix seconds; may wait
        """
        pipeline = self._wired.pipeline
        for call in calls:
            if not self.calls:
                self.first_at = self.last_at = self._ticked_at = call.at
            self._pass(call.at)
            paced(call.at)
            self.calls += 1
            self.last_at = max(self.last_at, call.at)
            pipeline.accept("replay", Reading(completions=(call,), items=1), self.last_at)
        if self.calls:
            for _ in range(3):  # the drift tick in progress ends, too
                self._tick(self._ticked_at + _LONGEST_STEP_SECONDS)

    def _pass(self, at: float) -> None:
        """Ticks until the time of the next call; a call that is told late is taken in at once."""
        if at - self._ticked_at > _LONGEST_SILENCE_SECONDS:
            self._tick(self._ticked_at + self._tick_seconds)
            self._tick(at - self._tick_seconds)
        while (left := at - self._ticked_at) >= self._tick_seconds:
            self._tick(self._ticked_at + min(max(self._tick_seconds, left / 2), _LONGEST_STEP_SECONDS))

    def _tick(self, now: float) -> None:
        self._ticked_at = now
        self._wired.pipeline.tick(now)

    def _write(self, batch: Batch) -> None:
        self.raised += [Raised(finding, self.calls) for finding in batch.findings]
        for point in batch.points:
            if point.metric is drift.STATE or point.metric is drift.SCORE:
                key = tuple(value for _, value in point.labels)
                stream = self.streams.setdefault(key, Watched(0.0, 0.0))
                value = float(point.value)  # type: ignore[arg-type]
                if point.metric is drift.STATE:
                    stream.state = value
                else:
                    stream.nearest = max(stream.nearest, value)


def rows(calls: Iterable[Completion], judges: Judges) -> Iterator[Row]:
    """What calls show, for references: their own numbers and what the checks say."""
    for call in calls:
        prepared = Prepared(call)
        running = judges.running if call.text is not None else ()
        scores = [score for one in running for score in one.check.score(prepared)]
        yield Row(call.at, segment_of(call).text, values_of(call, scores))


def references(calls: Iterable[Completion], judges: Judges, plan: Plan, now: float) -> tuple[Fixed, list[str]]:
    """
    References out of calls, approved by nobody: for this replay alone.

    :return: with a line for each signal that has too few observations
    """
    found = list(propose(gather(rows(calls, judges), Wanted()), plan, {}, now))
    made = {one.key: one.made for one in found if isinstance(one.made, Pack)}
    short = [f"{one.key[1]}: {one.made}" for one in found if isinstance(one.made, str)]
    return Fixed(made), short


def worst(streams: Mapping[tuple[str, ...], Watched]) -> Sequence[tuple[tuple[str, ...], Watched]]:
    """Streams, nearest to an alarm first."""
    return sorted(streams.items(), key=lambda pair: (-pair[1].nearest, pair[0]))


def alarmed(raised: Sequence[Raised]) -> bool:
    """Whether anybody would have been told of something that is wrong."""
    return any(one.finding.severity is not Severity.INFO and not one.finding.resolved for one in raised)


STATES: Final = {0.0: State.OK, 1.0: State.WARN, 2.0: State.ALARM}
