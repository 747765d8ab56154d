"""All streams that have a reference, judged tick by tick with one budget of false alarms. Time is an argument."""

import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec
import numpy as np

from dashboards.findings import runbook_of
from detectors.drift.bands import Floats
from detectors.drift.bank import Bank, Watched
from detectors.drift.block import Block
from detectors.drift.kinds import Kind
from detectors.drift.odds import horizon
from detectors.drift.packs import Pack
from detectors.drift.shares import Budget, divide
from detectors.drift.state import ForeignState, SignalState
from detectors.drift.verdicts import Crossing, worst
from watchkeeper.agent.drift import wording
from watchkeeper.core.observed import Counted, Segment
from watchkeeper.core.records import Finding, Gap, Labels, Reason, Sample, Severity, State, Verdict
from watchkeeper.core.vocabulary import drift, outputs

VERSION: Final = 1
_VALUES: Final = {State.OK: 0.0, State.WARN: 1.0, State.ALARM: 2.0}
_GROUPS: Final = 10
"""bins that Prometheus is given: enough for a distance, few enough to keep"""
_REMEMBERED_TICKS: Final = 30
_BLOCK: Final = "block "

Key = tuple[str, str]
"""segment's text, signal"""


class JudgeState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Evidence of all streams, by the name of the detector in the budget, and the tick in progress."""

    version: int
    number: int
    """of the tick in progress"""
    in_force: list[tuple[str, str, str]]
    """segment, signal and id of each reference"""
    budget: Budget
    signals: dict[str, SignalState]
    blocks: dict[str, bytes]
    counts: dict[str, list[int]]
    findings: dict[str, Finding]


class Stream:
    """One signal of one segment beside its reference. `counts` is the tick in progress, per bin."""

    def __init__(self, key: Key, pack: Pack) -> None:
        self.key = key
        self.pack = pack
        self.name = f"{key[1]} of {key[0]}"
        self.counts = [0] * pack.bins
        self.window: deque[tuple[float, Floats]] = deque(maxlen=_REMEMBERED_TICKS)
        self.block: Block | None = None
        self.verdict = Verdict(State.WARMING, 0.0, 1.0)
        self.crossing: Crossing | None = None
        segment = Segment.parse(key[0])
        self.labels: Labels = (
            *((name, value) for name, value in zip(outputs.SEGMENT, segment, strict=True) if value),
            (drift.SIGNAL, key[1]),
        )
        self.groups = _groups(pack)
        self.bins = _bin_names(pack, len(self.groups))
        self.reference: tuple[str, str] = (drift.REFERENCE, f"{int(pack.id[:8], 16) % 100:02d}")

    def add(self, value: float | str) -> None:
        place = self.pack.bin(value)
        if place is not None:
            self.counts[place] += 1

    def reference_counts(self, at: float) -> Floats:
        """Of the stratum in force, or of all where this one has none."""
        stratum = self.pack.strata.get(self.pack.stratum_at(at))
        if stratum is not None:
            return np.asarray(stratum.counts, dtype=np.float64)
        every = [one.counts for one in self.pack.strata.values()]
        return np.asarray(np.sum(every, axis=0, dtype=np.float64))

    def since(self, onset: float) -> Floats:
        """Counts since the onset, as far as they are remembered; all that is remembered where none is so new."""
        late = [counts for at, counts in self.window if at >= onset]
        held = late or [counts for _, counts in self.window]
        return np.sum(held, axis=0) if held else np.zeros(self.pack.bins)


class Judge:
    """
    :param days: in which all streams together raise at most one false alarm on average
    :param judges: False: counts, and leaves the verdict to somebody else
    :param tells: False: nothing is told of counts, and of verdicts what `said` is asked for
    """

    def __init__(self, days: float, tick_seconds: float, *, judges: bool = True, tells: bool = True) -> None:
        self._days = days
        self._judges = judges
        self._tells = tells
        self._horizon = horizon(tick_seconds, days)
        self._expected = 1.0
        """false alarms that a horizon may bring"""
        self._budget: Budget | None = None
        self._streams: dict[Key, Stream] = {}
        self._order: list[Stream] = []
        self._bank: Bank | None = None
        self._open: dict[str, Finding] = {}
        self._over: list[Finding] = []
        """open when their streams lost their references"""
        self._gone: list[Stream] = []
        self.counted: list[Counted] = []
        """what the last tick brought, by stream"""

    def __len__(self) -> int:
        return len(self._streams)

    def stream(self, key: Key) -> Stream | None:
        return self._streams.get(key)

    def use(self, active: Mapping[Key, Pack], saved: JudgeState | None = None, among: int | None = None) -> list[str]:
        """
        Judge by these references from now on. A stream whose reference stays keeps its evidence and its share.

        :param saved: evidence of an earlier process, for the streams that begin here
        :param among: how many detectors share the budget, where more are judged elsewhere
        :return: a line for each saved evidence that is of no use
        """
        held = self.state(0) if self._bank is not None else saved
        fresh = self._bank is None
        before, self._streams = self._streams, {}
        for key, pack in active.items():
            known = before.get(key)
            self._streams[key] = known if known is not None and known.pack.id == pack.id else Stream(key, pack)
        self._gone += [stream for key, stream in before.items() if self._streams.get(key) is not stream]
        self._order = list(self._streams.values())
        self._budget = divide(_detectors(self._order), held.budget.shares if held else None, among=among)
        shares = self._budget.shares
        if among is not None:
            self._expected = sum(shares.values())
        if not self._judges:
            return []
        watched = [Watched(stream.pack, shares[stream.name]) for stream in self._order]
        self._bank = Bank(watched, self._horizon) if watched else None
        for stream in self._order:
            if _BLOCK + stream.name in shares:
                kept = None if stream.block is None else stream.block.state()
                blocks = horizon(stream.pack.block_seconds, self._days)
                stream.block = Block(stream.pack, shares[_BLOCK + stream.name], blocks)
                if kept is not None:
                    stream.block.restore(kept)
        problems = list(self._restore(held, fresh=fresh)) if held else []
        names = {stream.name for stream in self._order}
        self._over += [finding for name, finding in self._open.items() if name not in names]
        self._open = {name: finding for name, finding in self._open.items() if name in names}
        return problems

    def tick(self, at: float, now: float) -> tuple[list[Sample], list[Gap], list[Finding]]:
        """
        The tick that began `at` is over: what was added is judged.

        :param now: unix seconds
        """
        counts = {place: stream.counts for place, stream in enumerate(self._order) if any(stream.counts)}
        crossed = self._bank.tick(counts, at) if self._bank is not None and counts else {}
        samples: list[Sample] = []
        findings = [msgspec.structs.replace(finding, at=now, resolved=True) for finding in self._over]
        self._over = []
        gaps = [*self._forgotten()]
        self.counted = []
        for place, stream in enumerate(self._order):
            found = list(crossed.get(place, ()))
            if place in counts:
                taken = np.asarray(stream.counts, dtype=np.float64)
                stream.window.append((at, taken))
                self.counted.append(Counted(at, *stream.key, stream.pack.id, stream.counts))
                stream.counts = [0] * stream.pack.bins
                if stream.block is not None:
                    stream.block.tick(taken, at, now)
                    found += stream.block.crossings
                if self._tells:
                    samples += _counted(stream, taken, now)
            if found:
                stream.crossing = max(found, key=lambda one: one.log_odds + math.log(one.share / one.horizon))
            before, stream.verdict = stream.verdict, self._verdict(place, now)
            if self._tells:
                samples += self._said(place, now)
            if stream.verdict.state is not before.state:
                findings += self._changed(stream, now)
                samples += [Sample(drift.ALARMS, float(bool(found)), now, stream.labels)]
        if counts and self._judges:
            samples.append(Sample(drift.EXPECTED, self._expected / self._horizon, now))
        return samples, gaps, findings

    def said(self, now: float) -> Iterator[Sample]:
        """What every stream's series are now."""
        for place in range(len(self._order)):
            yield from self._said(place, now)

    def states(self) -> dict[State, int]:
        """How many streams are in each state."""
        held = dict.fromkeys(State, 0)
        for stream in self._order:
            held[stream.verdict.state] += 1
        return held

    def state(self, number: int) -> JudgeState:
        """:param number: of the tick in progress"""
        bank = self._bank
        return JudgeState(
            VERSION,
            number,
            [(*stream.key, stream.pack.id) for stream in self._order],
            self._budget or Budget(),
            {stream.name: bank.state(place) for place, stream in enumerate(self._order)} if bank is not None else {},
            {_BLOCK + stream.name: stream.block.state() for stream in self._order if stream.block is not None},
            {stream.name: list(stream.counts) for stream in self._order if any(stream.counts)},
            dict(self._open),
        )

    def _restore(self, held: JudgeState, *, fresh: bool) -> Iterator[str]:
        """Into the new bank; blocks, counts and findings only where no stream holds its own yet."""
        for place, stream in enumerate(self._order):
            state = held.signals.get(stream.name)
            if state is None or self._bank is None or state.reference != stream.pack.id:
                continue
            try:
                self._bank.restore(place, state)
                if not fresh:
                    continue
                block = held.blocks.get(_BLOCK + stream.name)
                if stream.block is not None and block is not None:
                    stream.block.restore(block)
            except ForeignState as error:
                yield f"{stream.name}: {error}; it begins without evidence"
                continue
            counts = held.counts.get(stream.name, [])
            if len(counts) == stream.pack.bins:
                stream.counts = list(counts)
            finding = held.findings.get(stream.name)
            if finding is not None:
                self._open[stream.name] = finding
                stream.verdict = Verdict(State.ALARM, 1.0, 1.0)

    def _verdict(self, place: int, now: float) -> Verdict:
        if self._bank is None:
            return Verdict(State.WARMING, 0.0, 1.0)
        stream, said = self._order[place], self._bank.verdict(place, now)
        if stream.block is None:
            return said
        other = stream.block.verdict(now)
        return said if other.state is State.WARMING else worst([said, other])

    def _said(self, place: int, now: float) -> Iterator[Sample]:
        stream = self._order[place]
        value = _VALUES.get(stream.verdict.state)
        if value is None or self._bank is None:
            return
        yield Sample(drift.STATE, value, now, stream.labels)
        yield Sample(drift.SCORE, stream.verdict.score, now, stream.labels)
        for effect in self._bank.effects(place):
            labels = (*stream.labels, (drift.SCORE_NAME, effect.score))
            yield Sample(drift.VALUE, effect.value, now, labels)
            yield Sample(drift.BAND_LOW, effect.band.lo, now, labels)
            yield Sample(drift.BAND_HIGH, effect.band.hi, now, labels)

    def _changed(self, stream: Stream, now: float) -> list[Finding]:
        still_open = self._open.get(stream.name)
        if stream.verdict.state is not State.ALARM:
            if still_open is None:
                return []
            del self._open[stream.name]
            return [msgspec.structs.replace(still_open, at=now, resolved=True)]
        if still_open is not None or stream.crossing is None:
            return []
        crossing = stream.crossing
        window, reference = stream.since(crossing.onset), stream.reference_counts(crossing.at)
        scores = crossing.share / crossing.horizon
        finding = Finding(
            at=now,
            since=min(crossing.onset, now),
            severity=Severity.WARNING,
            subject=f"drift of {stream.name}",
            summary=wording.summary(stream.pack, crossing, window, reference),
            evidence=wording.evidence(stream.pack, crossing, -math.log(scores)),
            action="look at what else moved at that time, then at releases, new callers and the calendar",
            runbook=runbook_of(stream.key[1]),
            name=stream.key[1],
            labels=stream.labels,
        )
        self._open[stream.name] = finding
        return [finding]

    def _forgotten(self) -> Iterator[Gap]:
        """Series of streams that are judged no more, or by another reference."""
        for stream in self._gone:
            old = stream.reference
            for name in stream.bins:
                labels = (*stream.labels, old, (drift.BIN, name))
                yield Gap(drift.OBSERVATIONS, Reason.OFF, labels, is_one_series=True)
                yield Gap(drift.REFERENCE_SHARE, Reason.OFF, labels, is_one_series=True)
            for metric in (drift.REFERENCE_TIME, drift.REFERENCE_SIZE):
                yield Gap(metric, Reason.OFF, (*stream.labels, old), is_one_series=True)
            if stream.key not in self._streams:
                for metric in (drift.STATE, drift.SCORE, drift.VALUE, drift.BAND_LOW, drift.BAND_HIGH):
                    yield Gap(metric, Reason.OFF, stream.labels)
        self._gone = []


def detectors_of(packs: Iterable[Pack]) -> int:
    """How many share the budget where these are all that is watched."""
    return sum(1 + _has_blocks(pack) for pack in packs)


def _detectors(streams: Sequence[Stream]) -> Iterator[str]:
    for stream in streams:
        yield stream.name
        if _has_blocks(stream.pack):
            yield _BLOCK + stream.name


def _has_blocks(pack: Pack) -> bool:
    return pack.kind is Kind.NUMBER and pack.block_seconds > 0


def _groups(pack: Pack) -> list[int]:
    """First bin of each group that is exported: ten of about equal size for numbers, every bin otherwise."""
    if pack.kind in (Kind.FLAG, Kind.CATEGORY):
        return list(range(pack.bins))
    counts = np.sum([stratum.counts for stratum in pack.strata.values()], axis=0, dtype=np.float64)
    below = np.cumsum(counts) - counts
    tenths = (below * _GROUPS / max(1.0, float(counts.sum()))).astype(np.intp).clip(0, _GROUPS - 1)
    return [int(first) for first in np.unique(tenths, return_index=True)[1]]


def _bin_names(pack: Pack, groups: int) -> tuple[str, ...]:
    """The same few for all numbers, so that labels stay few; `watchkeeper reference show` tells their edges."""
    if pack.kind is Kind.CATEGORY:
        return (*pack.categories, "other")
    return tuple(map(str, range(groups)))


def _counted(stream: Stream, taken: Floats, now: float) -> Iterator[Sample]:
    labels = (*stream.labels, stream.reference)
    grouped = np.add.reduceat(taken, stream.groups)
    held = np.add.reduceat(stream.reference_counts(now), stream.groups)
    shares = held / held.sum()
    for name, count, share in zip(stream.bins, grouped.tolist(), shares.tolist(), strict=True):
        in_bin = (*labels, (drift.BIN, name))
        yield Sample(drift.OBSERVATIONS, count, now, in_bin)
        yield Sample(drift.REFERENCE_SHARE, share, now, in_bin)
    yield Sample(drift.REFERENCE_TIME, stream.pack.made_at, now, labels)
    yield Sample(drift.REFERENCE_SIZE, stream.pack.n, now, labels)
