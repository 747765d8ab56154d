import json
from typing import Any

import pytest
from google.protobuf import json_format
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from collector.otlp import answers
from collector.otlp.answers import Refusal
from collector.otlp.intake import Encoding, Overloaded, Refused, Signal, Taken, TooMany, Undecodable

ALL = tuple({refusal.reason: refusal for refusal in (*answers.OF_A_SIGNAL, *answers.OF_NO_SIGNAL)}.values())
SIGNALS = [
    (Signal.TRACES, ExportTraceServiceResponse, "rejected_spans", "rejectedSpans"),
    (Signal.METRICS, ExportMetricsServiceResponse, "rejected_data_points", "rejectedDataPoints"),
    (Signal.LOGS, ExportLogsServiceResponse, "rejected_log_records", "rejectedLogRecords"),
]


@pytest.mark.parametrize("signal", Signal)
def test_full_success_says_nothing(signal: Signal) -> None:
    assert answers.accepted(signal, Encoding.PROTOBUF, Taken()) == b""
    assert answers.accepted(signal, Encoding.JSON, Taken()) == b"{}"


@pytest.mark.parametrize(("signal", "response", "field", "key"), SIGNALS)
class TestPartialSuccess:
    def test_protobuf_counts_what_was_rejected(self, signal: Signal, response: Any, field: str, key: str) -> None:
        body = answers.accepted(signal, Encoding.PROTOBUF, Taken(3, "3 with bad ids"))

        partial = response.FromString(body).partial_success
        assert (getattr(partial, field), partial.error_message) == (3, "3 with bad ids")

    def test_json_is_the_same_message_with_the_count_as_a_string(
        self, signal: Signal, response: Any, field: str, key: str
    ) -> None:
        body = answers.accepted(signal, Encoding.JSON, Taken(3, "3 with bad ids"))

        assert json.loads(body) == {"partialSuccess": {key: "3", "errorMessage": "3 with bad ids"}}
        partial = json_format.Parse(body, response()).partial_success
        assert getattr(partial, field) == 3

    def test_a_warning_rejects_nothing(self, signal: Signal, response: Any, field: str, key: str) -> None:
        body = answers.accepted(signal, Encoding.JSON, Taken(0, "odd"))

        assert json.loads(body) == {"partialSuccess": {"errorMessage": "odd"}}
        protobuf = response.FromString(answers.accepted(signal, Encoding.PROTOBUF, Taken(0, "odd")))
        assert (getattr(protobuf.partial_success, field), protobuf.partial_success.error_message) == (0, "odd")

    def test_a_long_message_is_cut(self, signal: Signal, response: Any, field: str, key: str) -> None:
        for encoding in Encoding:
            assert len(answers.accepted(signal, encoding, Taken(1, "x" * 5_000_000))) < 2000


@pytest.mark.parametrize("refusal", ALL, ids=lambda refusal: refusal.reason)
class TestRefusal:
    def test_both_encodings_hold_the_same_status(self, refusal: Refusal) -> None:
        protobuf = Status.FromString(answers.refused(Encoding.PROTOBUF, refusal, 1.5))
        as_json = json.loads(answers.refused(Encoding.JSON, refusal, 1.5))

        assert (protobuf.code, protobuf.message) == (refusal.rpc_code, refusal.message)
        assert json.loads(json_format.MessageToJson(protobuf, descriptor_pool=None)) == as_json

    def test_retry_is_advised_where_http_would_retry_and_nowhere_else(self, refusal: Refusal) -> None:
        retryable_http = refusal.http_status in (429, 502, 503, 504)

        assert refusal.retry == retryable_http
        assert bool(answers.trailers(refusal, 1.5)) == retryable_http

    def test_operator_and_sender_are_both_told_something(self, refusal: Refusal) -> None:
        assert refusal.message
        assert refusal.advice


def test_retry_advice_is_under_the_keys_of_python_and_of_go() -> None:
    trailers = dict(answers.trailers(answers.OVERLOADED, 1.25))

    assert RetryInfo.FromString(trailers["google.rpc.retryinfo-bin"]).retry_delay.ToMilliseconds() == 1250
    [detail] = Status.FromString(trailers["grpc-status-details-bin"]).details
    inside = RetryInfo()
    assert detail.Unpack(inside)
    assert inside.retry_delay.ToMilliseconds() == 1250


@pytest.mark.parametrize(
    ("error", "http_status", "retry"),
    [
        (Undecodable("undecodable", "bad"), 400, False),
        (Undecodable("too_deep", "bad"), 400, False),
        (TooMany("too_many_items", "bad"), 413, False),
        (Overloaded("queue_full", "bad"), 503, True),
        (Overloaded("shutting_down", "bad"), 503, True),
        (Overloaded("a_reason_of_tomorrow", "bad"), 503, True),
        (TooMany("a_reason_of_tomorrow", "bad"), 413, False),
        (Undecodable("a_reason_of_tomorrow", "bad"), 400, False),
    ],
    ids=lambda value: getattr(value, "reason", None),
)
def test_what_the_intake_refuses_keeps_its_reason_and_words(error: Refused, http_status: int, retry: bool) -> None:
    refusal = answers.refusal_of(error)

    assert (refusal.reason, refusal.http_status, refusal.retry, refusal.message) == (
        error.reason, http_status, retry, "bad",
    )  # fmt: skip
