from collections.abc import Mapping
from typing import Any

import pytest

from watchkeeper.agent.aggregate import Aggregate
from watchkeeper.agent.judgements import MAX_EVALUATIONS, MAX_LABELS, MAX_WAITING, WAIT_SECONDS, Judgements
from watchkeeper.agent.pipeline import Pipeline
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.observed import Segment
from watchkeeper.core.records import Batch, Completion, HistogramValue, Judgement, Reading
from watchkeeper.core.vocabulary import outputs

NOW = 1e9
TRACE, SPAN = bytes(range(16)), bytes(range(8))
OWN, SENDERS = Segment("ns", "shop", "m"), Segment("ops", "judge", "")


class Bench:
    """Judgements with all that comes out of them."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.aggregate = Aggregate(self.ledger, max_series=5_000, max_values_per_label=500)
        self.watched: list[tuple[Segment, dict[str, float | str], float]] = []
        self.judgements = Judgements(self.aggregate, self.ledger, self._watch)

    def _watch(self, segment: Segment, values: Mapping[str, float | str], now: float) -> None:
        self.watched.append((segment, dict(values), now))

    def call(self, **fields: Any) -> None:
        given: dict[str, Any] = {
            "namespace": "ns",
            "service": "shop",
            "request_model": "m",
            "trace_id": TRACE,
            "span_id": SPAN,
        }
        self.judgements.remember_all([Completion(at=NOW, **{**given, **fields})])

    def judge(self, now: float = NOW, **fields: Any) -> None:
        given: dict[str, Any] = {
            "namespace": "ops",
            "service": "judge",
            "name": "relevance",
            "score": 0.5,
            "trace_id": TRACE,
        }
        self.judgements.take(Judgement(at=NOW, **{**given, "span_id": SPAN, **fields}), now)

    def series(self) -> dict[str, dict[tuple[str, ...], Any]]:
        """Metric to label values to value: a histogram's count and sum."""
        found: dict[str, dict[tuple[str, ...], Any]] = {}
        for point in self.aggregate.changed()[0]:
            value: Any = point.value
            if isinstance(value, HistogramValue):
                value = (sum(value.counts), value.sum)
            found.setdefault(point.metric.name, {})[tuple(label for _, label in point.labels)] = value
        return found

    def unjoined(self) -> dict[str, float]:
        return {
            dict(sample.labels)["reason"]: float(sample.value)  # type: ignore[arg-type]
            for sample in self.ledger.drain(0.0)
            if sample.metric is outputs.UNJOINED and sample.value
        }


@pytest.fixture
def bench() -> Bench:
    return Bench()


class TestJoining:
    def test_a_judgement_counts_for_the_service_and_model_of_its_call(self, bench: Bench) -> None:
        bench.call()
        bench.judge(label="relevant")

        assert bench.series() == {
            outputs.QUALITY.name: {("ns", "shop", "m", "relevance"): (1, 0.5)},
            outputs.JUDGEMENTS.name: {("ns", "shop", "m", "relevance", "relevant"): 1},
        }
        assert bench.watched == [(OWN, {"quality.relevance": 0.5, "verdict.relevance": "relevant"}, NOW)]
        assert bench.unjoined() == {}

    def test_a_score_below_zero_counts_as_zero_and_drift_sees_the_score_itself(self, bench: Bench) -> None:
        bench.call()
        bench.judge(score=-0.75)
        bench.judge(score=0.25)

        assert bench.series()[outputs.QUALITY.name] == {("ns", "shop", "m", "relevance"): (2, 0.25)}
        assert [values["quality.relevance"] for _, values, _ in bench.watched] == [-0.75, 0.25]

    @pytest.mark.parametrize(
        "named",
        [{"span_id": b""}, {"trace_id": b"", "span_id": b"", "response_id": "r"}, {"span_id": b"", "response_id": "r"}],
        ids=["trace", "answer", "both"],
    )
    def test_its_trace_or_its_answer_is_enough(self, bench: Bench, named: dict[str, Any]) -> None:
        bench.call(response_id="r")
        bench.judge(**named)

        assert [segment for segment, _, _ in bench.watched] == [OWN]

    def test_one_that_comes_before_its_call_waits_for_it(self, bench: Bench) -> None:
        bench.judge()
        bench.judgements.tick(NOW + 1)
        assert bench.watched == []
        bench.call()
        bench.judgements.tick(NOW + 2)

        assert [(segment, now) for segment, _, now in bench.watched] == [(OWN, NOW + 2)]
        assert bench.unjoined() == {}

    def test_one_that_waits_is_not_given_to_another_call_of_its_trace_that_came_first(self, bench: Bench) -> None:
        bench.call(span_id=bytes(8), service="other")
        bench.judge()
        bench.judgements.tick(NOW + 1)
        bench.call()
        bench.judgements.tick(NOW + 2)

        assert [segment for segment, _, _ in bench.watched] == [OWN]

    def test_of_a_span_that_is_no_call_its_traces_newest_call_is_meant_in_the_end(self, bench: Bench) -> None:
        bench.call(service="first")
        bench.call(span_id=bytes(8))
        bench.judge(span_id=b"\xff" * 8)
        bench.judgements.tick(NOW + WAIT_SECONDS - 0.1)
        assert bench.watched == []
        bench.judgements.tick(NOW + WAIT_SECONDS)

        assert [segment for segment, _, _ in bench.watched] == [OWN]
        assert bench.unjoined() == {}

    def test_one_whose_call_never_comes_counts_for_its_sender_and_as_unjoined(self, bench: Bench) -> None:
        bench.judge()
        bench.judgements.tick(NOW + WAIT_SECONDS)

        assert [segment for segment, _, _ in bench.watched] == [SENDERS]
        assert bench.unjoined() == {"unknown_call": 1}

    def test_one_that_names_no_call_counts_for_its_sender_at_once(self, bench: Bench) -> None:
        bench.judge(trace_id=b"", span_id=b"", request_model="m2")

        assert [segment for segment, _, _ in bench.watched] == [Segment("ops", "judge", "m2")]
        assert bench.unjoined() == {"no_call_named": 1}

    def test_a_clock_that_steps_back_ends_the_wait(self, bench: Bench) -> None:
        bench.judge()
        bench.judgements.tick(NOW - 3600)

        assert len(bench.watched) == 1

    def test_past_the_most_that_wait_the_oldest_goes_without_its_call(self, bench: Bench) -> None:
        for number in range(MAX_WAITING + 2):
            bench.judge(score=float(number))

        assert [values for _, values, _ in bench.watched] == [{"quality.relevance": 0.0}, {"quality.relevance": 1.0}]
        bench.judgements.tick(NOW, is_last=True)
        assert bench.unjoined() == {"unknown_call": MAX_WAITING + 2}
        assert bench.series()[outputs.QUALITY.name][("ops", "judge", "relevance")][0] == MAX_WAITING + 2


class TestBounds:
    def test_evaluations_past_the_bound_are_counted_together_and_not_watched(self, bench: Bench) -> None:
        bench.call()
        for number in range(MAX_EVALUATIONS + 3):
            bench.judge(name=f"n{number}")

        assert len(bench.watched) == MAX_EVALUATIONS
        quality = bench.series()[outputs.QUALITY.name]
        assert len(quality) == MAX_EVALUATIONS + 1
        assert quality[("ns", "shop", "m", "other")][0] == 3

    def test_labels_past_the_bound_are_one(self, bench: Bench) -> None:
        bench.call()
        for number in range(MAX_LABELS + 3):
            bench.judge(label=f"l{number}")

        counted = bench.series()[outputs.JUDGEMENTS.name]
        assert len(counted) == MAX_LABELS + 1
        assert counted[("ns", "shop", "m", "relevance", "other")] == 3


def test_a_label_alone_is_no_score(bench: Bench) -> None:
    bench.call()
    bench.judge(score=None, label="pass")

    assert list(bench.series()) == [outputs.JUDGEMENTS.name]
    assert bench.watched == [(OWN, {"verdict.relevance": "pass"}, NOW)]


def test_the_pipeline_joins_what_one_reading_brings_and_settles_in_the_end() -> None:
    ledger, batches = Ledger(), list[Batch]()
    aggregate = Aggregate(ledger, max_series=500, max_values_per_label=50)
    pipeline = Pipeline(aggregate, ledger, [batches.append])
    call = Completion(at=NOW, service="shop", request_model="m", trace_id=TRACE, span_id=SPAN)
    judged = Judgement(at=NOW, name="n", score=1.0, service="judge", trace_id=TRACE, span_id=SPAN)
    lost = Judgement(at=NOW, name="n", score=1.0, service="judge", response_id="gone")
    pipeline.accept("otlp", Reading(completions=(call,), items=3, judgements=(judged, lost)), NOW)
    pipeline.settle(NOW)
    pipeline.tick(NOW)

    found = {dict(p.labels)["service.name"] for b in batches for p in b.points if p.metric is outputs.QUALITY}
    assert found == {"shop", "judge"}
