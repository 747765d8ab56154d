"""The whole of it, as an operator runs it: one process, real sockets, real senders, a real Prometheus."""

import http.client
import http.server
import json
import os
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from watchkeeper.core.testkit import PrometheusServer, RunningWatchkeeper, free_port

CANARY = "canary-7f3a-sings-in-the-mine"


def attribute(key: str, value: str | int | float | bool) -> KeyValue:
    kind = {str: "string_value", bool: "bool_value", int: "int_value", float: "double_value"}[type(value)]
    return KeyValue(key=key, value=AnyValue(**{kind: value}))


def span_request(number: int, **more: str | int | float | bool) -> ExportTraceServiceRequest:
    """One streamed chat call of 2 s, first chunk after 0.2 s, its ids made from `number`."""
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.append(attribute("service.name", "chat"))
    span = resource.scope_spans.add().spans.add(
        trace_id=number.to_bytes(16, "big"),
        span_id=number.to_bytes(8, "big"),
        name="chat m",
        kind=3,
        start_time_unix_nano=time.time_ns() - 2_000_000_000,
        end_time_unix_nano=time.time_ns(),
    )
    values: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "m",
        "gen_ai.request.stream": True,
        "gen_ai.response.time_to_first_chunk": 0.2,
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 10,
    }
    span.attributes.extend(attribute(key, value) for key, value in (values | more).items())
    return request


def post(port: int, body: bytes, path: str = "/v1/traces", content_type: str = "application/x-protobuf") -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", path, body, {"Content-Type": content_type})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


@pytest.fixture(scope="module")
def watchkeeper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningWatchkeeper]:
    with RunningWatchkeeper(tmp_path_factory.mktemp("run")) as running:
        yield running


def test_prometheus_answers_a_quantile_of_time_to_first_token(watchkeeper: RunningWatchkeeper, tmp_path: Path) -> None:
    with PrometheusServer(tmp_path, {"watchkeeper": f"127.0.0.1:{watchkeeper.web_port}"}) as prometheus:
        post(watchkeeper.http_port, span_request(1_000_000).SerializeToString())
        prometheus.wait_for("gen_ai_server_time_to_first_token_seconds_count >= 1")
        for number in range(20):
            post(watchkeeper.http_port, span_request(2_000_000 + number).SerializeToString())
        quantile = (
            "histogram_quantile(0.5, sum by (le) (rate(gen_ai_server_time_to_first_token_seconds_bucket[1m]))) > 0"
        )

        [row] = prometheus.wait_for(quantile)

        assert 0.1 < float(row["value"][1]) <= 0.25
        assert prometheus.wait_for("up == 1")  # a scrape of its own may have failed, of a machine that stood still


def test_everything_received_is_accounted_for(watchkeeper: RunningWatchkeeper) -> None:
    good = span_request(3_000_000)
    bad_id = span_request(3_000_001)
    bad_id.resource_spans[0].scope_spans[0].spans[0].trace_id = b"short"
    other = span_request(3_000_002)
    del other.resource_spans[0].scope_spans[0].spans[0].attributes[:]
    for request in (good, good, bad_id, other):
        assert post(watchkeeper.http_port, request.SerializeToString()) == 200
    assert post(watchkeeper.http_port, b"\xff\xff\xff") == 400
    watchkeeper.wait_for("watchkeeper_pipeline_rejected_total", 1, source="otlp")
    watchkeeper.wait_for("watchkeeper_pipeline_ignored_total", 2, source="otlp")

    def total(name: str) -> float:
        return watchkeeper.value(f"watchkeeper_pipeline_{name}_total", source="otlp") or 0.0

    def left() -> float:
        """Of what was accepted, when all that was counted and what is held is taken off."""
        held = watchkeeper.value("watchkeeper_queue_length", queue="otlp") or 0.0
        return total("accepted") - total("exported") - total("ignored") - total("dropped") - held

    end = time.monotonic() + 60
    while left() and time.monotonic() < end:  # it is on its way
        time.sleep(0.1)

    assert left() == 0
    assert total("received") == total("accepted") + total("rejected")
    assert total("dropped") == 0


def test_ten_thousand_model_names_leave_the_page_bounded_and_the_rest_under_other(tmp_path: Path) -> None:
    with RunningWatchkeeper(tmp_path, {"limits": {"max_values_per_label": 50}}) as running:
        request = ExportTraceServiceRequest()
        for number in range(10_000):
            one = span_request(4_000_000 + number, **{"gen_ai.request.model": f"model-{number}"})
            request.resource_spans.extend(one.resource_spans)
        assert post(running.http_port, request.SerializeToString()) == 200

        assert running.wait_for("watchkeeper_requests_total", 10_000) == 10_000
        assert running.value("watchkeeper_requests_total", gen_ai_request_model="other") == 9_950
        assert running.value("watchkeeper_labels_overflow_total", label="gen_ai.request.model")
        assert running.page().count("\n") < 20_000


def test_a_label_with_quotes_and_newlines_leaves_the_target_up(tmp_path: Path) -> None:
    (tmp_path / "prometheus").mkdir()
    with (
        RunningWatchkeeper(tmp_path) as running,
        PrometheusServer(tmp_path / "prometheus", {"watchkeeper": f"127.0.0.1:{running.web_port}"}) as prometheus,
    ):
        post(running.http_port, span_request(1, **{"gen_ai.request.model": 'a"b\\c\nd\x00e'}).SerializeToString())

        [row] = prometheus.wait_for('watchkeeper_requests_total{outcome="ok"} == 1')

        assert row["metric"]["gen_ai_request_model"].startswith('a"b\\c')
        assert prometheus.wait_for("up == 1")  # a scrape of its own may have failed, of a machine that stood still


@pytest.mark.parametrize(
    "attributes",
    [
        {"gen_ai.input.messages": json.dumps([{"role": "user", "parts": [{"type": "text", "content": CANARY}]}])},
        {"gen_ai.prompt.0.content": CANARY, "gen_ai.completion.0.content": CANARY},
        {"llm.input_messages.0.message.content": CANARY, "input.value": CANARY, "openinference.span.kind": "LLM"},
        {"ai.prompt.messages": CANARY, "ai.response.text": CANARY},
        {"traceloop.entity.input": CANARY, "langfuse.observation.output": CANARY, "exception.message": CANARY},
        {"gen_ai.usage.input_tokens": CANARY, "gen_ai.response.finish_reasons": CANARY},
    ],
    ids=["otel", "openllmetry", "openinference", "vercel", "wrappers", "text where numbers belong"],
)
def test_no_byte_of_a_prompt_leaves_the_process(watchkeeper: RunningWatchkeeper, attributes: dict[str, str]) -> None:
    before = watchkeeper.value("watchkeeper_requests_total") or 0.0
    number = 5_000_000 + zlib.crc32(repr(attributes).encode())

    assert post(watchkeeper.http_port, span_request(number, **attributes).SerializeToString()) == 200

    watchkeeper.wait_for("watchkeeper_requests_total", before + 1)
    assert CANARY not in watchkeeper.page() + watchkeeper.page("/") + watchkeeper.log()


class Collector(http.server.ThreadingHTTPServer):
    """Keeps what is pushed to it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Keep)
        self.bodies: list[tuple[str, bytes]] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Keep(http.server.BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        self.server.bodies.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def pushed_requests(collector: Collector) -> float:
    """By the last push."""
    counted = 0.0
    for path, body in collector.bodies:
        if path.endswith("/v1/metrics"):
            pushed = ExportMetricsServiceRequest.FromString(body)
            counted = sum(
                point.as_double or point.as_int
                for resource in pushed.resource_metrics
                for scope in resource.scope_metrics
                for metric in scope.metrics
                if metric.name == "watchkeeper.requests"
                for point in metric.sum.data_points
            )
    return counted


def test_what_was_acknowledged_before_sigterm_reaches_the_collector_and_the_exit_is_0(tmp_path: Path) -> None:
    with Collector() as collector:
        push = {"enabled": True, "endpoint": f"http://127.0.0.1:{collector.server_port}", "compression": "none"}
        with RunningWatchkeeper(tmp_path, {"exporters": {"otlp": push | {"interval_seconds": 3600}}}) as running:
            for number in range(50):
                assert post(running.http_port, span_request(1 + number).SerializeToString()) == 200
            code = running.stop()
        collector.shutdown()

    assert (code, pushed_requests(collector)) == (0, 50)


SLOW = """
import time
from detectors.checks.length import Length
score = Length.score
Length.score = lambda self, call: (time.sleep(0.01), score(self, call))[1]
"""


def test_a_flood_of_text_that_is_ended_by_sigterm_is_counted_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of its checks takes longer than there is time for, whatever the machine can do."""
    (tmp_path / "sitecustomize.py").write_text(SLOW)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    bodies = []
    for number in range(10):
        body = ExportTraceServiceRequest()
        for one in range(500):
            body.MergeFrom(span_request(1 + 500 * number + one, **{"gen_ai.completion.0.content": "so it is"}))
        bodies.append(body.SerializeToString())
    with Collector() as collector:
        push = {"enabled": True, "endpoint": f"http://127.0.0.1:{collector.server_port}", "compression": "none"}
        otlp = {"shutdown_grace_seconds": 0.1, "queue_capacity_bytes": 100_000_000}
        with RunningWatchkeeper(
            tmp_path, {"shutdown_seconds": 14, "otlp": otlp, "exporters": {"otlp": push}}
        ) as running:
            assert {post(running.http_port, body) for body in bodies} == {200}
            code = running.stop()
        collector.shutdown()

    assert (code, pushed_requests(collector)) == (0, 10 * 500)
    assert "calls were counted and not checked" in running.log()


def test_a_collector_that_never_answers_does_not_hold_up_the_shutdown(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        push = {"enabled": True, "endpoint": f"http://127.0.0.1:{silent.getsockname()[1]}", "timeout_seconds": 300}
        settings = {"shutdown_seconds": 5, "exporters": {"otlp": push}}
        with RunningWatchkeeper(tmp_path, settings) as running:
            assert running.stop() == 0

        assert "stopped without waiting for otlp" in running.log()


def test_what_it_pushes_into_itself_is_not_counted_again(tmp_path: Path) -> None:
    port = free_port()
    push = {"enabled": True, "endpoint": f"http://127.0.0.1:{port}", "interval_seconds": 0.3}
    with RunningWatchkeeper(tmp_path, {"otlp": {"http_port": port}, "exporters": {"otlp": push}}) as running:
        post(port, span_request(1).SerializeToString())
        running.wait_for("watchkeeper_pipeline_ignored_total", 40, timeout_seconds=60, reason="own_metrics")

        assert running.value("gen_ai_client_operation_duration_seconds_count") == 1
        assert running.value("gen_ai_server_time_to_first_token_seconds_count") == 1


def test_its_traces_sent_into_itself_are_no_calls(tmp_path: Path) -> None:
    port = free_port()
    push = {"enabled": True, "endpoint": f"http://127.0.0.1:{port}", "interval_seconds": 0.3}
    traces = {"traces": True, "trace_share": 1.0}
    with RunningWatchkeeper(tmp_path, {"otlp": {"http_port": port}, "exporters": {"otlp": push | traces}}) as running:
        post(port, span_request(1).SerializeToString())
        running.wait_for("watchkeeper_requests_total", 1)
        traced = running.value("watchkeeper_pipeline_ignored_total", signal="traces", reason="not_genai") or 0.0
        running.wait_for("watchkeeper_pipeline_ignored_total", traced + 50, signal="traces", reason="not_genai")

        assert running.value("watchkeeper_requests_total") == 1
        assert running.value("watchkeeper_pipeline_exported_total", source="otlp") == 1
        assert running.value("watchkeeper_steps_dropped_total") == 0


def test_its_traces_tell_of_start_reads_ticks_and_stop_and_have_no_byte_of_a_prompt(tmp_path: Path) -> None:
    with Collector() as collector:
        push = {"enabled": True, "endpoint": f"http://127.0.0.1:{collector.server_port}", "compression": "none"}
        asked = {"interval_seconds": 3600, "traces": True, "trace_share": 1.0}
        with RunningWatchkeeper(tmp_path, {"exporters": {"otlp": push | asked}}) as running:
            post(running.http_port, span_request(1, **{"gen_ai.prompt.0.content": CANARY}).SerializeToString())
            running.wait_for("watchkeeper_requests_total", 1)
            running.stop()
        collector.shutdown()

    [body] = [body for path, body in collector.bodies if path.endswith("/v1/traces")]
    [scope] = ExportTraceServiceRequest.FromString(body).resource_spans[0].scope_spans
    names = {span.span_id: span.name for span in scope.spans}
    pairs = {(names.get(span.parent_span_id, ""), span.name) for span in scope.spans}
    assert CANARY.encode() not in body
    assert pairs >= {
        ("", "start"),
        ("start", "tick"),
        ("", "tick"),
        ("tick", "write prometheus"),
        ("", "read otlp"),
        ("", "fold otlp"),
        ("", "stop sources"),
    }


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "watchkeeper", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_every_taken_port_is_named_before_anything_starts(watchkeeper: RunningWatchkeeper, tmp_path: Path) -> None:
    config = tmp_path / "second.yaml"
    config.write_text(
        f"web: {{port: {watchkeeper.web_port}}}\n"
        f"otlp: {{http_port: {watchkeeper.http_port}, grpc_port: {watchkeeper.grpc_port}}}\n"
    )

    second = run("run", "--config", str(config))

    lines = second.stderr.splitlines()
    assert second.returncode == 2
    assert any(line.startswith("watchkeeper: web.port:") and "in use" in line for line in lines)
    assert any(line.startswith("watchkeeper: otlp.") and "in use" in line for line in lines)
    assert "Traceback" not in second.stderr


def test_a_typo_in_the_file_stops_the_start_with_a_suggestion(tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("otlp: {http_prot: 4318}\n")

    started = run("run", "--config", str(config))

    assert (started.returncode, started.stderr) == (
        2,
        "watchkeeper: otlp.http_prot: unknown setting; did you mean 'http_port'?\n",
    )


def test_a_sigterm_that_comes_the_moment_it_is_ready_is_not_lost(tmp_path: Path) -> None:
    codes = []
    for _ in range(3):
        with RunningWatchkeeper(tmp_path) as running:
            codes.append(running.stop())

    assert codes == [0, 0, 0]
