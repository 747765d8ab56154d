"""Judgements from OpenTelemetry's own SDK to a real watchkeeper, as docs/judgements.md tells people to send them."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpanExporter
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import set_span_in_context

from watchkeeper.core.observed import cell, iter_frames
from watchkeeper.core.testkit import RunningWatchkeeper

DOCS = (Path(__file__).parents[2] / "docs/judgements.md").read_text(encoding="utf-8")
CALL = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.response.id": "chatcmpl-1"}
OF_CALL: dict[str, Any] = {"service_name": "shop", "gen_ai_request_model": "m"}


def exporters(watchkeeper: RunningWatchkeeper, protocol: str) -> tuple[Any, Any]:
    if protocol == "grpc":
        target = f"127.0.0.1:{watchkeeper.grpc_port}"
        return GrpcSpanExporter(target, insecure=True), GrpcLogExporter(target, insecure=True)
    url = f"http://127.0.0.1:{watchkeeper.http_port}/v1/"
    return OTLPSpanExporter(f"{url}traces"), OTLPLogExporter(f"{url}logs")


def call(exporter: Any) -> Any:
    """One finished model call of the service `shop`."""
    tracers = TracerProvider(resource=Resource({"service.name": "shop"}))
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    span = tracers.get_tracer("t").start_span("chat", attributes=CALL)
    span.end()
    tracers.shutdown()
    return span


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_an_evaluators_result_counts_for_the_judged_call(tmp_path: Path, protocol: str) -> None:
    state = tmp_path / "state"
    with RunningWatchkeeper(tmp_path, {"state_folder": str(state)}) as watchkeeper:
        spans, logs = exporters(watchkeeper, protocol)
        span = call(spans)
        loggers = LoggerProvider(Resource({"service.name": "judge"}))
        loggers.add_log_record_processor(SimpleLogRecordProcessor(logs))
        said: dict[str, Any] = {
            "gen_ai.evaluation.name": "relevance",
            "gen_ai.evaluation.score.value": 0.25,
            "gen_ai.evaluation.score.label": "off topic",
            "gen_ai.evaluation.explanation": "MARKER",
        }
        record = LogRecord(event_name="gen_ai.evaluation.result", attributes=said, context=set_span_in_context(span))
        loggers.get_logger("l").emit(record)
        loggers.shutdown()
        of_it: dict[str, Any] = {**OF_CALL, "gen_ai_evaluation_name": "relevance"}

        assert watchkeeper.wait_for("watchkeeper_output_quality_count", 1, **of_it) == 1
        assert watchkeeper.value("watchkeeper_output_quality_sum", **of_it) == 0.25
        labelled = {**of_it, "gen_ai_evaluation_score_label": "off topic"}
        assert watchkeeper.value("watchkeeper_output_judgements_total", **labelled) == 1
        assert watchkeeper.value("watchkeeper_judgement_unjoined_total") == 0
        assert "MARKER" not in watchkeeper.page() + watchkeeper.log()
    [file] = (state / "observed").iterdir()
    with file.open("rb") as recorded:
        tallies = list(iter_frames(recorded))
    [judged] = [tally.counts for tally in tallies if "quality.relevance" in tally.counts]
    assert judged["quality.relevance"] == [(cell(0.25), 1)]
    assert judged["verdict.relevance"] == [("off topic", 1)]
    assert {tally.segment for tally in tallies} == {"/shop/m"}


def test_the_thumb_of_the_documentation_counts_for_the_answer_it_names(tmp_path: Path) -> None:
    [example] = re.findall(r"^```python\n(.*?)^```", DOCS, re.M | re.S)
    with RunningWatchkeeper(tmp_path) as watchkeeper:
        call(exporters(watchkeeper, "http")[0])
        example = example.replace(":4318/", f":{watchkeeper.http_port}/")
        subprocess.run([sys.executable, "-c", example], check=True, timeout=60)
        of_it: dict[str, Any] = {**OF_CALL, "gen_ai_evaluation_name": "feedback"}

        assert watchkeeper.wait_for("watchkeeper_output_quality_sum", 1, **of_it) == 1


def test_one_whose_call_never_came_counts_for_its_sender(tmp_path: Path) -> None:
    with RunningWatchkeeper(tmp_path) as watchkeeper:
        loggers = LoggerProvider(Resource({"service.name": "judge"}))
        loggers.add_log_record_processor(SimpleLogRecordProcessor(exporters(watchkeeper, "http")[1]))
        said: dict[str, Any] = {
            "gen_ai.evaluation.name": "n",
            "gen_ai.evaluation.score.value": 1,
            "gen_ai.response.id": "gone",
        }
        loggers.get_logger("l").emit(LogRecord(event_name="gen_ai.evaluation.result", attributes=said))
        loggers.shutdown()

        assert watchkeeper.wait_for("watchkeeper_judgement_unjoined_total", 1, reason="unknown_call") == 1
        assert watchkeeper.value("watchkeeper_output_quality_count", service_name="judge") == 1
