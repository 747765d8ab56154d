"""What OpenTelemetry's own exporters send arrives, over both protocols."""

import threading
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogExporter
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpanExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace.export import SpanExportResult

from watchkeeper.core.vocabulary import health


class Http:
    compressions = tuple(Compression)

    @staticmethod
    def exporters(receiver: Any, **how: Any) -> tuple[Any, Any, Any]:
        """Of spans, metrics and logs."""
        paths = ("/v1/traces", "/v1/metrics", "/v1/logs")
        kinds = (OTLPSpanExporter, OTLPMetricExporter, OTLPLogExporter)
        spans, metrics, logs = (kind(receiver.url(path), **how) for kind, path in zip(kinds, paths, strict=True))
        return spans, metrics, logs


class Grpc:
    compressions = (grpc.Compression.NoCompression, grpc.Compression.Gzip, grpc.Compression.Deflate)

    @staticmethod
    def exporters(receiver: Any, **how: Any) -> tuple[Any, Any, Any]:
        """Of spans, metrics and logs."""
        kinds = (GrpcSpanExporter, GrpcMetricExporter, GrpcLogExporter)
        spans, metrics, logs = (kind(receiver.grpc_target, insecure=True, **how) for kind in kinds)
        return spans, metrics, logs


PROTOCOLS = (Http, Grpc)
CASES = [(protocol, compression) for protocol in PROTOCOLS for compression in protocol.compressions]


def accepted(receiver: Any, signal: str) -> float:
    labels = (("source", "otlp"), ("signal", signal))
    return float(receiver.counts()[health.ACCEPTED, labels])


@pytest.mark.parametrize(("protocol", "compression"), CASES)
def test_every_signal_arrives_in_every_coding(
    receiver: Any, sdk_spans: Callable[[int], Any], protocol: Any, compression: Any
) -> None:
    spans, metrics, logs = protocol.exporters(receiver, compression=compression, timeout=60)
    assert spans.export(sdk_spans(512)) is SpanExportResult.SUCCESS
    spans.shutdown()
    meters = MeterProvider([PeriodicExportingMetricReader(metrics)])
    meters.get_meter("m").create_histogram("gen_ai.client.operation.duration", "s").record(1.0)
    assert meters.force_flush(60_000)
    meters.shutdown()
    loggers = LoggerProvider()
    loggers.add_log_record_processor(SimpleLogRecordProcessor(logs))
    loggers.get_logger("l").emit(LogRecord(event_name="gen_ai.client.inference.operation.details"))
    loggers.shutdown()

    assert (accepted(receiver, "traces"), accepted(receiver, "logs")) == (512, 1)
    assert accepted(receiver, "metrics") >= 1
    assert receiver.refusals() == {}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_is_sent_into_a_full_queue_arrives_when_there_is_room(
    receive: Any, traces: Any, sdk_spans: Callable[[int], Any], protocol: Any
) -> None:
    receiver = receive(queue_capacity_bytes=1024, retry_after_seconds=1)
    assert receiver.post(traces(1, text_characters=2000).SerializeToString())[0] == 200
    exporter, _, _ = protocol.exporters(receiver, timeout=60)
    results: list[SpanExportResult] = []
    sender = threading.Thread(target=lambda: results.append(exporter.export(sdk_spans(40))))
    sender.start()
    receiver.wait_until_refused("queue_full")

    assert receiver.items() == 1
    sender.join(90)
    assert results == [SpanExportResult.SUCCESS]
    assert receiver.items() == 40
    exporter.shutdown()
