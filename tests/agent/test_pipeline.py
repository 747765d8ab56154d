from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from watchkeeper.agent import pipeline as module
from watchkeeper.agent.aggregate import Aggregate
from watchkeeper.agent.checks import Checks, Running
from watchkeeper.agent.explain import Explainer
from watchkeeper.agent.once import Once
from watchkeeper.agent.pipeline import Pipeline
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import (
    Batch,
    Completion,
    Gap,
    HistogramValue,
    Judgement,
    Outcome,
    Reading,
    Reason,
    Sample,
    Seen,
    Text,
    Vantage,
)
from watchkeeper.core.vocabulary import engines, health, outputs, requests

CALL: dict[str, Any] = {
    "at": 1000.0, "service": "chat", "request_model": "m", "duration_seconds": 1.5, "input_tokens": 7,
    "time_to_first_token_seconds": 0.3, "output_tokens": 12, "trace_id": b"t" * 16, "span_id": b"s" * 8,
    "service_version": "1",
}  # fmt: skip
VARIED = [
    Completion(**CALL | change)
    for change in (
        {},
        {"request_model": "n", "at": 1001.0, "service_version": "2", "trace_id": b"u" * 16},
        {"vantage": Vantage.TAP, "finish_reasons": ("stop",), "text": Text("asked", "said")},
        {"vantage": Vantage.ENGINE, "counts": False, "queue_seconds": 0.2, "at": 1002.0},
        {"outcome": Outcome.ERROR, "error_type": "E", "trace_id": b"", "duration_seconds": 1.6},
        {"duration_seconds": 1.7, "trace_id": b"", "response_id": "r", "service": "other"},
        {"duration_seconds": None, "pace_seconds": 0.01, "service_version": "3"},
    )
]


def make() -> tuple[Pipeline, list[Batch]]:
    batches: list[Batch] = []
    ledger = Ledger()
    return Pipeline(Aggregate(ledger, max_series=500, max_values_per_label=50), ledger, [batches.append]), batches


def values(batches: list[Batch]) -> dict[tuple[str, tuple[tuple[str, str], ...]], object]:
    return {(point.metric.name, point.labels): point.value for batch in batches for point in batch.points}


def test_a_reading_reaches_the_exporters_at_the_next_tick_with_its_items_counted() -> None:
    pipeline, batches = make()

    pipeline.accept("otlp", Reading(completions=(Completion(at=5.0),), items=3), 6.0)
    pipeline.tick(7.0)

    found = values(batches)
    assert found[health.EXPORTED.name, (("source", "otlp"),)] == 3
    assert found[health.LAST_RECORD.name, (("source", "otlp"),)] == 6.0
    assert any(name == requests.REQUESTS.name for name, _ in found)


def test_a_gap_takes_its_gauge_away_and_is_counted() -> None:
    pipeline, batches = make()
    pipeline.accept("engines", Reading(samples=(Sample(engines.RUNNING, 2, 1.0),)), 1.0)
    pipeline.tick(1.0)

    pipeline.accept("engines", Reading(gaps=(Gap(engines.RUNNING, Reason.UNREACHABLE),)), 2.0)
    pipeline.tick(2.0)

    assert batches[1].gone == ((engines.RUNNING, ()),)
    assert values(batches)[health.GAPS.name, (("source", "engines"), ("reason", "unreachable"))] == 1


def test_a_reading_with_nothing_in_it_is_no_record() -> None:
    pipeline, batches = make()

    pipeline.accept("otlp", Reading(samples=(Sample(health.QUEUE_SIZE, 0, 1.0),)), 6.0)
    pipeline.tick(7.0)

    assert not any(name == health.LAST_RECORD.name for name, _ in values(batches))


def test_a_reading_that_breaks_the_pipeline_is_counted_as_lost() -> None:
    pipeline, batches = make()
    broken = Reading(samples=(None,), items=4)  # type: ignore[arg-type]

    with pytest.raises(AttributeError):
        pipeline.accept("otlp", broken, 6.0)
    pipeline.tick(7.0)

    found = values(batches)
    assert found[health.DROPPED.name, (("source", "otlp"), ("reason", "fault"))] == 4
    assert (health.EXPORTED.name, (("source", "otlp"),)) not in found


def test_a_clock_that_steps_back_stops_nothing() -> None:
    pipeline, batches = make()

    for now in (1000.0, 10.0, 2000.0):
        pipeline.accept("otlp", Reading(completions=(Completion(at=now),), items=1), now)
        pipeline.tick(now)

    assert values(batches)[health.EXPORTED.name, (("source", "otlp"),)] == 3


def told(calls: list[Completion], at_once: int) -> tuple[dict[Any, Any], tuple[Seen, ...]]:
    """All series, with sums as exact as adding in another order leaves them, and versions in their order."""
    ledger, batches = Ledger(), list[Batch]()
    explainer = Explainer(ledger)
    aggregate = Aggregate(ledger, max_series=500, max_values_per_label=50)
    pipeline = Pipeline(aggregate, ledger, [batches.append], once=Once(ledger), explainer=explainer)
    judged = (Judgement(at=1003.0, name="n", score=1.0, trace_id=b"t" * 16),)
    with patch.object(module, "_AT_ONCE", at_once):
        pipeline.accept("otlp", Reading(completions=tuple(calls), items=1, judgements=judged), 1003.0)
    pipeline.tick(1003.0)
    return {
        key: replace(value, sum=round(value.sum, 9)) if isinstance(value, HistogramValue) else value
        for key, value in values(batches).items()
    }, explainer.versions_of_services()


@settings(deadline=None, max_examples=40)
@given(st.lists(st.sampled_from(VARIED), min_size=1, max_size=12), st.integers(1, 11))
def test_calls_say_the_same_however_many_are_folded_at_once(calls: list[Completion], at_once: int) -> None:
    assert told(calls, at_once) == told(calls, len(calls))


def test_a_check_reads_text_and_probabilities_among_calls_that_have_neither() -> None:
    class Reader:
        read: list[Completion]

        def score(self, call: Any) -> tuple[()]:
            self.read.append(call.completion)
            return ()

    reader = Reader()
    reader.read = []
    ledger = Ledger()
    aggregate = Aggregate(ledger, max_series=500, max_values_per_label=50)
    checks = Checks(aggregate, ledger, [Running("reader", reader, reads_logprobs=True)])
    pipeline = Pipeline(aggregate, ledger, [], checks=checks)
    text = Completion(at=5.0, text=Text("asked", "said"))
    probabilities = Completion(at=5.0, token_logprobs=(-0.1,))

    pipeline.accept("otlp", Reading(completions=(Completion(at=5.0), text, probabilities)), 6.0)

    assert reader.read == [text, probabilities]


def test_when_there_is_no_more_time_calls_are_counted_and_their_answers_not_read() -> None:
    ledger, batches = Ledger(), list[Batch]()
    aggregate = Aggregate(ledger, max_series=500, max_values_per_label=50)

    class Slow:
        def score(self, call: Any) -> tuple[()]:
            pipeline.give_up_checking()
            return ()

    checks = Checks(aggregate, ledger, [Running("slow", Slow())])
    pipeline = Pipeline(aggregate, ledger, [batches.append], checks=checks)
    probabilities = Completion(at=5.0, token_logprobs=(-0.1,))  # which this check does not read
    calls = (*(Completion(at=5.0, text=Text("asked", "said")) for _ in range(3)), probabilities)

    pipeline.accept("otlp", Reading(completions=calls, items=4), 6.0)
    pipeline.accept("otlp", Reading(completions=calls, items=4), 6.0)
    pipeline.tick(7.0)

    found = values(batches)
    assert found[requests.REQUESTS.name, (("gen_ai.operation.name", "chat"), ("outcome", "ok"))] == 8
    assert found[health.EXPORTED.name, (("source", "otlp"),)] == 8
    assert found[outputs.DROPPED.name, (("check", "slow"), ("reason", "shutdown"))] == 5
    assert pipeline.unchecked == 5


def test_what_the_tap_brought_of_a_call_is_counted_once_and_seen_from_both_sides() -> None:
    ledger, batches = Ledger(), list[Batch]()
    aggregate = Aggregate(ledger, max_series=500, max_values_per_label=50)
    pipeline = Pipeline(aggregate, ledger, [batches.append], once=Once(ledger))
    tapped, reported = (Completion(**CALL, vantage=vantage) for vantage in (Vantage.TAP, Vantage.CLIENT))

    pipeline.accept("tap", Reading(completions=(tapped,)), 1001.0)
    pipeline.accept("otlp", Reading(completions=(reported,)), 1001.0)
    pipeline.tick(1001.0)

    found = values(batches)
    assert sum(value for (name, _), value in found.items() if name == requests.REQUESTS.name) == 1  # type: ignore[misc]
    durations = [value for (name, _), value in found.items() if name == requests.SERVER_DURATION.name]
    assert [value.sum for value in durations if isinstance(value, HistogramValue)] == [1.5, 1.5]
