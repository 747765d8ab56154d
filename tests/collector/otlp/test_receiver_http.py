"""What OTLP/HTTP takes, what it refuses, and what the sender and the operator are told."""

import gzip
import json
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from google.rpc.status_pb2 import Status
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from watchkeeper.core.vocabulary import health

PROTOBUF = {"Content-Type": "application/x-protobuf"}
JSON = {"Content-Type": "application/json"}
MIB = 1 << 20
SPAN_AS_JSON = (
    '{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"%s","spanId":"eee19b7ec3c1b174","name":"chat m","kind":3,'
    '"startTimeUnixNano":"1544712660000000000","endTimeUnixNano":1544712661000000000,"unknownKey":[1],"attributes":'
    '[{"key":"gen_ai.operation.name","value":{"stringValue":"chat"}}]}]}]}]}'
)
CUT_SHORT = gzip.compress(b"{}", mtime=0)[:-1]  # of no time, so that every worker names its test alike
HEAD = b"POST /v1/traces HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-protobuf\r\n"
GOOD_ID = "5B8EFFF798038103D269B633813FC60C"


def raw_deflate(body: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(body) + stream.flush()


def halves(body: bytes) -> bytes:
    return gzip.compress(body[: len(body) // 2]) + gzip.compress(body[len(body) // 2 :])


class TestSuccess:
    @pytest.mark.parametrize(
        "path",
        [
            "/v1/traces",
            "/v1/metrics",
            "/v1/logs",
            "/api/public/otel/v1/traces",
            "/api/public/otel/v1/metrics",
            "/otel/v1/traces",
            "/otel/v1/logs",
        ],
    )
    def test_every_path_answers_an_empty_request_in_its_own_encoding(self, receiver: Any, path: str) -> None:
        status, headers, body = receiver.post(b"", PROTOBUF, path)
        assert (status, headers["Content-Type"], body) == (200, "application/x-protobuf", b"")

        status, headers, body = receiver.post(b"{}", JSON, path)
        assert (status, headers["Content-Type"], body) == (200, "application/json", b"{}")

    def test_spans_in_protobuf_are_taken(self, receiver: Any, traces: Any) -> None:
        assert receiver.post(traces(3).SerializeToString())[::2] == (200, b"")
        assert receiver.items() == 3

    @pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=utf-8"])
    def test_spans_in_json_are_taken_whatever_parameters_the_type_has(self, receiver: Any, content_type: str) -> None:
        status, headers, body = receiver.post(SPAN_AS_JSON % GOOD_ID, {"Content-Type": content_type})

        assert (status, headers["Content-Type"], body) == (200, "application/json", b"{}")
        assert receiver.items() == 1

    @pytest.mark.parametrize(
        ("coding", "compress"),
        [
            ("identity", bytes),
            ("none", bytes),
            ("gzip", gzip.compress),
            ("GZIP", gzip.compress),
            ("gzip", halves),
            ("deflate", zlib.compress),
            ("deflate", raw_deflate),
        ],
    )
    def test_every_coding_is_undone(
        self, receiver: Any, traces: Any, coding: str, compress: Callable[[bytes], bytes]
    ) -> None:
        body = compress(traces(5).SerializeToString())

        assert receiver.post(body, {**PROTOBUF, "Content-Encoding": coding})[0] == 200
        assert receiver.items() == 5

    def test_bodies_in_chunks_without_a_length_are_taken(self, receiver: Any, traces: Any) -> None:
        body = traces(50).SerializeToString()
        pieces = (body[start : start + 1000] for start in range(0, len(body), 1000))

        assert receiver.post(pieces)[0] == 200
        assert receiver.items() == 50

    def test_many_requests_share_a_connection(self, receiver: Any, traces: Any) -> None:
        connection = receiver.connect()
        connection.connect()
        first_socket = connection.sock
        for _ in range(5):
            connection.request("POST", "/v1/traces", traces(1).SerializeToString(), PROTOBUF)
            assert connection.getresponse().read() == b""

        assert connection.sock is first_socket
        assert receiver.items() == 5

    def test_a_sender_that_waits_to_be_asked_for_its_body_is_asked(self, receiver: Any, traces: Any) -> None:
        body = traces(1).SerializeToString()
        with receiver.raw() as connection:
            connection.sendall(
                receiver.head(f"Content-Length: {len(body)}", "Expect: 100-continue", "Connection: close")
            )
            assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
            connection.sendall(body)
            assert receiver.all_from(connection).startswith(b"HTTP/1.1 200 ")

    def test_a_part_refused_is_told_in_both_encodings(self, receiver: Any, traces: Any) -> None:
        request = traces(3)
        request.resource_spans[0].scope_spans[0].spans[1].trace_id = bytes(16)

        status, _, body = receiver.post(request.SerializeToString())
        partial = ExportTraceServiceResponse.FromString(body).partial_success
        assert (status, partial.rejected_spans, bool(partial.error_message)) == (200, 1, True)

        status, _, body = receiver.post(SPAN_AS_JSON % ("0" * 32), JSON)
        assert (status, json.loads(body)["partialSuccess"]["rejectedSpans"]) == (200, "1")
        assert receiver.items() == 2

    def test_the_answer_does_not_name_the_software(self, receiver: Any) -> None:
        assert "Server" not in receiver.post(b"")[1]
        assert "Server" not in receiver.post(b"", {})[1]


class TestRefusal:
    @pytest.mark.parametrize(
        ("method", "path", "headers", "body", "status", "reason"),
        [
            ("GET", "/v1/traces", PROTOBUF, b"", 405, "bad_method"),
            ("PUT", "/v1/logs", JSON, b"{}", 405, "bad_method"),
            ("POST", "/", PROTOBUF, b"", 404, "bad_path"),
            ("POST", "/v1/trace", JSON, b"{}", 404, "bad_path"),
            ("POST", "/v1/traces", {"Content-Type": "text/plain"}, b"", 415, "unsupported_type"),
            ("POST", "/v1/traces", {}, b"", 415, "unsupported_type"),
            ("POST", "/v1/traces", {**PROTOBUF, "Content-Encoding": "zstd"}, b"", 415, "unsupported_encoding"),
            ("POST", "/v1/traces", {**JSON, "Content-Encoding": "gzip, gzip"}, b"{}", 415, "unsupported_encoding"),
            ("POST", "/v1/traces", PROTOBUF, b"\xff\xff\xff", 400, "undecodable"),
            ("POST", "/v1/metrics", JSON, b'{"resourceMetrics":', 400, "undecodable"),
            ("POST", "/v1/logs", JSON, b"[1]", 400, "undecodable"),
            ("POST", "/v1/traces", {**JSON, "Content-Encoding": "gzip"}, CUT_SHORT, 400, "undecodable"),
            ("POST", "/v1/traces", {**PROTOBUF, "Content-Encoding": "gzip"}, b"not gzip", 400, "undecodable"),
            ("POST", "/v1/traces", {**PROTOBUF, "Content-Encoding": "deflate"}, b"\xff\xff", 400, "undecodable"),
            ("POST", "/v1/traces", {**PROTOBUF, "Content-Length": str(16 * MIB + 1)}, b"", 413, "too_large"),
        ],
    )
    def test_the_answer_is_a_status_in_the_requests_encoding_and_it_is_counted(
        self, receiver: Any, method: str, path: str, headers: dict[str, str], body: bytes, status: int, reason: str
    ) -> None:
        got, answer_headers, answer = receiver.request(method, path, body, headers)

        assert got == status
        assert receiver.refusals() == {reason: 1}
        if headers.get("Content-Type") == "application/x-protobuf":
            assert answer_headers["Content-Type"] == "application/x-protobuf"
            assert Status.FromString(answer).message
        else:
            assert answer_headers["Content-Type"] == "application/json"
            assert json.loads(answer)["message"]
        assert answer_headers["Allow"] == ("POST" if status == 405 else None)
        assert answer_headers["Retry-After"] is None
        assert receiver.items() == 0

    def test_more_items_than_allowed_are_refused_for_good(self, receive: Any, traces: Any) -> None:
        receiver = receive(max_items_per_request=100)

        status, headers, body = receiver.post(traces(200).SerializeToString())

        assert (status, Status.FromString(body).code, headers["Retry-After"]) == (413, 8, None)

    def test_bytes_that_are_not_http_are_answered_400_without_quoting_them(
        self, receiver: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        with receiver.raw() as connection:
            connection.sendall(b"canary canary canary\r\n\r\n")
            answer = receiver.all_from(connection)

        assert answer.split()[1] == b"400"
        assert b"canary" not in answer
        assert "canary" not in caplog.text
        assert receiver.refusals() == {"malformed": 1}

    def test_a_fault_of_ours_is_not_quoted_to_the_sender(
        self, receiver: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(*_: object) -> None:
            raise ZeroDivisionError("canary")

        monkeypatch.setattr(receiver.source._intake, "take", fail)

        status, headers, body = receiver.post(b"")

        assert (status, headers["Content-Type"]) == (500, "application/x-protobuf")
        assert Status.FromString(body).code == 13
        assert b"canary" not in body
        assert "ZeroDivisionError at " in caplog.text
        assert "canary" not in caplog.text
        assert receiver.refusals() == {"internal": 1}

    def test_a_fault_after_the_answer_began_ends_the_connection_and_is_not_quoted(
        self, receiver: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def fail(*_: object) -> None:
            raise ZeroDivisionError("canary")

        monkeypatch.setattr(web.Response, "write_eof", fail)
        with receiver.raw() as connection:
            connection.sendall(receiver.head("Content-Length: 0"))
            receiver.all_from(connection)

        receiver.wait_until_refused("internal")
        receiver.wait(lambda: "ZeroDivisionError at " in caplog.text, "the line")
        assert "canary" not in caplog.text

    def test_every_reason_exists_at_zero_from_the_start(self, receiver: Any) -> None:
        series = [dict(labels) for metric, labels in receiver.counts() if metric == health.REFUSED_REQUESTS]

        assert {label["reason"] for label in series if label.get("signal") == "traces"} >= {
            "too_large", "undecodable", "unsupported_type", "unsupported_encoding", "timeout", "overloaded",
            "too_many_items", "queue_full", "shutting_down", "bad_method",
        }  # fmt: skip
        assert {"source": "otlp", "reason": "bad_path"} in series
        assert receiver.refusals() == {}

    def test_the_operator_gets_one_line_a_reason_with_what_to_do(
        self, receiver: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        for _ in range(20):
            receiver.post(b"canary", {"Content-Type": "text/canary"})
            receiver.post(b"{canary", JSON)

        lines = [record.getMessage() for record in caplog.records if record.name == "watchkeeper.otlp"]
        assert len(lines) == 2
        assert "unsupported_type" in lines[0]
        assert "http/protobuf" in lines[0]
        assert "undecodable" in lines[1]
        assert "canary" not in caplog.text


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    start=st.sampled_from(
        [
            b"",
            b"POST ",
            HEAD + b"Content-Length: 20\r\n\r\n",
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n",
            b"\x16\x03\x01",
        ]
    ),
    rest=st.binary(max_size=200),
)
def test_whatever_bytes_come_the_next_sender_is_served(receiver: Any, start: bytes, rest: bytes) -> None:
    with receiver.raw() as connection:
        connection.sendall(start + rest)

    assert receiver.post(b"")[0] == 200
