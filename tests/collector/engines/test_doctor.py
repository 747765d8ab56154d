"""What doctor is told about engines."""

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

from collector._pages.source import PagesSource
from collector.engines import EngineTarget, probe
from watchkeeper.core.testkit.engine_pages import status, vllm_page
from watchkeeper.core.testkit.ports import free_port
from watchkeeper.core.vocabulary import engines

NOW = 1_000_000.0
NewSource = Callable[..., PagesSource]


def test_doctor_says_which_engine_it_is_and_what_it_does_not_expose(new_engine: Any, answer: Any) -> None:
    vllm, llama = new_engine(), new_engine()

    def with_version(handler: BaseHTTPRequestHandler) -> None:
        (status(200, '{"version": "0.33.0"}') if handler.path == "/version" else answer(vllm_page()))(handler)

    vllm.respond, llama.respond = with_version, status(501, "`--metrics`")
    down = f"http://127.0.0.1:{free_port()}"

    lines = probe(tuple(EngineTarget(url=url, timeout_seconds=60) for url in (vllm.url, llama.url, down)))

    assert lines[0] == f"{vllm.url}: vLLM 0.33.0, model m; 2 series mapped, 0 not"
    assert any("--speculative-config" in line and engines.DRAFTS.name in line for line in lines)
    assert any(line.startswith(f"! {llama.url}") and "--metrics" in line for line in lines)
    assert any(line.startswith(f"! {down}") for line in lines)


def test_doctor_tells_a_configuration_that_cannot_work() -> None:
    [line] = probe((EngineTarget(url="https://a", ca_file="none.pem"),))

    assert line.startswith("! engines[0].ca_file")
