"""Generations of OpenTelemetry's instrumentation of the openai client, with a real engine, over both transports."""

import contextlib
import os
import subprocess
import sys
import time
from threading import Event

import msgspec
import pytest

from watchkeeper.agent.demo import engine
from watchkeeper.agent.demo.children import Child, fetch
from watchkeeper.agent.demo.performance import ENGINE_LIBRARY
from watchkeeper.agent.demo.promised import Page
from watchkeeper.core.testkit import free_port, require_library
from watchkeeper.core.vocabulary import requests

CLIENT = """
import contextlib, sys
from functools import partial
from importlib import import_module
from openai import BadRequestError, OpenAI
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

instrumentation, transport, url, model = sys.argv[1:]
exporters = f"opentelemetry.exporter.otlp.proto.{transport}"
spans = import_module(f"{exporters}.trace_exporter").OTLPSpanExporter()
metrics = import_module(f"{exporters}.metric_exporter").OTLPMetricExporter()
tracers = TracerProvider()
tracers.add_span_processor(BatchSpanProcessor(spans))
meters = MeterProvider(metric_readers=[PeriodicExportingMetricReader(metrics)])
instrumentor = import_module(f"opentelemetry.instrumentation.{instrumentation}").OpenAIInstrumentor()
instrumentor.instrument(tracer_provider=tracers, meter_provider=meters)

client = OpenAI(base_url=url, api_key="none", max_retries=0)
create = partial(client.chat.completions.create, temperature=0)
ask = [{"role": "user", "content": "Why is the sky blue?"}]
create(model=model, messages=ask, max_tokens=8)
for _ in create(model=model, messages=ask, max_tokens=8, stream=True, stream_options={"include_usage": True}):
    pass
with contextlib.suppress(BadRequestError):
    create(model=model, messages=[{"role": "user", "content": "sky " * 2000}])
tracers.shutdown()
meters.shutdown()
"""
NEWEST = "genai.openai"


class Watched(msgspec.Struct, frozen=True):
    """Addresses of a running engine and of the watchkeeper that its callers report to."""

    engine_url: str
    metrics_url: str
    otlp_urls: dict[str, str]

    def page(self, wanted_calls: int, service: str) -> Page:
        """/metrics once it counts so many calls of the service, or as it is after a minute."""
        deadline = time.monotonic() + 60
        while True:
            page = Page(fetch(self.metrics_url) or "")
            if page.total(requests.REQUESTS, service_name=service) >= wanted_calls or time.monotonic() > deadline:
                return page
            time.sleep(0.2)


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    require_library(ENGINE_LIBRARY, "libgomp1")
    folder = tmp_path_factory.mktemp("generations")
    engine_port, web, grpc, http = (free_port() for _ in range(4))
    config = folder / "watchkeeper.yaml"
    config.write_text(f"otlp: {{grpc_port: {grpc}, http_port: {http}}}\nweb: {{port: {web}}}\n")
    with contextlib.ExitStack() as running:
        command = ["watchkeeper.agent.demo.engine", "--port", str(engine_port), "--threads", "2"]
        server = Child("engine", command, folder, {**os.environ, "OMP_WAIT_POLICY": "passive"})
        running.callback(server.end, 10)
        agent = Child("watchkeeper", ["watchkeeper", "run", "--config", str(config)], folder, os.environ)
        running.callback(agent.end, 20)
        server.wait_for(lambda: fetch(f"http://127.0.0.1:{engine_port}/health") is not None, 120, Event())
        agent.wait_for(lambda: fetch(f"http://127.0.0.1:{web}/readyz") is not None, 120, Event())
        yield Watched(
            engine_url=f"http://127.0.0.1:{engine_port}/v1",
            metrics_url=f"http://127.0.0.1:{web}/metrics",
            otlp_urls={"grpc": f"http://127.0.0.1:{grpc}", "http": f"http://127.0.0.1:{http}"},
        )


@pytest.mark.parametrize(
    ("instrumentation", "transport", "opt_in"),
    [
        pytest.param("openai_v2", "grpc", "", id="openai-v2 by grpc"),
        pytest.param("openai_v2", "http", "gen_ai_latest_experimental", id="openai-v2 newest names by http"),
        pytest.param(NEWEST, "grpc", "", id="genai-openai by grpc"),
    ],
)
def test_a_plain_a_streamed_and_a_refused_call_are_measured(watched, instrumentation, transport, opt_in):
    service = f"{instrumentation}-{transport}"

    done = subprocess.run(
        [sys.executable, "-c", CLIENT, instrumentation, transport, watched.engine_url, engine.MODEL],
        env={
            **os.environ,
            "OTEL_SERVICE_NAME": service,
            "OTEL_EXPORTER_OTLP_ENDPOINT": watched.otlp_urls[transport],
            "OTEL_SEMCONV_STABILITY_OPT_IN": opt_in,
        },
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    page = watched.page(3, service)

    outcomes = page.by("outcome", requests.REQUESTS, service_name=service)
    assert {name: count for name, count in outcomes.items() if count} == {"ok": 2, "client_error": 1}
    assert page.by("gen_ai_request_model", requests.REQUESTS, service_name=service) == {engine.MODEL: 3}
    assert page.total(requests.TOKENS, service_name=service, gen_ai_token_type="output") == 16
    assert page.observations(requests.SERVER_DURATION, service_name=service) == 3
    streamed = page.observations(requests.SERVER_FIRST_TOKEN, service_name=service)
    assert streamed == (1 if instrumentation == NEWEST else 0)  # the older generation does not report it
