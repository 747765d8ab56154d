import threading
from collections.abc import Callable, Iterator
from queue import Queue
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import LogsServiceStub
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import MetricsServiceStub
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from collector.otlp.receiver_grpc import METHODS

TRACES = next(iter(METHODS))
CODINGS = [grpc.Compression.NoCompression, grpc.Compression.Gzip, grpc.Compression.Deflate]
MIB = 1 << 20


@pytest.fixture
def channel_to() -> Iterator[Callable[..., grpc.Channel]]:
    opened: list[grpc.Channel] = []

    def connect(receiver: Any, compression: grpc.Compression | None = None) -> grpc.Channel:
        options = [("grpc.max_send_message_length", -1)]
        opened.append(grpc.insecure_channel(receiver.grpc_target, options, compression))
        return opened[-1]

    yield connect
    for channel in opened:
        channel.close()


@pytest.fixture
def channel(receiver: Any, channel_to: Callable[..., grpc.Channel]) -> grpc.Channel:
    return channel_to(receiver)


def refusal(call: Callable[[], object]) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as raised:
        call()
    return raised.value


class TestSuccess:
    def test_empty_requests_of_every_signal_succeed(self, channel: grpc.Channel) -> None:
        assert TraceServiceStub(channel).Export(ExportTraceServiceRequest()) == ExportTraceServiceResponse()
        assert MetricsServiceStub(channel).Export(ExportMetricsServiceRequest()) == ExportMetricsServiceResponse()
        assert LogsServiceStub(channel).Export(ExportLogsServiceRequest()) == ExportLogsServiceResponse()

    @pytest.mark.parametrize("compression", CODINGS)
    def test_spans_are_taken_in_every_coding(
        self, receiver: Any, traces: Any, channel_to: Callable[..., grpc.Channel], compression: grpc.Compression
    ) -> None:
        response = TraceServiceStub(channel_to(receiver, compression)).Export(traces(100))

        assert not response.HasField("partial_success")
        assert receiver.items() == 100

    def test_a_part_refused_is_told(self, receiver: Any, traces: Any, channel: grpc.Channel) -> None:
        request = traces(3)
        request.resource_spans[0].scope_spans[0].spans[1].trace_id = bytes(16)

        partial = TraceServiceStub(channel).Export(request).partial_success

        assert (partial.rejected_spans, bool(partial.error_message)) == (1, True)
        assert receiver.items() == 2

    def test_a_message_of_8_mib_is_taken_though_the_library_would_stop_at_4(
        self, receiver: Any, traces: Any, channel: grpc.Channel
    ) -> None:
        TraceServiceStub(channel).Export(traces(80, text_characters=100_000))

        assert receiver.items() == 80


class TestRefusal:
    @pytest.mark.parametrize("method", METHODS)
    def test_undecodable_is_an_invalid_argument(self, receiver: Any, channel: grpc.Channel, method: str) -> None:
        error = refusal(lambda: channel.unary_unary(method)(b"\xff\xff canary"))

        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "canary" not in error.details()
        assert dict(error.trailing_metadata()) == {}
        assert receiver.refusals() == {"undecodable": 1}

    @pytest.mark.parametrize("compression", CODINGS)
    def test_too_large_is_exhausted_without_advice_to_retry(
        self, receiver: Any, channel_to: Callable[..., grpc.Channel], compression: grpc.Compression
    ) -> None:
        channel = channel_to(receiver, compression)

        error = refusal(lambda: channel.unary_unary(TRACES)(bytes(16 * MIB + 1)))

        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert dict(error.trailing_metadata()) == {}
        receiver.wait_until_refused("incomplete")

    def test_the_limit_is_the_configured_one(self, receive: Any, channel_to: Callable[..., grpc.Channel]) -> None:
        call = channel_to(receive(max_body_bytes=2000)).unary_unary(TRACES)

        assert refusal(lambda: call(bytes(2000))).code() is grpc.StatusCode.INVALID_ARGUMENT
        assert refusal(lambda: call(bytes(2001))).code() is grpc.StatusCode.RESOURCE_EXHAUSTED

    def test_more_items_than_allowed_are_exhausted_without_advice_to_retry(
        self, receive: Any, traces: Any, channel_to: Callable[..., grpc.Channel]
    ) -> None:
        channel = channel_to(receive(max_items_per_request=100))

        error = refusal(lambda: TraceServiceStub(channel).Export(traces(200)))

        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert dict(error.trailing_metadata()) == {}

    def test_an_unknown_method_is_unimplemented(self, receiver: Any, channel: grpc.Channel) -> None:
        error = refusal(lambda: channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Import")(b""))

        assert error.code() is grpc.StatusCode.UNIMPLEMENTED
        assert receiver.refusals() == {"bad_path": 1}

    def test_a_call_without_a_message_is_an_invalid_argument(self, receiver: Any, channel: grpc.Channel) -> None:
        error = refusal(lambda: channel.stream_unary(TRACES)(iter(())))

        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        receiver.wait_until_refused("incomplete")

    def test_a_message_that_does_not_come_is_given_up(
        self, receive: Any, channel_to: Callable[..., grpc.Channel]
    ) -> None:
        receiver = receive(request_timeout_seconds=0.2)
        done = threading.Event()

        def silent() -> Iterator[bytes]:
            done.wait(30)
            yield from ()

        error = refusal(lambda: channel_to(receiver).stream_unary(TRACES)(silent()))
        done.set()

        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        receiver.wait_until_refused("timeout")

    def test_a_fault_of_ours_is_not_quoted_to_the_sender(
        self, receiver: Any, channel: grpc.Channel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(*_: object) -> None:
            raise ZeroDivisionError("canary")

        monkeypatch.setattr(receiver.source._intake, "take", fail)

        error = refusal(lambda: channel.unary_unary(TRACES)(b""))

        assert error.code() is grpc.StatusCode.INTERNAL
        assert "canary" not in error.details() + caplog.text
        assert "ZeroDivisionError" in caplog.text
        assert receiver.refusals() == {"internal": 1}


def advised_seconds(error: Any) -> tuple[float, float]:
    """As Python's senders read it, and as Go's and Java's do."""
    trailers = dict(error.trailing_metadata())
    direct = RetryInfo.FromString(trailers["google.rpc.retryinfo-bin"])
    status = Status.FromString(trailers["grpc-status-details-bin"])
    assert status.code == grpc.StatusCode.UNAVAILABLE.value[0]
    inside = RetryInfo()
    assert status.details[0].Unpack(inside)
    return direct.retry_delay.ToMilliseconds() / 1000, inside.retry_delay.ToMilliseconds() / 1000


class TestOverload:
    def test_a_full_queue_is_unavailable_with_advice_under_both_keys(
        self, receive: Any, traces: Any, channel_to: Callable[..., grpc.Channel]
    ) -> None:
        receiver = receive(queue_capacity_bytes=1024)
        export = TraceServiceStub(channel_to(receiver)).Export
        export(traces(1, text_characters=2000))

        error = refusal(lambda: export(traces(1)))

        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert all(1 <= seconds <= 3 for seconds in advised_seconds(error))
        assert receiver.items() == 1
        export(traces(1))
        assert receiver.items() == 1

    def test_a_call_without_a_turn_is_told_to_come_back(
        self, receive: Any, traces: Any, channel_to: Callable[..., grpc.Channel]
    ) -> None:
        receiver = receive(max_concurrent_rpcs=1)
        channel = channel_to(receiver)
        done, ended = threading.Event(), Queue[Any]()

        def silent() -> Iterator[bytes]:
            done.wait(60)
            yield traces(1).SerializeToString()

        for _ in range(2):  # one of them has the turn
            channel.stream_unary(TRACES).future(silent()).add_done_callback(ended.put)
        error = ended.get(timeout=60).exception()
        done.set()

        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert all(1 <= seconds <= 3 for seconds in advised_seconds(error))
        assert ended.get(timeout=60).result() == b""
        receiver.wait_until_refused("overloaded")
        for _ in range(3):
            TraceServiceStub(channel).Export(traces(1))

    def test_during_the_grace_of_a_shutdown_senders_are_told_to_come_back(
        self, receive: Any, traces: Any, channel_to: Callable[..., grpc.Channel], grace: Any
    ) -> None:
        receiver = receive(shutdown_grace_seconds=grace.seconds)
        export = TraceServiceStub(channel_to(receiver)).Export
        export(traces(2))
        closing = threading.Thread(target=receiver.source.close)
        closing.start()
        assert grace.begun.wait(60)

        error = refusal(lambda: export(traces(1)))

        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert all(1 <= seconds <= 3 for seconds in advised_seconds(error))
        grace.over.set()
        closing.join(60)
        assert not closing.is_alive()
        assert receiver.items() == 2


def test_a_gzip_bomb_of_256_mib_is_refused_within_32_mib(own_process: Any) -> None:
    before = own_process.peak_bytes()

    options = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(f"127.0.0.1:{own_process.grpc_port}", options) as channel:
        error = refusal(lambda: channel.unary_unary(TRACES)(bytes(256 * MIB), compression=grpc.Compression.Gzip))

    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert own_process.peak_bytes() - before < 32 * MIB
