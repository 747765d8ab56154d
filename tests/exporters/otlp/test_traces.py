"""What watchkeeper did, as traces at a receiver that decodes them."""

import time
from contextlib import suppress

import pytest

from watchkeeper.core.errors import Retryable, Unavailable
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Batch, Point
from watchkeeper.core.steps import Step
from watchkeeper.core.vocabulary.requests import TOKENS

NEVER = 3600.0
TOKEN = Point(TOKENS, (), 1.0)
TICK = Step(
    name="tick",
    started=1_700_000_000.5,
    seconds=0.25,
    inner=(
        Step(name="sweep", started=1_700_000_000.5, seconds=0.125),
        Step(
            name="write page",
            started=1_700_000_000.625,
            seconds=0.125,
            failure="ValueError",
            attributes=(("exporter", "page"), ("items", 7)),
        ),
    ),
)


def spans(received):
    return [span for request in received for span in request.resource_spans[0].scope_spans[0].spans]


def named(received):
    return {span.name: span for span in spans(received)}


def test_a_step_is_a_trace_with_what_happened_within_it(collector, exporter_to):
    with collector() as receiver:
        with exporter_to(receiver.url, interval_seconds=NEVER, traces=True) as exporter:
            exporter.write(Batch(at=time.time(), steps=(TICK, Step(name="read tap", started=1.0, seconds=0.5))))
        [request] = receiver.wait_for("/v1/traces")

    found = named([request])
    tick, sweep, write, read = (found[name] for name in ("tick", "sweep", "write page", "read tap"))
    assert tick.parent_span_id == read.parent_span_id == b""
    assert sweep.parent_span_id == write.parent_span_id == tick.span_id
    assert tick.trace_id == sweep.trace_id == write.trace_id != read.trace_id
    assert (tick.start_time_unix_nano, tick.end_time_unix_nano) == (
        1_700_000_000_500_000_000,
        1_700_000_000_750_000_000,
    )
    assert (tick.status.code, write.status.code) == (0, 2)
    attributes = {pair.key: pair.value.string_value or pair.value.int_value for pair in write.attributes}
    assert attributes == {"exporter": "page", "items": 7, "error.type": "ValueError"}
    scope = request.resource_spans[0].scope_spans[0].scope
    resource = {pair.key: pair.value.string_value for pair in request.resource_spans[0].resource.attributes}
    assert (scope.name, resource["service.name"]) == ("watchkeeper", "watchkeeper")


def test_no_traces_are_made_or_sent_unless_asked_for(collector, exporter_to):
    ledger = Ledger()
    with collector() as receiver:
        with exporter_to(receiver.url, ledger, interval_seconds=NEVER) as exporter:
            with ledger.steps.timed("start", always=True):
                pass
            exporter.write(Batch(at=time.time(), steps=(TICK,)))
        assert receiver.received["/v1/traces"] == []

    assert ledger.steps.drain() == ()


def test_the_share_and_what_is_slow_are_the_configured_ones(collector, exporter_to):
    ledger = Ledger()
    with collector() as receiver:
        config = {"traces": True, "trace_share": 0.0, "trace_slow_seconds": 60.0}
        with exporter_to(receiver.url, ledger, interval_seconds=NEVER, **config):
            for name, seconds in (("fast", 59.9), ("slow", 60.0)):
                ledger.steps.take(Step(name=name, started=1.0, seconds=seconds))

    assert [step.name for step in ledger.steps.drain() if step.name != "push otlp"] == ["slow"]


def test_its_own_sends_are_traced_and_a_failed_one_says_where(collector, exporter_to):
    ledger = Ledger()
    with collector() as receiver:
        receiver.statuses["/v1/metrics"] = 404
        with exporter_to(
            receiver.url, ledger, interval_seconds=NEVER, traces=True, trace_share=0.0, trace_slow_seconds=NEVER
        ) as exporter:
            exporter.write(Batch(at=time.time(), points=(TOKEN,), steps=(TICK,)))
            with pytest.raises(Unavailable, match="/v1/metrics"):
                exporter.close()
        assert len(receiver.received["/v1/traces"]) == 1

    [push] = ledger.steps.drain()
    assert (push.name, [(step.name, step.failure) for step in push.inner]) == (
        "push otlp",
        [("send metrics", "Unavailable"), ("send traces", "")],
    )


def test_traces_that_are_refused_are_counted_and_the_metrics_still_arrive(collector, exporter_to):
    ledger = Ledger()
    with collector() as receiver:
        receiver.statuses["/v1/traces"] = 404
        with exporter_to(receiver.url, ledger, interval_seconds=NEVER, traces=True) as exporter:
            exporter.write(Batch(at=time.time(), points=(TOKEN,), steps=(TICK, TICK)))
            with pytest.raises(Unavailable, match="/v1/traces refuses with HTTP status 404"):
                exporter.close()
        assert len(receiver.received["/v1/metrics"]) == 1

    assert [(dict(sample.labels)["reason"], sample.value) for sample in ledger.drain(0.0)] == [("steps_refused", 2)]


def test_steps_wait_for_a_busy_collector_bounded_and_the_oldest_go_first(collector, exporter_to):
    ledger = Ledger()
    with collector() as receiver:
        with exporter_to(receiver.url, ledger, interval_seconds=NEVER, traces=True) as exporter:
            exporter.write(Batch(at=1.0, steps=(TICK,) * 2))
            exporter.write(Batch(at=2.0, steps=(Step(name="read tap", started=1.0, seconds=0.5),) * 1000))
        received = receiver.wait_for("/v1/traces")

    assert [span.name for span in spans(received)] == ["read tap"] * 1000
    assert [(dict(sample.labels)["reason"], sample.value) for sample in ledger.drain(0.0)] == [("steps_dropped", 2)]


def test_a_step_that_could_not_be_sent_is_sent_once_when_the_collector_is_back(collector, exporter_to):
    with collector() as receiver:
        receiver.statuses["/v1/traces"] = 503
        with exporter_to(receiver.url, interval_seconds=0.05, traces=True) as exporter:
            with suppress(Retryable):
                exporter.write(Batch(at=1.0, steps=(TICK,)))
            with receiver.changed:
                assert receiver.changed.wait_for(lambda: len(receiver.headers) > 1, timeout=60)
            receiver.statuses.clear()
            receiver.wait_for("/v1/traces")
        assert [span.name for span in spans(receiver.received["/v1/traces"])] == ["tick", "sweep", "write page"]
