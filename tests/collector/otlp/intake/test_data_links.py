"""What is told of a data link itself: repeated records, instrumentation, times that cannot be right, the queue."""

import json
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.otlp.intake import Encoding, Signal, Undecodable
from collector.otlp.writers import MAX_WRITERS
from watchkeeper.core.vocabulary import health, links

CHAT = {"gen_ai.operation.name": "chat"}
NAMED = {"service.name": "app", "k8s.namespace.name": "ml"}


def told(otlp: Any, metric: Any) -> dict[tuple[str, ...], float]:
    """Label values to what the ledger holds of a metric."""
    drained = (sample for sample in otlp.ledger.drain(0.0) if sample.metric is metric)
    return {tuple(value for _, value in sample.labels): sample.value for sample in drained if sample.value}


def send_scoped(otlp: Any, name: str, version: object, now: float | None = None) -> None:
    """One call under an instrumentation of this name and version."""
    signal, body = otlp.body(otlp.span(CHAT), resource=NAMED, scope=name)
    if otlp.encoding is Encoding.JSON:
        request = json.loads(body)
        request["resourceSpans"][0]["scopeSpans"][0].setdefault("scope", {})["version"] = version
        body = json.dumps(request).encode()
    else:
        request = ExportTraceServiceRequest.FromString(body)
        request.resource_spans[0].scope_spans[0].scope.version = str(version)
        body = request.SerializeToString()
    otlp.intake.take(signal, otlp.encoding, body, {}, otlp.now if now is None else now)


def test_a_record_that_comes_again_is_counted_for_its_sender(otlp: Any) -> None:
    span = otlp.span(CHAT)

    for _ in range(3):
        otlp.send(span, resource=NAMED)

    assert told(otlp, links.REPEATED) == {("otlp", "ml", "app"): 2}
    assert len(otlp.read().completions) == 1


def test_two_records_of_one_call_are_no_repetition(otlp: Any) -> None:
    otlp.send(otlp.span(CHAT, trace=1, span=1), otlp.span(CHAT, trace=1, span=2, parent=1))
    otlp.send(otlp.log("gen_ai.client.inference.operation.details", CHAT, trace=1, span=1))

    assert told(otlp, links.REPEATED) == {}


def test_who_writes_records_is_told_with_the_version(otlp: Any) -> None:
    send_scoped(otlp, "openinference.instrumentation.openai", "0.1.30")

    written = told(otlp, links.SCHEMA)
    assert written == {("otlp", "ml", "app", "openinference.instrumentation.openai", "0.1.30"): 1}


def test_it_is_told_once_a_minute_for_as_long_as_records_come(otlp: Any) -> None:
    said = []
    for seconds in (0, 30, 59, 61, 200):
        send_scoped(otlp, "tracer", "1", otlp.now + seconds)
        said.append(len(told(otlp, links.SCHEMA)))

    assert said == [1, 0, 0, 1, 1]


def test_spans_that_are_no_calls_tell_of_no_writer(otlp: Any) -> None:
    otlp.send(otlp.span({"http.method": "GET"}), scope="opentelemetry.instrumentation.requests")

    assert told(otlp, links.SCHEMA) == {}


def test_a_log_record_of_a_call_tells_who_wrote_it(otlp: Any) -> None:
    otlp.send(otlp.log("gen_ai.client.inference.operation.details", CHAT, trace=1, span=1), scope="tracer")

    assert [who[-2:] for who in told(otlp, links.SCHEMA)] == [("tracer", "")]


@pytest.mark.parametrize("version", [None, 7, ["1"], {"major": 1}])
def test_a_version_that_is_no_text_costs_no_record(both: Any, version: object) -> None:
    _, otlp = both
    send_scoped(otlp, "tracer", version)

    assert len(otlp.read().completions) == 1
    assert [who[-2:] for who in told(otlp, links.SCHEMA)] == [("tracer", "")]


def test_writers_without_end_take_bounded_room(protobuf: Any) -> None:
    for number in range(MAX_WRITERS + 50):
        send_scoped(protobuf, "tracer", f"1.{number}")

    assert len(protobuf.intake._traces._writers._said) == MAX_WRITERS


@pytest.mark.parametrize(("end", "counted"), [(-3_700.0, 1), (400.0, 1), (-3_500.0, 0), (200.0, 0)])
def test_a_time_that_cannot_be_right_is_taken_as_now_and_counted(otlp: Any, end: float, counted: int) -> None:
    [call] = otlp.calls(otlp.span(CHAT, start=end - 1, end=end))

    assert otlp.invalid.get("time", 0) == counted
    assert call.at == pytest.approx(otlp.now if counted else otlp.now + end)


def test_a_time_that_was_not_given_is_no_wrong_one(otlp: Any) -> None:
    record = otlp.log("gen_ai.client.inference.operation.details", CHAT, trace=1, span=1)
    record.observed_time_unix_nano = 0

    [call] = otlp.calls(record)

    assert call.at == otlp.now
    assert "time" not in otlp.invalid


def test_requests_that_are_taken_are_counted_and_refused_ones_not(otlp: Any) -> None:
    otlp.send(otlp.span(CHAT))
    broken = otlp.span(CHAT)
    broken.span_id = b"short"
    otlp.send(broken)
    with pytest.raises(Undecodable):
        otlp.intake.take(Signal.TRACES, otlp.encoding, b"\x0a\xff{", {}, otlp.now)

    assert told(otlp, health.TAKEN_REQUESTS) == {("otlp", "traces"): 2}


def test_the_queue_is_as_old_as_the_first_record_that_nobody_took(otlp: Any) -> None:
    ages = [otlp.intake.queue_age_seconds(otlp.now)]
    otlp.send(otlp.span(CHAT), now=otlp.now)
    otlp.send(otlp.span(CHAT), now=otlp.now + 5)
    ages.append(otlp.intake.queue_age_seconds(otlp.now + 7))
    otlp.read()
    ages.append(otlp.intake.queue_age_seconds(otlp.now + 8))
    otlp.send(otlp.span({"http.method": "GET"}), now=otlp.now + 8)
    ages.append(otlp.intake.queue_age_seconds(otlp.now + 9))

    assert ages == [0, 7, 0, 0]
