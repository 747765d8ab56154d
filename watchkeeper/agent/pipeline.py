"""Readings to series, series to exporters. One thread owns a Pipeline; time is an argument."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from watchkeeper.agent.aggregate import Aggregate
from watchkeeper.agent.capture import Capture
from watchkeeper.agent.checks import Checks
from watchkeeper.agent.drift.streams import segment_of
from watchkeeper.agent.explain import Explainer
from watchkeeper.agent.judgements import Judgements
from watchkeeper.agent.links import LinkMeter
from watchkeeper.agent.once import Once
from watchkeeper.agent.pod import PodConfig, placed
from watchkeeper.agent.prices import PriceList
from watchkeeper.agent.record import Record
from watchkeeper.agent.requests import RequestMeter, grouped
from watchkeeper.agent.signals import Changes, Watched
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Batch, Completion, Finding, Labels, Reading
from watchkeeper.core.vocabulary import health

if TYPE_CHECKING:
    from watchkeeper.agent.drift.drift import Drift
    from watchkeeper.agent.fleet.fleet import Fleet

_SWEEP_SECONDS: Final = 60.0
_AT_ONCE: Final = 4_096
"""calls that go through all steps together: a processor's cache holds about as many"""

Write = Callable[[Batch], None]


class Pipeline:
    """
    `writes` are the exporters' writes, each already guarded: one that fails never stops another. `once` is needed where
    a tap sees calls that others report too; `pod` is the one that everything seen is of, where it tells none.
    """

    def __init__(
        self,
        aggregate: Aggregate,
        ledger: Ledger,
        writes: Sequence[Write],
        prices: PriceList | None = None,
        once: Once | None = None,
        signals: Sequence[Watched] = (),
        checks: Checks | None = None,
        drift: "Drift | None" = None,
        explainer: Explainer | None = None,
        capture: Capture | None = None,
        record: Record | None = None,
        fleet: "Fleet | None" = None,
        pod: PodConfig | None = None,
    ) -> None:
        self._aggregate = aggregate
        self._meter = RequestMeter(aggregate, prices)
        self._links = LinkMeter()
        self._ledger = ledger
        self._writes = writes
        self._once = once
        self._signals = signals
        self._checks = checks
        self._drift = drift
        self._judgements = Judgements(aggregate, ledger, drift.judged if drift is not None else None)
        self._explainer = explainer
        self._capture = capture
        self._record = record
        self._fleet = fleet
        self._pod = pod
        self._swept_at = 0.0
        self._counted: tuple[int, int] | None = None
        self._checks_on = True
        self.unchecked = 0
        """calls whose answers there was no time for"""

    def give_up_checking(self) -> None:
        """There is no more time: calls are counted, their answers are no longer read. For any thread."""
        self._checks_on = False

    def accept(self, source: str, reading: Reading, now: float) -> None:
        """Fold one reading of `source` into the series."""
        label = (("source", source),)
        if self._pod is not None:
            reading = placed(reading, self._pod)
        try:
            with self._ledger.steps.timed(f"fold {source}", (*label, ("items", reading.items))):
                for start in range(0, len(reading.completions), _AT_ONCE):
                    self._take_calls(source, reading.completions[start : start + _AT_ONCE], now)
                self._fold(reading, label, now)
        except BaseException:
            self._ledger.add(health.DROPPED, reading.items, (*label, ("reason", "fault")))
            raise
        if reading.items:
            self._ledger.add(health.EXPORTED, reading.items, label)
        if reading.items or reading.completions:
            self._ledger.set(health.LAST_RECORD, now, label)

    def _take_calls(self, source: str, calls: Sequence[Completion], now: float) -> None:
        alike = grouped(calls)
        self._links.take(source, alike.values(), now)
        if self._once is not None:
            calls = [self._once.of(call, now) for call in calls]
            alike = grouped(calls)
        self._meter.record(alike)
        self._judgements.remember_all(calls)
        if self._explainer is not None:
            self._explainer.see_all(calls, now)
        if self._drift is None:  # which alone is told of calls without an answer
            calls = [call for call in calls if call.text is not None or call.token_logprobs]
        for at, call in enumerate(calls):
            if not self._checks_on:
                self._skip(calls[at:])
                break
            scores = self._checks.read(call) if self._checks is not None else ()
            if self._capture is not None:
                self._capture.take(call, scores)
            if self._drift is not None:
                self._drift.observe(call, scores, now)

    def _skip(self, calls: Sequence[Completion]) -> None:
        answers = sum(call.text is not None for call in calls)
        self.unchecked += answers
        if self._checks is not None:
            self._checks.skip(answers)

    def _fold(self, reading: Reading, label: Labels, now: float) -> None:
        for judgement in reading.judgements:
            self._judgements.take(judgement, now)
        if self._fleet is not None and reading.log:
            self._fleet.take(reading.log, now)
        self._aggregate.apply_all(reading.samples)
        self._aggregate.forget(*reading.gaps)
        for gap in reading.gaps:
            self._ledger.add(health.GAPS, 1, (*label, ("reason", gap.reason.value)))

    def tick(self, now: float) -> None:
        """Hand every exporter what changed since the last tick."""
        if now - self._swept_at > _SWEEP_SECONDS or now < self._swept_at:
            with self._ledger.steps.timed("sweep"):
                self._aggregate.sweep(now)
            self._swept_at = now
            self._counted = None
        if self._checks is not None:
            for call, scores in self._checks.tick():
                if self._drift is not None:
                    self._drift.judged(segment_of(call), {score.name: score.value for score in scores}, now)
        if self._capture is not None:
            self._capture.tick()
        self._judgements.tick(now)
        self._count_series()
        self._ledger.add(health.STEPS_DROPPED, self._ledger.steps.dropped())
        self._aggregate.apply_all((*self._ledger.drain(now), *self._links.drain(now)))
        points, gone = self._aggregate.changed()
        batch = self._judge(Batch(now, points, gone, steps=self._ledger.steps.drain()))
        for write in self._writes:
            write(batch)

    def _count_series(self) -> None:
        """How many there are, and values of their labels: when that has changed, and once a minute."""
        counted = (len(self._aggregate), self._aggregate.generation)
        if counted == self._counted:
            return
        self._counted = counted
        self._ledger.set(health.SERIES, len(self._aggregate))
        for label, values in self._aggregate.label_values().items():
            self._ledger.set(health.LABEL_VALUES, values, (("label", label),))

    def settle(self, now: float) -> None:
        """No more readings come: what waits for one is counted without."""
        self._judgements.tick(now, is_last=True)
        if self._drift is not None:
            self._drift.settle()

    def _judge(self, batch: Batch) -> Batch:
        """What the signals say of it: their findings go with it, their numbers with the next."""
        findings: list[Finding] = []
        changes = Changes(batch)
        if self._explainer is not None:
            self._explainer.update(changes.of(self._explainer.reads))
        said = [signal.see(changes) for signal in self._signals]
        if self._drift is not None:
            with self._ledger.steps.timed("drift"):
                said.append(self._drift.tick(batch.at))
        if self._fleet is not None:
            with self._ledger.steps.timed("fleet"):
                said.append(self._fleet.tick(batch.at))
        for judged in said:
            for gap in judged.gaps:
                self._aggregate.forget(gap)
            self._aggregate.apply_all(judged.samples)
            findings += judged.findings
        if self._explainer is not None:
            findings = [self._explainer.explain(finding) for finding in findings]
            findings += self._explainer.late(batch.at)
        told, seen = self._record.tick(batch.at) if self._record is not None else ((), ())
        ticked = max((judged.ticked for judged in said if judged.ticked is not None), default=None)
        counted = tuple(one for judged in said for one in judged.counted)
        if not (findings or told or seen or counted or ticked is not None):
            return batch
        return msgspec.structs.replace(
            batch,
            findings=tuple(findings),
            counted=counted,
            drawn=tuple(one for judged in said for one in judged.drawn),
            changes=told,
            seen=seen,
            ticked=ticked,
        )
