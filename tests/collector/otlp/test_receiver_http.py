import gzip
import json
import logging
import select
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web
from google.rpc.status_pb2 import Status
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace.export import SpanExportResult

from collector.otlp.config import OtlpConfig
from collector.otlp.source import OtlpSource, probe
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.vocabulary import health

PROTOBUF = {"Content-Type": "application/x-protobuf"}
JSON = {"Content-Type": "application/json"}
MIB = 1 << 20
SPAN_AS_JSON = (
    '{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"%s","spanId":"eee19b7ec3c1b174","name":"chat m","kind":3,'
    '"startTimeUnixNano":"1544712660000000000","endTimeUnixNano":1544712661000000000,"unknownKey":[1],"attributes":'
    '[{"key":"gen_ai.operation.name","value":{"stringValue":"chat"}}]}]}]}]}'
)
GOOD_ID = "5B8EFFF798038103D269B633813FC60C"


def raw_deflate(body: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(body) + stream.flush()


def halves(body: bytes) -> bytes:
    return gzip.compress(body[: len(body) // 2]) + gzip.compress(body[len(body) // 2 :])


def head(*lines: str, path: str = "/v1/traces") -> bytes:
    fixed = (f"POST {path} HTTP/1.1", "Host: a", "Content-Type: application/x-protobuf")
    return "\r\n".join((*fixed, *lines, "", "")).encode()


def received(connection: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def status_line(connection: socket.socket) -> bytes:
    return connection.makefile("rb").readline()


def zeros(mebibytes: int, wbits: int) -> bytes:
    """That many MiB of zeros, compressed without ever holding them."""
    stream = zlib.compressobj(9, wbits=wbits)
    return b"".join(stream.compress(bytes(MIB)) for _ in range(mebibytes)) + stream.flush()


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
            connection.sendall(head(f"Content-Length: {len(body)}", "Expect: 100-continue", "Connection: close"))
            assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
            connection.sendall(body)
            assert received(connection).startswith(b"HTTP/1.1 200 ")

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
            ("POST", "/v1/traces", {**JSON, "Content-Encoding": "gzip"}, gzip.compress(b"{}")[:-1], 400, "undecodable"),
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
            answer = received(connection)

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
            connection.sendall(head("Content-Length: 0"))
            received(connection)

        receiver.wait_until_refused("internal")
        assert "ZeroDivisionError at " in caplog.text
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

        lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
        assert len(lines) == 2
        assert "unsupported_type" in lines[0]
        assert "http/protobuf" in lines[0]
        assert "undecodable" in lines[1]
        assert "canary" not in caplog.text


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    start=st.sampled_from(
        [b"", b"POST ", head("Content-Length: 20"), head("Transfer-Encoding: chunked"), b"\x16\x03\x01"]
    ),
    rest=st.binary(max_size=200),
)
def test_whatever_bytes_come_the_next_sender_is_served(receiver: Any, start: bytes, rest: bytes) -> None:
    with receiver.raw() as connection:
        connection.sendall(start + rest)

    assert receiver.post(b"")[0] == 200


class TestSize:
    def test_a_body_of_the_limit_passes_and_one_byte_more_does_not(self, receive: Any) -> None:
        receiver = receive(max_body_bytes=2000)

        assert receiver.post(b"{}".ljust(2000), JSON)[0] == 200
        assert receiver.post(b"{}".ljust(2001), JSON)[0] == 413
        compressed = {**JSON, "Content-Encoding": "gzip"}
        assert receiver.post(gzip.compress(b"{}".ljust(2000)), compressed)[0] == 200
        assert receiver.post(gzip.compress(b"{}".ljust(2001)), compressed)[0] == 413

    def test_a_length_over_the_limit_is_refused_before_the_body_is_sent(self, receiver: Any) -> None:
        with receiver.raw() as connection:
            connection.sendall(head(f"Content-Length: {65 * MIB}", "Expect: 100-continue"))
            assert status_line(connection).startswith(b"HTTP/1.1 413 ")

    def test_16_mib_and_one_byte_are_refused_and_the_sender_reads_the_answer(self, receiver: Any) -> None:
        body = bytes(16 * MIB + 1)

        assert receiver.post(body)[0] == 413
        assert receiver.post(iter([body]))[0] == 413
        assert receiver.refusals() == {"too_large": 2}

    def test_endless_chunks_are_refused_when_the_limit_is_passed(self, receive: Any) -> None:
        receiver = receive(max_body_bytes=100_000)
        with receiver.raw() as connection:
            connection.sendall(head("Transfer-Encoding: chunked"))
            for _ in range(3):
                connection.sendall(b"%x\r\n%s\r\n" % (50_000, bytes(50_000)))
            assert status_line(connection).startswith(b"HTTP/1.1 413 ")

    def test_a_body_longer_than_its_length_is_malformed(self, receiver: Any, traces: Any) -> None:
        body = traces(1).SerializeToString()
        with receiver.raw() as connection:
            connection.sendall(head(f"Content-Length: {len(body)}") + body + b"\0" * 1000)
            assert received(connection).split()[1] == b"400"

        assert receiver.refusals() == {"malformed": 1}

    def test_a_body_shorter_than_its_length_is_not_taken(self, receiver: Any, traces: Any) -> None:
        body = traces(1).SerializeToString()
        with receiver.raw() as connection:
            connection.sendall(head(f"Content-Length: {len(body) + 1}") + body)
            connection.shutdown(socket.SHUT_WR)
            received(connection)

        assert receiver.items() == 0
        receiver.wait_until_refused("incomplete")

    def test_a_body_in_broken_chunks_is_malformed(self, receiver: Any) -> None:
        with receiver.raw() as connection:
            connection.sendall(head("Transfer-Encoding: chunked"))
            time.sleep(0.1)
            connection.sendall(b"no number\r\n")
            answer = received(connection)

        assert answer.startswith(b"HTTP/1.1 400 ")
        assert receiver.refusals() == {"malformed": 1}

    @pytest.mark.parametrize(("coding", "wbits"), [("gzip", 31), ("deflate", 15), ("deflate", -15)])
    def test_a_bomb_of_512_mib_is_refused_within_32_mib(self, own_process: Any, coding: str, wbits: int) -> None:
        before = own_process.peak_bytes()

        answer = post_to(own_process.http_port, zeros(512, wbits), coding)

        assert answer.status == 413
        assert own_process.peak_bytes() - before < 32 * MIB

    def test_65_mib_in_chunks_are_refused_within_32_mib(self, own_process: Any) -> None:
        before = own_process.peak_bytes()

        answer = post_to(own_process.http_port, iter([bytes(MIB)] * 65), "identity")

        assert answer.status == 413
        assert own_process.peak_bytes() - before < 32 * MIB

    @pytest.mark.parametrize(
        ("path_to_objects", "status"), [((1, 2, 2), 413), ((1, 2, 2, 9), 200)], ids=["spans", "attributes of one span"]
    )
    def test_millions_of_empty_objects_are_not_taken_and_stay_within_32_mib(
        self, own_process: Any, path_to_objects: tuple[int, ...], status: int
    ) -> None:
        before = own_process.peak_bytes()
        body = bytes([path_to_objects[-1] << 3 | 2, 0]) * (2 << 20)
        for number in reversed(path_to_objects[:-1]):
            body = bytes([number << 3 | 2]) + varint(len(body)) + body

        answer = post_to(own_process.http_port, gzip.compress(body, 1), "gzip")

        assert answer.status == status
        if status == 200:
            assert ExportTraceServiceResponse.FromString(answer.read()).partial_success.rejected_spans == 1
        assert own_process.peak_bytes() - before < 32 * MIB


def varint(value: int) -> bytes:
    head, rest = value & 0x7F, value >> 7
    return bytes([head | 0x80]) + varint(rest) if rest else bytes([head])


def post_to(port: int, body: Any, coding: str) -> HTTPResponse:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/v1/traces", body, {**PROTOBUF, "Content-Encoding": coding})
    return connection.getresponse()


class TestPatience:
    def test_a_slow_body_is_answered_408_and_the_connection_closed(self, receive: Any) -> None:
        receiver = receive(request_timeout_seconds=0.3)
        with receiver.raw() as connection:
            connection.sendall(head("Content-Length: 100") + b"slow")
            answer = received(connection)

        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"Connection: close" in answer
        receiver.wait_until_refused("timeout")

    def test_a_dripping_body_does_not_renew_its_deadline(self, receive: Any) -> None:
        receiver = receive(request_timeout_seconds=0.5)
        with receiver.raw() as connection:
            connection.sendall(head("Content-Length: 1000000"))
            connection.settimeout(0.05)
            answer = b""
            while not answer:
                connection.sendall(b"x")
                try:
                    answer = connection.recv(1000)
                except TimeoutError:
                    continue

        assert answer.startswith(b"HTTP/1.1 408 ")

    def test_a_dripping_head_is_cut_off(self, receive: Any) -> None:
        receiver = receive(head_timeout_seconds=0.3)
        with receiver.raw() as connection:
            connection.sendall(b"POST /v1/traces HTTP/1.1\r\nX-Slow: ")
            connection.settimeout(0.05)
            answer: bytes | None = None
            while answer is None:
                try:
                    connection.sendall(b"x")
                    answer = connection.recv(1000)
                except TimeoutError:
                    continue
                except ConnectionError:
                    answer = b""

        assert answer == b""
        receiver.wait_until_refused("timeout")

    def test_an_idle_connection_is_closed_without_a_word(self, receive: Any) -> None:
        receiver = receive(idle_timeout_seconds=0.3)
        with receiver.raw() as connection:
            assert received(connection) == b""

        assert receiver.refusals() == {}


class TestOverload:
    def test_past_the_bytes_in_flight_senders_are_told_to_come_back_soon(self, receive: Any) -> None:
        receiver = receive(max_body_bytes=100_000, max_in_flight_bytes=100_000)
        half_sent = head("Content-Length: 90000") + bytes(80_000)
        with receiver.raw() as first, receiver.raw() as second:
            first.sendall(half_sent)
            second.sendall(half_sent)
            refused = next(iter(select.select([first, second], [], [], 30)[0]))
            answer = HTTPResponse(refused)
            answer.begin()
            body = answer.read()

        assert answer.status == 503
        assert 1 <= int(answer.headers["Retry-After"]) <= 3
        assert Status.FromString(body).details[0].type_url.endswith("RetryInfo")
        assert receiver.refusals()["overloaded"] == 1

    def test_bytes_no_longer_in_flight_make_room(self, receive: Any) -> None:
        receiver = receive(max_body_bytes=100_000, max_in_flight_bytes=100_000)
        for _ in range(3):
            with receiver.raw() as connection:
                connection.sendall(head("Content-Length: 90000", "Connection: close"))
                time.sleep(0.05)
                connection.sendall(bytes(90_000))
                assert received(connection).startswith(b"HTTP/1.1 400 ")

    def test_one_connection_more_than_allowed_is_told_to_come_back(self, receive: Any, traces: Any) -> None:
        receiver = receive(max_connections=2)
        with receiver.raw(), receiver.raw(), receiver.raw() as third:
            answer = received(third)

        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nRetry-After: " in answer
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == 14
        receiver.wait_until_refused("overloaded")

    def test_room_comes_back_when_connections_end(self, receive: Any, traces: Any) -> None:
        receiver = receive(max_connections=2)
        with receiver.raw(), receiver.raw():
            assert receiver.post(b"")[0] == 503

        while receiver.post(traces(1).SerializeToString())[0] != 200:
            time.sleep(0.01)
        assert receiver.items() == 1

    def test_what_an_sdk_sends_into_a_full_queue_arrives_when_there_is_room(
        self, receive: Any, traces: Any, sdk_spans: Callable[[int], Any]
    ) -> None:
        receiver = receive(queue_capacity_bytes=1024, retry_after_seconds=1)
        assert receiver.post(traces(1, text_characters=2000).SerializeToString())[0] == 200
        exporter = OTLPSpanExporter(receiver.url())
        results: list[SpanExportResult] = []
        sender = threading.Thread(target=lambda: results.append(exporter.export(sdk_spans(40))))
        sender.start()
        receiver.wait_until_refused("queue_full")

        assert receiver.items() == 1
        sender.join(20)
        assert results == [SpanExportResult.SUCCESS]
        assert receiver.items() == 40


class TestShutdown:
    def test_senders_are_sent_away_during_the_grace_and_what_was_acknowledged_is_kept(
        self, receive: Any, traces: Any
    ) -> None:
        receiver = receive(shutdown_grace_seconds=1)
        kept = receiver.connect()
        kept.request("POST", "/v1/traces", traces(2).SerializeToString(), PROTOBUF)
        assert kept.getresponse().read() == b""
        closing = threading.Thread(target=receiver.source.close)
        closing.start()
        time.sleep(0.2)

        kept.request("POST", "/v1/traces", traces(1).SerializeToString(), PROTOBUF)
        answer = kept.getresponse()

        assert (answer.status, answer.headers["Connection"]) == (503, "close")
        assert 1 <= int(answer.headers["Retry-After"]) <= 3
        closing.join(10)
        assert not closing.is_alive()
        assert receiver.items() == 2
        assert receiver.refusals() == {"shutting_down": 1}
        with pytest.raises(ConnectionRefusedError):
            receiver.post(b"")

    def test_closing_twice_is_harmless(self, receiver: Any) -> None:
        receiver.source.close()
        receiver.source.close()


class TestPorts:
    def test_ports_in_use_are_both_named_with_what_to_do(self, receiver: Any) -> None:
        taken = OtlpConfig(http_port=receiver.source.http_port, grpc_port=receiver.source.grpc_port)

        with pytest.raises(ConfigError) as raised:
            OtlpSource(taken, Ledger(), 0.0)

        assert set(raised.value.problems) == {
            f"{key}: 127.0.0.1:{port} is in use by another process; stop it or set {key}"
            for key, port in (("otlp.http_port", taken.http_port), ("otlp.grpc_port", taken.grpc_port))
        }
        assert set(probe(taken)) == {f"! {problem}" for problem in raised.value.problems}

    @pytest.mark.parametrize("host", ["192.0.2.1", "no such host"])
    def test_an_address_of_another_machine_is_named(self, host: str) -> None:
        with pytest.raises(ConfigError, match=r"^otlp\.host: .*set otlp\.host"):
            OtlpSource(OtlpConfig(host=host, http_port=0, grpc_port=0), Ledger(), 0.0)

    def test_a_source_that_cannot_start_leaves_no_port_behind(self, receiver: Any) -> None:
        free = socket.create_server(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        with pytest.raises(ConfigError):
            OtlpSource(OtlpConfig(http_port=port, grpc_port=receiver.source.grpc_port), Ledger(), 0.0)

        socket.create_server(("127.0.0.1", port)).close()

    def test_the_probe_says_that_free_ports_are_free(self) -> None:
        assert [line for line in probe(OtlpConfig(http_port=0, grpc_port=0)) if "can be listened on" in line]


class TestSdk:
    @pytest.mark.parametrize("compression", Compression)
    def test_spans_arrive(self, receiver: Any, sdk_spans: Callable[[int], Any], compression: Compression) -> None:
        exporter = OTLPSpanExporter(receiver.url(), compression=compression)

        assert exporter.export(sdk_spans(512)) is SpanExportResult.SUCCESS
        assert receiver.items() == 512

    @pytest.mark.parametrize("compression", Compression)
    def test_metrics_are_taken(self, receiver: Any, compression: Compression) -> None:
        exporter = OTLPMetricExporter(receiver.url("/v1/metrics"), compression=compression)
        provider = MeterProvider([PeriodicExportingMetricReader(exporter)])
        provider.get_meter("m").create_histogram("gen_ai.client.operation.duration", "s").record(1.0)
        assert provider.force_flush()
        provider.shutdown()

        assert receiver.refusals() == {}

    def test_logs_are_taken(self, receiver: Any) -> None:
        from opentelemetry._logs import LogRecord
        from opentelemetry.sdk._logs import LoggerProvider
        from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor

        provider = LoggerProvider()
        provider.add_log_record_processor(SimpleLogRecordProcessor(OTLPLogExporter(receiver.url("/v1/logs"))))
        provider.get_logger("l").emit(LogRecord(event_name="gen_ai.client.inference.operation.details"))
        provider.shutdown()

        assert receiver.refusals() == {}


class TestTls:
    @pytest.fixture
    def files(self, tmp_path: Path) -> dict[str, str]:
        """A certificate for 127.0.0.1, its key and its authority, as PEM files; also a sender's own, of the same."""
        authority = trustme.CA()
        certificate, client = authority.issue_cert("127.0.0.1"), authority.issue_cert("sender")
        certificate.private_key_pem.write_to_path(str(tmp_path / "key"))
        certificate.cert_chain_pems[0].write_to_path(str(tmp_path / "certificate"))
        authority.cert_pem.write_to_path(str(tmp_path / "authority"))
        client.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "sender"))
        return {name: str(tmp_path / name) for name in ("key", "certificate", "authority", "sender")}

    def test_an_sdk_sends_over_tls(
        self,
        receive: Any,
        files: dict[str, str],
        sdk_spans: Callable[[int], Any],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)  # would win over the exporter's own setting
        monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
        receiver = receive(tls_certificate_file=files["certificate"], tls_key_file=files["key"])
        exporter = OTLPSpanExporter(
            receiver.url().replace("http:", "https:"), certificate_file=files["authority"], timeout=5
        )

        assert exporter.export(sdk_spans(3)) is SpanExportResult.SUCCESS
        assert receiver.items() == 3

    def test_a_sender_without_the_certificate_asked_for_is_turned_away(
        self, receive: Any, files: dict[str, str]
    ) -> None:
        receiver = receive(
            tls_certificate_file=files["certificate"], tls_key_file=files["key"], client_ca_file=files["authority"]
        )
        context = ssl.create_default_context(cafile=files["authority"])

        def post() -> bytes:
            try:
                with context.wrap_socket(receiver.raw(), server_hostname="127.0.0.1") as connection:
                    connection.sendall(head("Content-Length: 0"))
                    return connection.recv(100)
            except (ssl.SSLError, ConnectionError):
                return b""

        assert post() == b""
        context.load_cert_chain(files["sender"])
        assert post().startswith(b"HTTP/1.1 200 ")

    @pytest.mark.filterwarnings("ignore::DeprecationWarning")
    def test_tls_before_1_2_is_refused(self, receive: Any, files: dict[str, str]) -> None:
        receiver = receive(tls_certificate_file=files["certificate"], tls_key_file=files["key"])
        context = ssl.create_default_context(cafile=files["authority"])
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1

        with pytest.raises((ssl.SSLError, ConnectionError)):
            context.wrap_socket(receiver.raw(), server_hostname="127.0.0.1")

    def test_files_that_are_missing_or_no_pem_are_named(self, tmp_path: Path, files: dict[str, str]) -> None:
        def start(**settings: str) -> None:
            OtlpSource(OtlpConfig(http_port=0, grpc_port=0, **settings), Ledger(), 0.0)

        (tmp_path / "no pem").write_text("no pem")
        missing, no_pem = str(tmp_path / "missing"), str(tmp_path / "no pem")
        with pytest.raises(ConfigError, match=r"^otlp\.tls_key_file: .*missing cannot be read"):
            start(tls_certificate_file=files["certificate"], tls_key_file=missing)
        with pytest.raises(ConfigError, match=r"^otlp\.tls_certificate_file: .*no pem"):
            start(tls_certificate_file=no_pem, tls_key_file=files["key"])
        with pytest.raises(ConfigError, match=r"^otlp\.client_ca_file: .*no pem"):
            start(tls_certificate_file=files["certificate"], tls_key_file=files["key"], client_ca_file=no_pem)
