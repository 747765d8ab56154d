"""The program, started as the sidecar's container says: its arguments and its environment, nothing besides."""

import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Final

import pytest
import yaml
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from prometheus_client.parser import text_string_to_metric_families

from watchkeeper.agent.config import WebConfig
from watchkeeper.core.testkit import free_port
from watchkeeper.core.testkit.engine_pages import status, vllm_page

COMPONENT: Final = Path(__file__).resolve().parents[2] / "deploy/kustomize/sidecar/sidecar.yaml"
POD: Final = {"metadata.namespace": "on", "metadata.name": "10", "spec.nodeName": "node-1", "status.podIP": "127.0.0.1"}
"""names that YAML takes for something else than text"""
PATIENCE_SECONDS: Final = 120.0
PLACE: Final = {"k8s_namespace_name": "on", "k8s_pod_name": "10"}

Env = dict[str, str]


def environment(container: dict[str, Any], annotations: Env, **more: str) -> Env:
    """As the kubelet makes it: fields of the pod, and `$(NAME)` of what stands above."""
    made: Env = {}
    for each in container["env"]:
        if "valueFrom" in each:
            field = each["valueFrom"]["fieldRef"]["fieldPath"]
            named = re.fullmatch(r"metadata\.annotations\['(.+)'\]", field)
            made[each["name"]] = annotations.get(named[1], "") if named else POD[field]
        else:
            made[each["name"]] = re.sub(r"\$\((\w+)\)", lambda found: made[found[1]], each["value"])
    return made | more


@pytest.fixture(scope="module")
def engine() -> Iterator[int]:
    """Port of something that shows a page as vLLM does."""
    answer, nothing = status(200, vllm_page(running=3)), status(404)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            (answer if self.path == "/metrics" else nothing)(self)

        def log_message(self, *_arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


class Running:
    def __init__(self, annotations: Env, log: Path) -> None:
        [container] = yaml.safe_load(COMPONENT.read_text(encoding="utf-8"))["spec"]["template"]["spec"][
            "initContainers"
        ]
        self.container: dict[str, Any] = container
        self.web, self.otlp = free_port(), free_port()
        own = {"WEB__PORT": self.web, "OTLP__HTTP_PORT": self.otlp, "OTLP__GRPC_PORT": 0}
        ports = {f"WATCHKEEPER__{name}": str(port) for name, port in own.items()}
        command = [sys.executable, "-m", "watchkeeper", *container["args"]]
        with log.open("wb") as said:
            self.process = subprocess.Popen(command, env=environment(container, annotations, **ports), stderr=said)

    def get(self, path: str) -> tuple[int, str]:
        """Status and text; 0 when nothing answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.web}{path}", timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, ""
        except OSError:
            return 0, ""

    def wait_for(self, name: str, **labels: str) -> dict[str, str]:
        """Labels of the first series of that name that has those and is not zero."""
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            for family in text_string_to_metric_families(self.get("/metrics")[1]):
                for sample in family.samples:
                    if sample.name == name and sample.value and labels.items() <= sample.labels.items():
                        return dict(sample.labels)
            time.sleep(0.05)
        raise AssertionError(f"{name} {labels} never came; the page has:\n{self.get('/metrics')[1][:4000]}")


@pytest.fixture(scope="module")
def running(engine: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    annotations = {
        "watchkeeper.dev/engine-url": f"http://127.0.0.1:{engine}",
        "watchkeeper.dev/service": "chat",
    }
    one = Running(annotations, tmp_path_factory.mktemp("sidecar") / "log")
    yield one
    one.process.kill()
    one.process.wait(10)


def test_the_engines_numbers_arrive_with_the_pod_the_node_agent_knows_devices_by(running: Running, engine: int) -> None:
    labels = running.wait_for("watchkeeper_engine_requests_running", **PLACE, gen_ai_provider_name="vllm")

    assert (labels["service_name"], labels["server_port"]) == ("chat", str(engine))


def test_a_call_from_within_the_pod_is_counted_on_the_pod(running: Running) -> None:
    running.wait_for("watchkeeper_engine_up", **PLACE)
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add(
        trace_id=bytes(range(16)), span_id=bytes(range(1, 9)), name="chat m", kind=3,
        start_time_unix_nano=time.time_ns() - 10**9, end_time_unix_nano=time.time_ns(),
    )  # fmt: skip
    for key, value in {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}.items():
        span.attributes.append(KeyValue(key=key, value=AnyValue(string_value=value)))
    sent = urllib.request.Request(
        f"http://127.0.0.1:{running.otlp}/v1/traces",
        request.SerializeToString(),
        {"Content-Type": "application/x-protobuf"},
    )
    with urllib.request.urlopen(sent, timeout=30) as answer:
        assert answer.status == 200

    running.wait_for("watchkeeper_requests_total", **PLACE, gen_ai_request_model="m")


def test_without_annotations_or_an_engine_it_is_well_and_lets_a_pod_that_ends_go(tmp_path: Path) -> None:
    one = Running({}, tmp_path / "log")
    try:
        end = time.monotonic() + PATIENCE_SECONDS
        while "watchkeeper_engine_up{" not in one.get("/metrics")[1]:
            assert time.monotonic() < end, (tmp_path / "log").read_text()
            time.sleep(0.05)
        probe = one.container["livenessProbe"]["httpGet"]
        assert probe["port"] == one.container["ports"][0]["containerPort"] == WebConfig().port
        assert one.get(probe["path"])[0] == 200
        one.process.send_signal(signal.SIGTERM)
        assert one.process.wait(PATIENCE_SECONDS) == 0
    finally:
        one.process.kill()
        one.process.wait(10)
