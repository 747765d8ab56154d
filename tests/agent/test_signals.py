import logging
from collections.abc import Sequence

import pytest

from watchkeeper.agent.aggregate import Aggregate
from watchkeeper.agent.pipeline import Pipeline
from watchkeeper.agent.signals import Changes, Watched
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.metric import Kind, Metric
from watchkeeper.core.records import (
    Assessment,
    Batch,
    Finding,
    Labels,
    Point,
    Reading,
    Sample,
    Severity,
    State,
    Verdict,
)
from watchkeeper.core.vocabulary import health, signals

HEAT = Metric("heat", Kind.GAUGE, "Cel", "", ("hw.id",))
NOISE = Metric("noise", Kind.GAUGE, "", "", ("hw.id",))
GPU: Labels = (("hw.id", "GPU-1"),)


class Hot:
    """Alarms above 90, warns above 80."""

    def __init__(self) -> None:
        self.heat: dict[Labels, float] = {}
        self.saw: list[Metric] = []

    def update(self, batch: Batch) -> None:
        for point in batch.points:
            assert isinstance(point.value, float)
            self.saw.append(point.metric)
            if point.value < 0:
                raise ValueError("a fault of the signal's own")
            self.heat[point.labels] = point.value
        for _, labels in batch.gone:
            del self.heat[labels]

    def assess(self, now: float) -> Sequence[Assessment]:
        return [
            Assessment(
                subject=labels,
                verdict=Verdict(State.ALARM if heat > 90 else State.WARN if heat > 80 else State.OK, heat, 80.0),
                summary=f"{heat:g} degrees",
                action="open the window",
                since=now - 60,
            )
            for labels, heat in self.heat.items()
        ]


class Watch:
    def __init__(self, interval_seconds: float = 0.0) -> None:
        self.ledger = Ledger()
        self.signal = Hot()
        self.watched = Watched("hot", self.signal, (HEAT,), interval_seconds, self.ledger)
        self.at = 1000.0
        self.findings: tuple[Finding, ...] = ()
        self.samples: dict[Metric, float] = {}

    def see(self, heat: float | None, *points: Point, after: float = 1.0) -> tuple[Finding, ...]:
        self.at += after
        seen = () if heat is None else (Point(HEAT, GPU, heat),)
        judged = self.watched.update(Batch(self.at, (*seen, *points)))
        self.samples = {sample.metric: sample.value for sample in judged.samples if isinstance(sample.value, float)}
        return judged.findings

    def counted(self, metric: Metric) -> float:
        drained = [sample.value for sample in self.ledger.drain(self.at) if sample.metric == metric]
        return sum(value for value in drained if isinstance(value, float))


def test_a_change_for_the_worse_is_one_finding_that_says_since_when() -> None:
    watch = Watch()
    assert watch.see(50.0) == ()

    (finding,) = watch.see(95.0)

    assert (finding.severity, finding.subject, finding.summary) == (Severity.CRITICAL, "hot hw.id=GPU-1", "95 degrees")
    assert finding.since == watch.at - 60
    assert finding.action == "open the window"
    assert watch.see(96.0) == ()
    assert watch.counted(signals.FINDINGS) == 1


def test_getting_well_resolves_the_finding_that_was_open() -> None:
    watch = Watch()
    (opened,) = watch.see(95.0)

    (resolved,) = watch.see(50.0)

    assert resolved.resolved
    assert (resolved.subject, resolved.since) == (opened.subject, opened.since)
    assert watch.see(51.0) == ()


def test_the_log_says_each_change_once_with_what_to_do(caplog: pytest.LogCaptureFixture) -> None:
    watch = Watch()
    with caplog.at_level(logging.INFO):
        for heat in (85.0, 85.0, 95.0, 95.0, 50.0, 50.0):
            watch.see(heat)

    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("WARNING", "warning: 85 degrees. To do: open the window"),
        ("ERROR", "critical: 95 degrees. To do: open the window"),
        ("INFO", "over: 95 degrees"),
    ]


def test_from_warning_to_alarm_is_a_new_finding_of_the_same_trouble() -> None:
    watch = Watch()
    (warned,) = watch.see(85.0)

    (alarmed,) = watch.see(95.0, after=30.0)

    assert (warned.severity, alarmed.severity) == (Severity.WARNING, Severity.CRITICAL)
    assert alarmed.since == warned.since


def test_state_and_score_are_numbers_at_every_asking() -> None:
    watch = Watch()
    watch.see(88.0)

    assert watch.samples == {signals.STATE: 1.0, signals.SCORE: pytest.approx(1.1)}


def test_a_signal_is_asked_no_oftener_than_its_interval_but_sees_every_tick() -> None:
    watch = Watch(interval_seconds=5.0)
    watch.see(50.0)

    assert watch.see(95.0) == ()
    assert len(watch.see(None, after=5.0)) == 1
    assert watch.signal.saw == [HEAT, HEAT]


def test_a_clock_set_back_does_not_silence_a_signal() -> None:
    watch = Watch(interval_seconds=5.0)
    watch.see(50.0)

    assert len(watch.see(95.0, after=-3600.0)) == 1


def test_a_subject_that_is_gone_takes_its_finding_and_series_with_it() -> None:
    watch = Watch()
    watch.see(95.0)

    judged = watch.watched.update(Batch(watch.at + 1, gone=((HEAT, GPU),)))

    assert [finding.resolved for finding in judged.findings] == [True]
    assert {gap.metric for gap in judged.gaps} == {signals.STATE, signals.SCORE}
    assert {gap.labels for gap in judged.gaps} == {(("signal", "hot"), *GPU)}


def test_a_signal_sees_only_the_metrics_it_reads() -> None:
    watch = Watch()
    watch.see(50.0, Point(NOISE, GPU, 99.0))

    assert watch.signal.saw == [HEAT]


def test_a_signal_that_fails_is_counted_and_asked_again() -> None:
    watch = Watch()

    assert watch.see(-1.0) == ()
    assert watch.counted(health.SIGNAL_FAILURES) == 1
    assert len(watch.see(95.0)) == 1


def test_findings_go_out_with_the_tick_and_numbers_with_the_next() -> None:
    ledger = Ledger()
    batches: list[Batch] = []
    watched = Watched("hot", Hot(), (HEAT,), 0.0, ledger)
    aggregate = Aggregate(ledger, max_series=100, max_values_per_label=100)
    pipeline = Pipeline(aggregate, ledger, [batches.append], signals=[watched])

    pipeline.accept("devices", Reading((Sample(HEAT, 95.0, 1.0, GPU),)), 1.0)
    pipeline.tick(1.0)
    pipeline.tick(2.0)

    assert [len(batch.findings) for batch in batches] == [1, 0]
    assert [point.value for point in batches[1].points if point.metric == signals.STATE] == [2.0]


def test_steps_leave_with_the_batch_of_the_next_tick_beside_findings() -> None:
    batches: list[Batch] = []
    ledger = Ledger()
    ledger.steps.keep(share=1.0, slow_seconds=3600.0)
    aggregate = Aggregate(ledger, max_series=500, max_values_per_label=50)
    pipeline = Pipeline(
        aggregate, ledger, [batches.append], signals=[Watched("hot", Hot(), (signals.SCORE,), 0.0, ledger)]
    )
    hot = Reading(samples=(Sample(signals.SCORE, 95.0, 1.0, ((signals.SIGNAL, "x"),)),), items=1)

    pipeline.accept("otlp", hot, 1.0)
    pipeline.tick(1.0)
    pipeline.tick(2.0)

    assert [[step.name for step in batch.steps] for batch in batches] == [["fold otlp"], ["signal hot"]]
    assert dict(batches[0].steps[0].attributes) == {"source": "otlp", "items": 1}
    assert [len(batch.findings) for batch in batches] == [1, 0]


def test_a_signal_is_handed_what_it_reads_in_the_order_in_which_it_names_it():
    points = tuple(Point(metric, GPU, float(number)) for number, metric in enumerate((NOISE, HEAT, NOISE)))
    changes = Changes(Batch(5.0, points, ((HEAT, GPU), (NOISE, GPU))))

    assert changes.of((HEAT, NOISE)) == Batch(5.0, (points[1], points[0], points[2]), ((HEAT, GPU), (NOISE, GPU)))
    assert changes.of((HEAT,)) == Batch(5.0, (points[1],), ((HEAT, GPU),))
