"""Signals kept running: each sees every tick, is asked now and then, and a change of its mind becomes a finding."""

import logging
from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Final

import msgspec

from dashboards.findings import runbook_of
from watchkeeper.agent.supervisor import Failures
from watchkeeper.core.interfaces import Signal
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.metric import Metric
from watchkeeper.core.observed import Counted, Drawn
from watchkeeper.core.records import Assessment, Batch, Finding, Gap, Labels, Point, Reason, Sample, Severity, State
from watchkeeper.core.vocabulary import health, signals

_VALUES: Final = {State.OK: 0.0, State.WARN: 1.0, State.ALARM: 2.0}
_SEVERITIES: Final = {State.WARN: Severity.WARNING, State.ALARM: Severity.CRITICAL}
_LEVELS: Final = {Severity.INFO: logging.INFO, Severity.WARNING: logging.WARNING, Severity.CRITICAL: logging.ERROR}
_CALM: Final = (State.OK, State.WARMING)


class Judged(msgspec.Struct, frozen=True):
    """What the signals brought at one tick."""

    samples: tuple[Sample, ...] = ()
    gaps: tuple[Gap, ...] = ()
    findings: tuple[Finding, ...] = ()
    counted: tuple[Counted, ...] = ()
    drawn: tuple[Drawn, ...] = ()
    ticked: float | None = None
    """unix seconds at which the tick of drift began that ended"""


class Changes:
    """What a batch brings, sorted by metric once for all signals."""

    def __init__(self, batch: Batch) -> None:
        self.at = batch.at
        self._points: defaultdict[Metric, list[Point]] = defaultdict(list)
        for point in batch.points:
            self._points[point.metric].append(point)
        self._gone = batch.gone

    def of(self, metrics: Collection[Metric]) -> Batch:
        """Of these alone, in their order."""
        points = [point for metric in metrics for point in self._points.get(metric, ())]
        gone = tuple(key for key in self._gone if key[0] in metrics) if self._gone else ()
        return Batch(self.at, tuple(points), gone)


class Watched:
    """
    One signal under guard. It is handed the points of the metrics it reads and is asked every `interval_seconds`.
    A subject that it names no more is taken as gone: its series go stale, its open finding is resolved.
    """

    def __init__(
        self, name: str, signal: Signal, reads: Sequence[Metric], interval_seconds: float, ledger: Ledger
    ) -> None:
        self._name = name
        self._signal = signal
        self._reads = dict.fromkeys(reads)
        self._interval_seconds = interval_seconds
        self._ledger = ledger
        self._failures = Failures("signal", name, self._count)
        self._asked_at = float("-inf")
        self._states: dict[Labels, State] = {}
        self._open: dict[Labels, Finding] = {}
        self._log = logging.getLogger(f"watchkeeper.signals.{name}")

    def update(self, batch: Batch) -> Judged:
        """As `see`, where nobody else looks at this batch."""
        return self.see(Changes(batch))

    def see(self, changes: Changes) -> Judged:
        """Never raises: what fails in a signal is counted, and the signal is asked again."""
        judged, at = Judged(), changes.at

        def work() -> None:
            nonlocal judged
            with self._ledger.steps.timed(f"signal {self._name}", (("signal", self._name),)):
                self._signal.update(changes.of(self._reads))
                if not 0 <= at - self._asked_at < self._interval_seconds:
                    self._asked_at = at
                    judged = self._judge(self._signal.assess(at), at)

        self._failures.attempt(work)
        return judged

    def _judge(self, assessments: Sequence[Assessment], now: float) -> Judged:
        samples: list[Sample] = []
        findings: list[Finding] = []
        states: dict[Labels, State] = {}
        for assessment in assessments:
            subject, verdict = assessment.subject, assessment.verdict
            states[subject] = verdict.state
            labels = ((signals.SIGNAL, self._name), *subject)
            samples.extend(assessment.samples)
            if verdict.state in _VALUES:
                samples.append(Sample(signals.STATE, _VALUES[verdict.state], now, labels))
                samples.append(Sample(signals.SCORE, verdict.score / verdict.threshold, now, labels))
            findings += self._changed(assessment, self._states.get(subject, State.WARMING), now)
        gaps = []
        for subject in self._states.keys() - states.keys():
            labels = ((signals.SIGNAL, self._name), *subject)
            gaps += [Gap(metric, Reason.LOST, labels) for metric in (signals.STATE, signals.SCORE)]
            if (still_open := self._open.pop(subject, None)) is not None:
                summary = f"{still_open.summary} (no longer observed)"
                findings.append(msgspec.structs.replace(still_open, at=now, summary=summary, resolved=True))
                self._log.info("over: %s", summary)
        self._states = states
        return Judged(tuple(samples), tuple(gaps), tuple(findings))

    def _changed(self, assessment: Assessment, before: State, now: float) -> list[Finding]:
        subject, state = assessment.subject, assessment.verdict.state
        if state is before or (state in _CALM and before in _CALM):
            return []
        still_open = self._open.pop(subject, None)
        if state in _CALM:
            if still_open is None:
                return []
            self._log.info("over: %s", still_open.summary)
            return [msgspec.structs.replace(still_open, at=now, resolved=True)]
        severity = assessment.severity or _SEVERITIES[state]
        self._ledger.add(signals.FINDINGS, 1, ((signals.SIGNAL, self._name), ("severity", severity.value)))
        since = still_open.since if still_open else min(assessment.since or now, now)
        self._open[subject] = Finding(
            at=now,
            since=since,
            severity=severity,
            subject=" ".join((self._name, *(f"{name}={value}" for name, value in subject))),
            summary=assessment.summary,
            evidence=assessment.evidence,
            action=assessment.action,
            runbook=runbook_of(self._name),
            name=self._name,
            labels=subject,
        )
        level = _LEVELS[severity]
        self._log.log(level, "%s: %s. To do: %s", severity.value, assessment.summary, assessment.action)
        return [self._open[subject]]

    def _count(self, reason: str) -> None:
        labels = (("signal", self._name), ("reason", reason))
        self._ledger.add(health.SIGNAL_FAILURES, 1, labels)
