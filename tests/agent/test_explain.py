import logging
import subprocess
import sys
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.causes.scope import Place
from watchkeeper.agent.aggregate import Aggregate
from watchkeeper.agent.explain import Explainer
from watchkeeper.agent.pipeline import Pipeline
from watchkeeper.agent.signals import Watched
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import (
    Assessment,
    Batch,
    Completion,
    Finding,
    Labels,
    Point,
    Reading,
    Severity,
    State,
    Vantage,
    Verdict,
)
from watchkeeper.core.vocabulary import health, requests

CHAT: Labels = (("service.name", "chat"), ("gen_ai.request.model", "qwen"))
FINDING = Finding(at=1.0, since=1.0, severity=Severity.WARNING, subject="s", summary="slow", name="slow", labels=CHAT)


class Slow:
    """Alarms once it is told to; since two minutes ago, or since `onset`."""

    alarms = False
    onset: float | None = None

    def update(self, batch: Batch) -> None:
        pass

    def assess(self, now: float) -> Sequence[Assessment]:
        state = State.ALARM if self.alarms else State.OK
        since = now - 120 if self.onset is None else self.onset
        return [Assessment(subject=CHAT, verdict=Verdict(state, 1.0, 1.0), summary="it is slow", since=since)]


def make() -> tuple[Pipeline, Slow, list[Batch], Ledger]:
    ledger, batches, slow = Ledger(), [], Slow()
    aggregate = Aggregate(ledger, max_series=1000, max_values_per_label=100)
    signals = [Watched("slow", slow, (), 1.0, ledger)]
    return (
        Pipeline(aggregate, ledger, [batches.append], signals=signals, explainer=Explainer(ledger)), slow, batches,
        ledger,
    )  # fmt: skip


def call(at: float, tokens: int, version: str = "1.2") -> Completion:
    return Completion(
        at=at, vantage=Vantage.TAP, service="chat", request_model="qwen", service_version=version,
        input_tokens=tokens, output_tokens=100, duration_seconds=2.0, time_to_first_token_seconds=0.2,
    )  # fmt: skip


def run(pipeline: Pipeline, begin: int, end: int, tokens: int, version: str = "1.2") -> None:
    for at in range(begin, end, 5):
        pipeline.accept("tap", Reading(completions=(call(at, tokens, version),), items=1), at)
        pipeline.tick(at)


def test_a_finding_leaves_the_pipeline_with_what_moved_and_what_changed():
    pipeline, slow, batches, _ = make()
    run(pipeline, 0, 1800, 310)
    run(pipeline, 1800, 1920, 465, "1.3")
    slow.alarms = True
    run(pipeline, 1920, 1925, 465, "1.3")

    [finding] = batches[-1].findings
    assert [cause.summary for cause in finding.causes] == [
        "something was changed at that time: service version 1.2 -> 1.3 of chat, at its onset",
        "prompts are longer than before",
    ]
    assert "prompt tokens 310 -> 465 (z +10)" in finding.evidence
    assert finding.summary == "it is slow"
    assert finding.action == "ask who changed it; roll it back where the change was not meant to do this"
    assert finding.runbook == "dashboards/runbooks/WatchkeeperDriftDetected.md"


def test_what_is_over_is_not_explained():
    pipeline, slow, batches, _ = make()
    slow.alarms = True
    run(pipeline, 0, 10, 310)
    slow.alarms = False
    run(pipeline, 10, 15, 310)

    assert batches[-1].findings[0].resolved
    assert batches[-1].findings[0].causes == ()


def test_a_finding_that_comes_at_its_onset_gets_its_causes_half_a_minute_later():
    pipeline, slow, batches, _ = make()
    slow.onset = 1800.0
    run(pipeline, 0, 1800, 310)
    slow.alarms = True
    run(pipeline, 1800, 1900, 465)

    early, late = (finding for batch in batches for finding in batch.findings)
    assert early.causes == ()
    assert early.evidence == ("causes not ranked: 0 seconds since the onset are known, 30 are needed",)
    assert late.at == 1830
    assert [cause.summary for cause in late.causes] == ["prompts are longer than before"]
    assert (late.subject, late.since, late.summary) == (early.subject, early.since, early.summary)


def test_a_finding_that_is_over_before_it_can_be_explained_stays_over():
    pipeline, slow, batches, _ = make()
    slow.onset = 1800.0
    run(pipeline, 0, 1800, 310)
    slow.alarms = True
    run(pipeline, 1800, 1810, 465)
    slow.alarms = False
    run(pipeline, 1810, 1900, 465)

    assert [finding.resolved for batch in batches for finding in batch.findings] == [False, True]


def test_a_finding_with_too_little_before_it_is_told_once():
    pipeline, slow, batches, _ = make()
    slow.onset = 60.0
    run(pipeline, 0, 60, 310)
    slow.alarms = True
    run(pipeline, 60, 200, 465)

    assert len([finding for batch in batches for finding in batch.findings]) == 1


def test_a_finding_keeps_its_own_action_runbook_and_evidence():
    own = msgspec.structs.replace(FINDING, action="open the window", runbook="docs/a.md", evidence=("hot",))

    explained = Explainer(Ledger()).explain(own)

    assert (explained.action, explained.runbook) == ("open the window", "docs/a.md")
    assert explained.evidence[0] == "hot"


def test_a_failure_in_explaining_loses_no_finding_and_is_counted(monkeypatch, caplog):
    ledger = Ledger()
    explainer = Explainer(ledger)
    monkeypatch.setattr("watchkeeper.agent.explain.explain", lambda *_: 1 / 0)

    with caplog.at_level(logging.ERROR):
        found = [explainer.explain(FINDING) for _ in range(3)]

    assert found == [FINDING] * 3
    [counted] = [sample for sample in ledger.drain(1.0) if sample.metric is health.SIGNAL_FAILURES]
    assert (counted.value, dict(counted.labels)) == (3, {"signal": "causes", "reason": "ZeroDivisionError"})
    assert len(caplog.records) == 1


def test_a_failure_in_remembering_a_tick_stops_neither_exporters_nor_the_next():
    ledger = Ledger()
    explainer = Explainer(ledger)
    broken = Point(requests.REQUESTS, (("service.name",),), 1.0)  # type: ignore[arg-type]

    explainer.update(Batch(1.0, (broken,)))
    explainer.update(Batch(20.0))

    [counted] = [sample for sample in ledger.drain(1.0) if sample.metric is health.SIGNAL_FAILURES]
    assert counted.value >= 1


@pytest.mark.parametrize("since", [0.0, -1e9, 1e12])
def test_an_onset_outside_of_what_is_known_gives_no_cause_and_no_failure(since):
    pipeline, _, _, ledger = make()
    run(pipeline, 0, 1800, 310)
    explainer = pipeline._explainer
    assert explainer is not None
    ledger.drain(1.0)

    explained = explainer.explain(msgspec.structs.replace(FINDING, since=since))

    assert explained.causes == ()
    assert "causes not ranked" in explained.evidence[-1]
    assert not [sample for sample in ledger.drain(1.0) if sample.metric is health.SIGNAL_FAILURES]


def test_explaining_needs_no_numpy():
    script = "import sys, watchkeeper.agent.explain; print(' '.join(sys.modules))"

    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout

    assert "detectors.causes.history" in loaded
    assert "numpy" not in loaded.split()


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(["", "a", "b"]), st.sampled_from(["", "1", "2"])), max_size=6))
def test_versions_of_calls_that_come_together_are_seen_as_if_each_came_alone(told):
    together, alone = Explainer(Ledger()), Explainer(Ledger())
    calls = [Completion(at=1.0, service=service, service_version=version) for service, version in told]
    together.see_all(calls, 1.0)
    for call in calls:
        alone.see_all([call], 1.0)
    later = [Completion(at=900.0, service=service, service_version="3") for service in ("", "a", "b")]
    for explainer in (together, alone):
        explainer.see_all(later, 900.0)

    assert together.versions_of_services() == alone.versions_of_services()
    places = {Place("", "", service, "", "") for service in ("", "a", "b")}
    assert list(together._versions.around(900.0, 10.0, places)) == list(alone._versions.around(900.0, 10.0, places))
