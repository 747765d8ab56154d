from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from watchkeeper.agent.aggregate import Aggregate
from watchkeeper.agent.requests import RequestMeter, grouped
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Completion, Distribution, HistogramValue, Outcome, Sample, Vantage
from watchkeeper.core.vocabulary import engines, requests

CALL: dict[str, Any] = {
    "at": 100.0,
    "provider": "openai",
    "request_model": "m",
    "response_model": "m-1",
    "service": "chat",
    "duration_seconds": 1.1,
    "time_to_first_token_seconds": 0.1,
    "streamed": True,
    "input_tokens": 10,
    "output_tokens": 11,
    "trace_id": b"t" * 16,
    "span_id": b"s" * 8,
}
VARIED = [
    Completion(**CALL | change)
    for change in (
        {},
        {"request_model": "n", "at": 101.0},
        {"duration_seconds": 5.0, "finish_reasons": ("stop", "length"), "at": 102.0},
        {"counts": False, "finish_reasons": ("stop",), "input_tokens": None},
        {"outcome": Outcome.TIMEOUT, "error_type": "E", "cached_input_tokens": 2, "reasoning_tokens": 3},
        {"outcome": None, "cache_write_tokens": 4, "tokens_estimated": True},
        {"vantage": Vantage.ENGINE, "queue_seconds": 0.5, "decode_seconds": 0.25, "trace_id": b""},
        {"duration_seconds": None, "pace_seconds": 0.5, "output_tokens": None},
    )
]


class Meter:
    """What the series say after some calls."""

    def __init__(self, *calls: Completion) -> None:
        self.aggregate = Aggregate(Ledger(), max_series=1000, max_values_per_label=100)
        self.meter = RequestMeter(self.aggregate)
        self.meter.record(grouped(calls))
        self.points, _ = self.aggregate.changed()

    def value(self, metric: Any, **labels: str) -> Any:
        wanted = {(name.replace("__", "."), value) for name, value in labels.items()}
        found = [point.value for point in self.points if point.metric == metric and wanted <= set(point.labels)]
        return found[0] if len(found) == 1 else found


def shown(meter: Meter) -> dict[Any, Any]:
    """Every series, with sums as exact as adding in another order leaves them."""
    points, _ = meter.aggregate.changed()
    return {
        (point.metric, point.labels): replace(point.value, sum=round(point.value.sum, 9))
        if isinstance(point.value, HistogramValue)
        else point.value
        for point in points
    }


def test_a_streamed_call_fills_every_request_metric_once() -> None:
    meter = Meter(Completion(**CALL))

    assert meter.value(requests.REQUESTS, outcome="ok") == 1
    assert meter.value(requests.CLIENT_DURATION).sum == 1.1
    assert meter.value(requests.CLIENT_FIRST_CHUNK).sum == 0.1
    assert meter.value(requests.SERVER_FIRST_TOKEN, watchkeeper__vantage="client").sum == 0.1
    assert meter.value(requests.SERVER_PER_TOKEN).sum == pytest.approx(0.1)
    assert meter.value(requests.TOKENS, gen_ai__token__type="input") == 10
    assert meter.value(requests.CLIENT_TOKEN_USAGE, gen_ai__token__type="output").sum == 11


def test_every_outcome_exists_at_zero_from_the_first_call() -> None:
    meter = Meter(Completion(**CALL))

    zeros = [meter.value(requests.REQUESTS, outcome=outcome.value) for outcome in Outcome if outcome != "ok"]

    assert zeros == [0.0] * 5


def test_a_second_view_of_a_call_adds_timings_but_no_request_and_no_tokens() -> None:
    engine_view = Completion(
        **CALL
        | {"vantage": Vantage.ENGINE, "counts": False, "time_to_first_token_seconds": 0.05, "queue_seconds": 0.01}
    )

    meter = Meter(Completion(**CALL), engine_view)

    assert meter.value(requests.REQUESTS, outcome="ok") == 1
    assert meter.value(requests.TOKENS, gen_ai__token__type="input") == 10
    assert meter.value(requests.SERVER_FIRST_TOKEN, watchkeeper__vantage="engine").sum == 0.05
    assert meter.value(engines.QUEUE_TIME).sum == 0.01
    assert sum(meter.value(requests.CLIENT_DURATION).counts) == 1


def test_a_finish_reason_counts_once_whichever_record_brings_it() -> None:
    late = Completion(at=101.0, counts=False, request_model="m", finish_reasons=("stop",))

    meter = Meter(Completion(**CALL), late)

    assert meter.value(requests.FINISH_REASONS, gen_ai__response__finish_reason="stop") == 1
    assert meter.value(requests.REQUESTS, outcome="ok") == 1


def test_a_failed_call_has_a_duration_with_its_error_and_no_first_token() -> None:
    meter = Meter(Completion(**CALL | {"error_type": "RateLimitError", "outcome": Outcome.REJECTED}))

    assert meter.value(requests.CLIENT_DURATION, error__type="RateLimitError").sum == 1.1
    assert meter.value(requests.SERVER_FIRST_TOKEN) == []
    assert meter.value(requests.REQUESTS, outcome="rejected") == 1


@pytest.mark.parametrize(
    "change",
    [{"output_tokens": 1}, {"output_tokens": None}, {"duration_seconds": 0.05}, {"time_to_first_token_seconds": None}],
    ids=["one token", "tokens unknown", "duration below first token", "first token unknown"],
)
def test_time_per_token_is_absent_where_it_means_nothing(change: dict[str, Any]) -> None:
    assert Meter(Completion(**CALL | change)).value(requests.SERVER_PER_TOKEN) == []


def test_time_per_token_may_come_with_the_record_that_brings_its_missing_half() -> None:
    late = Completion(at=101.0, counts=False, request_model="m", duration_seconds=1.1, pace_seconds=0.1)
    failed = Completion(at=101.0, counts=False, request_model="m", pace_seconds=0.1, error_type="E")
    meter = Meter(late, failed)

    assert meter.value(requests.SERVER_PER_TOKEN).sum == 0.1
    assert sum(meter.value(requests.CLIENT_DURATION).counts) == 1
    assert meter.value(requests.SERVER_FIRST_TOKEN) == []


def test_a_number_that_is_not_known_is_absent_not_zero() -> None:
    meter = Meter(Completion(at=1.0))

    assert {point.metric for point in meter.points} == {requests.REQUESTS}


def test_an_observation_carries_its_trace() -> None:
    value = Meter(Completion(**CALL)).value(requests.CLIENT_DURATION)

    assert isinstance(value, HistogramValue)
    [exemplar] = [kept for kept in value.exemplars if kept]
    assert (exemplar.trace_id, exemplar.span_id, exemplar.value) == (b"t" * 16, b"s" * 8, 1.1)


def test_the_newest_observation_of_a_bucket_that_has_a_trace_is_shown() -> None:
    first, last = (Completion(**CALL | {"at": at, "trace_id": trace * 16}) for at, trace in ((1.0, b"a"), (2.0, b"b")))
    value = Meter(first, last, Completion(**CALL | {"at": 3.0, "trace_id": b""})).value(requests.CLIENT_DURATION)

    assert [kept.trace_id for kept in value.exemplars if kept] == [b"b" * 16]
    assert len(value.exemplars) == len(value.counts)


@given(st.lists(st.sampled_from(VARIED), min_size=1, max_size=12), st.integers(1, 12))
def test_calls_that_come_together_count_as_one_after_the_other(calls: list[Completion], size: int) -> None:
    alone, together = Meter(), Meter()
    for call in calls:
        alone.meter.record(grouped((call,)))
    for start in range(0, len(calls), size):
        together.meter.record(grouped(calls[start : start + size]))

    assert shown(together) == shown(alone)


def test_a_histogram_that_somebody_brought_with_other_bounds_takes_calls_on_those() -> None:
    meter = Meter()
    labels = tuple((name, value) for name, value in (
        ("service.name", "chat"), ("gen_ai.operation.name", "chat"), ("gen_ai.provider.name", "openai"),
        ("gen_ai.request.model", "m"), ("gen_ai.response.model", "m-1"),
    ))  # fmt: skip
    brought = Distribution((1.05, 1.15), (0.0, 1.0, 0.0), 1.12)
    meter.aggregate.apply(Sample(requests.CLIENT_DURATION, brought, 1.0, labels))

    meter.meter.record(grouped([Completion(**CALL), Completion(**CALL | {"duration_seconds": 1.2})]))
    meter.points, _ = meter.aggregate.changed()

    value = meter.value(requests.CLIENT_DURATION)
    assert (value.bounds, value.counts) == ((1.05, 1.15), (0.0, 2.0, 1.0))
    assert [kept.value for kept in value.exemplars if kept] == [1.1, 1.2]
    server = meter.value(requests.SERVER_DURATION)
    assert (server.bounds, sum(server.counts)) == (requests.SERVER_DURATION.buckets, 2)
    assert [kept.value for kept in server.exemplars if kept] == [1.2]


def test_no_label_of_a_request_series_is_outside_its_metric() -> None:
    meter = Meter(
        Completion(**CALL, namespace="ns", pod="p", tenant="t", server_address="h", server_port="1", error_type="E"),
        Completion(**CALL, vantage=Vantage.ENGINE, finish_reasons=("stop",), queue_seconds=1.0),
    )

    for point in meter.points:
        names = [name for name, _ in point.labels]
        assert names == [name for name in point.metric.labels if name in names], point.metric.name


def test_calls_go_on_counting_after_their_series_were_removed() -> None:
    meter = Meter(Completion(**CALL))
    meter.aggregate.sweep(1e9)
    meter.aggregate.changed()

    meter.meter.record(grouped((Completion(**CALL),)))

    points, _ = meter.aggregate.changed()
    assert any(point.metric == requests.REQUESTS and point.value == 1 for point in points)


@pytest.mark.parametrize("vantage", list(Vantage))
def test_observers_of_one_kind_of_call_keep_their_times_apart(vantage: Vantage) -> None:
    meter = Meter(*(Completion(**CALL, vantage=each, counts=each is vantage) for each in Vantage))

    assert meter.value(requests.SERVER_DURATION, watchkeeper__vantage=vantage.value).sum == 1.1
    assert meter.value(requests.REQUESTS, outcome="ok") == 1


def test_tokens_that_were_estimated_are_marked_and_give_no_time_per_token() -> None:
    meter = Meter(Completion(**CALL, vantage=Vantage.TAP, tokens_estimated=True), Completion(**CALL))

    assert meter.value(requests.TOKENS, gen_ai__token__type="output") == 22
    assert meter.value(requests.TOKENS_ESTIMATED, gen_ai__token__type="output") == 11
    assert [dict(point.labels)["watchkeeper.vantage"] for point in meter.points
            if point.metric == requests.SERVER_PER_TOKEN] == ["client"]  # fmt: skip
