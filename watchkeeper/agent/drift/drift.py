"""Drift kept running: what calls show goes to its stream, ticks are judged, evidence outlives a stop."""

import logging
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

import msgspec

from detectors.drift.packs import Pack
from watchkeeper.agent.drift.judge import VERSION, Judge, JudgeState, Key, Stream
from watchkeeper.agent.drift.recorder import Recorder
from watchkeeper.agent.drift.sampler import Sampler
from watchkeeper.agent.drift.streams import values_of
from watchkeeper.agent.signals import Judged
from watchkeeper.agent.supervisor import place
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.observed import Segment
from watchkeeper.core.records import Completion, Finding, Sample, Score, Severity, State
from watchkeeper.core.vocabulary import drift, health, outputs, signals

_LOG: Final = logging.getLogger("watchkeeper.drift")
_SAVED_EVERY_SECONDS: Final = 60.0


class InForce(Protocol):
    """Where references come from: a folder (`references.store.References`), or what a replay was given."""

    problems: tuple[str, ...]

    def refresh(self) -> bool:
        """Whether something changed since the last call."""
        ...

    def active(self) -> Mapping[Key, Pack]: ...


class _Watched(msgspec.Struct):
    """A segment that has calls: its written form, and its streams by signal, None where one has no reference."""

    text: str
    streams: dict[str, Stream | None]


class Drift:
    """
    Belongs to the pipeline's thread. Without a reference a stream is warming: it is recorded, no more.

    :param days: in which all streams together raise at most one false alarm on average
    :param evidence: the file that evidence is kept in; None: it is gone with the process
    :param sampler: draws rows for a record that is kept; None: nobody keeps one
    :param judges: False: counts what is told to a detector (`fleet`), and says nothing itself
    """

    def __init__(
        self,
        references: InForce,
        recorder: Recorder | None,
        evidence: Path | None,
        ledger: Ledger,
        *,
        now: float,
        days: float,
        tick_seconds: float,
        max_segments: int,
        sampler: Sampler | None = None,
        judges: bool = True,
    ) -> None:
        self._references = references
        self._recorder = recorder
        self._sampler = sampler
        self._evidence = evidence
        self._ledger = ledger
        self._tick_seconds = tick_seconds
        self._max_segments = max_segments
        self._segments: dict[tuple[str, str, str], _Watched] = {}
        self._judges = judges
        self._judge = Judge(days, tick_seconds, judges=judges)
        self._is_last = False
        self._is_full = False
        self._has_looked = False
        self._in_force: dict[Key, str] = {}
        """ids"""
        self._referenced: frozenset[str] = frozenset()
        """segments that are watched whatever the bound: as many as somebody approved references of"""
        self._number = int(now // tick_seconds)
        self._saved_at = float("-inf")
        self._problems: tuple[str, ...] = ()
        self._unsaved = ""
        self._failed_at = float("-inf")
        self._pending = self._look(now)

    def observe(self, call: Completion, scores: Sequence[Score], now: float) -> None:
        """What one record of a call shows. Never raises. :param now: unix seconds of its arrival"""
        try:
            watched = self._segment((call.namespace, call.service, call.request_model))
            if watched is not None:
                self._take(watched, values_of(call, scores), now)
        except Exception as error:  # noqa: BLE001 - what is wrong with drift stops nothing else
            self._failed(error)

    def judged(self, segment: Segment, values: Mapping[str, float | str], now: float) -> None:
        """What was said of a call by somebody outside. Never raises. :param now: unix seconds of its arrival"""
        try:
            watched = self._segment(segment)
            if watched is not None:
                self._take(watched, values, now)
        except Exception as error:  # noqa: BLE001 - as above
            self._failed(error)

    def tick(self, now: float) -> Judged:
        """To be called often; most calls find the tick still open. Never raises. :param now: unix seconds"""
        try:
            return self._tick(now)
        except Exception as error:  # noqa: BLE001 - as above
            self._failed(error)
            return Judged()

    def _tick(self, now: float) -> Judged:
        number = int(now // self._tick_seconds)
        if number == self._number and (self._judges or not self._is_last):
            return Judged()
        before, self._number = self._number, number
        samples, gaps, findings = self._judge.tick(before * self._tick_seconds, now)
        changed, self._pending = self._pending + self._look(now), []
        if self._judges:
            findings += changed
        if findings or now - self._saved_at >= _SAVED_EVERY_SECONDS:
            self._save(now)
        if self._recorder is not None:
            self._recorder.flush(before * self._tick_seconds, self._tick_seconds, now)
        if self._judges:
            samples += self._census(now)
        announce(findings, self._ledger)
        drawn = self._sampler.drain() if self._sampler is not None else ()
        counted = tuple(self._judge.counted)
        return Judged(tuple(samples), tuple(gaps), tuple(findings), counted, drawn, before * self._tick_seconds)

    def _failed(self, error: Exception) -> None:
        """Counted each time, logged once a minute at most, without the message: it might quote a word of a caller's."""
        reason = type(error).__name__
        self._ledger.add(health.SIGNAL_FAILURES, 1, (("signal", "drift"), ("reason", reason)))
        at = time.monotonic()
        if at - self._failed_at > _SAVED_EVERY_SECONDS:
            self._failed_at = at
            _LOG.error("drift failed (%s at %s); everything else goes on", reason, place(error))

    def settle(self) -> None:
        """Nothing more is observed: what a detector is told of the tick in progress goes with the next tick."""
        self._is_last = True

    def close(self, now: float) -> None:
        """Keep what is held. :param now: unix seconds"""
        if self._recorder is not None:
            self._recorder.flush(self._number * self._tick_seconds, self._tick_seconds, now)
        self._save(now)

    def _segment(self, key: tuple[str, str, str]) -> _Watched | None:
        watched = self._segments.get(key)
        if watched is None:
            text = Segment(*key).text
            if len(self._segments) < self._max_segments or text in self._referenced:
                watched = self._segments[key] = _Watched(text, {})
            else:
                self._unwatched()
        return watched

    def _unwatched(self) -> None:
        self._ledger.add(drift.UNWATCHED, 1)
        if not self._is_full:
            self._is_full = True
            _LOG.warning(
                "%d services and models are told apart (drift.max_segments); calls of further ones are not watched, "
                "but counted in %s",
                len(self._segments),
                drift.UNWATCHED.prometheus_name,
            )

    def _take(self, watched: _Watched, values: Mapping[str, float | str], now: float) -> None:
        if self._recorder is not None:
            self._recorder.add(watched.text, values)
        if self._sampler is not None:
            self._sampler.add(watched.text, values, now)
        for signal, value in values.items():
            try:
                stream = watched.streams[signal]
            except KeyError:
                stream = watched.streams[signal] = self._judge.stream((watched.text, signal))
            if stream is not None:
                stream.add(value)

    def _look(self, now: float) -> list[Finding]:
        """References that came, went or changed since the last tick, or since an earlier process saved its evidence."""
        is_first = not self._has_looked
        if not self._references.refresh() and not is_first:
            return []
        self._has_looked = True
        for problem in set(self._references.problems) - set(self._problems):
            _LOG.warning("reference refused: %s", problem)
            self._ledger.add(drift.REFUSED, 1, (("reason", "reference"),))
        self._problems = self._references.problems
        active = self._references.active()
        saved = self._load() if is_first else None
        if saved is not None:
            self._in_force = {(segment, signal): held for segment, signal, held in saved.in_force}
            self._number = saved.number
        before, self._in_force = self._in_force, {key: pack.id for key, pack in active.items()}
        self._referenced = frozenset(segment for segment, _ in active)
        for problem in self._judge.use(active, saved):
            _LOG.warning("evidence refused: %s", problem)
            self._ledger.add(drift.REFUSED, 1, (("reason", "evidence"),))
        for watched in self._segments.values():
            watched.streams.clear()
        if is_first and saved is None:
            return []
        moved = (key for key in before.keys() | active.keys() if before.get(key) != self._in_force.get(key))
        return [changed(key, before, active, now) for key in sorted(moved)]

    def _census(self, now: float) -> list[Sample]:
        states = self._judge.states()
        streams = (stream for watched in self._segments.values() for stream in watched.streams.values())
        states[State.WARMING] += len([stream for stream in streams if stream is None])
        return [Sample(drift.STREAMS, count, now, (("state", state.value),)) for state, count in states.items()]

    def _load(self) -> JudgeState | None:
        if self._evidence is None:
            return None
        try:
            state = msgspec.msgpack.decode(self._evidence.read_bytes(), type=JudgeState)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as error:
            why = error.strerror if isinstance(error, OSError) else "not what this watchkeeper writes"
            _LOG.warning("%s: %s; every stream begins without evidence", self._evidence, why)
            self._ledger.add(drift.REFUSED, 1, (("reason", "evidence"),))
            return None
        return state if state.version == VERSION else None

    def _save(self, now: float) -> None:
        self._saved_at = now
        if self._evidence is None:
            return
        beside = self._evidence.with_suffix(".new")
        try:
            beside.parent.mkdir(parents=True, exist_ok=True)
            with beside.open("wb") as file:
                file.write(msgspec.msgpack.encode(self._judge.state(self._number)))
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self._evidence)
        except OSError as error:
            if self._unsaved != str(error.strerror):
                self._unsaved = str(error.strerror)
                _LOG.warning("%s: %s; evidence would not survive a stop now", self._evidence, error.strerror)
            return
        self._unsaved = ""


def announce(findings: Sequence[Finding], ledger: Ledger) -> None:
    """Logged and counted."""
    for finding in findings:
        is_over = finding.resolved and finding.severity is not Severity.INFO
        _LOG.warning("%s: %s: %s", "over" if is_over else finding.severity.value, finding.subject, finding.summary)
        if not is_over:
            ledger.add(signals.FINDINGS, 1, ((signals.SIGNAL, finding.name), ("severity", finding.severity.value)))


def changed(key: Key, before: Mapping[Key, str], active: Mapping[Key, Pack], now: float) -> Finding:
    """Somebody changed what is normal: governance wants to know who."""
    segment, signal = key
    pack = active.get(key)
    if pack is None:
        said = f"the reference of {signal} was retired: it is watched no more"
    else:
        word = f"was replaced ({before[key][:12]} before)" if key in before else "came into force"
        who = f", approved by {pack.approval.by}: {pack.approval.why}" if pack.approval else ""
        said = f"the reference of {signal} {word}: {pack.id[:12]} of {pack.n} observations{who}"
    labels = tuple((name, value) for name, value in zip(outputs.SEGMENT, Segment.parse(segment), strict=True) if value)
    return Finding(
        at=now,
        since=now,
        severity=Severity.INFO,
        subject=f"reference of {signal} of {segment}",
        summary=said,
        action="nothing, if you know of it; otherwise `watchkeeper reference list` says who and why",
        name="reference",
        labels=(*labels, (drift.SIGNAL, signal)),
        resolved=True,
    )
