"""`watchkeeper doctor --engine` and `watchkeeper engines`, against real HTTP servers on loopback."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from collector.engines import TABLES
from watchkeeper.agent.command_line import main
from watchkeeper.core.testkit.engine_pages import Respond, by_path, status, vllm_page
from watchkeeper.core.testkit.ports import free_port

Serve = Callable[[Mapping[str, Respond]], str]
WORKER = "# TYPE dynamo_component_gpu_cache_usage_percent gauge\ndynamo_component_gpu_cache_usage_percent 0.5\n"
DRAFTS = "watchkeeper_engine_spec_decode_drafts_total"


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """`serve({path: answer})` is the URL of a server that answers so, however long that takes."""
    servers: list[ThreadingHTTPServer] = []

    def start(known: Mapping[str, Respond]) -> str:
        answer = by_path(dict(known))

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer(self)

            def log_message(self, *_arguments: object) -> None:
                pass

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, args=(0.02,), daemon=True).start()
        url = f"http://127.0.0.1:{servers[-1].server_address[1]}"
        monkeypatch.setenv("WATCHKEEPER__ENGINES", json.dumps([{"url": url, "timeout_seconds": 60}]))
        return url

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_an_engine_is_told_with_version_what_is_mapped_and_what_would_make_it_more(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    page = vllm_page() + "# TYPE vllm:engine_sleep_state gauge\nvllm:engine_sleep_state 0\n"
    url = serve({"/metrics": status(200, page), "/version": status(200, '{"version": "0.33.0"}')})

    code = main(["doctor", "--engine", url])

    out = capsys.readouterr().out
    assert code == 0
    assert out.startswith(f"vLLM at {url}/metrics\n  vLLM 0.33.0; provider vllm; model m\n  2 series mapped, 1 not\n")
    assert "Mapped: 2 metrics\n" in out
    assert any(line.split() == ["✓", "watchkeeper_engine_requests_running", "vllm:num_requests_running"]
               for line in out.splitlines())  # fmt: skip
    [drafts] = [line for line in out.splitlines() if DRAFTS in line]
    assert drafts.endswith("only with --speculative-config")
    assert "vllm_engine_sleep_state" in out


def test_a_server_around_an_engine_is_told_with_its_engine(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    url = serve({"/metrics": status(200, WORKER + vllm_page())})

    assert main(["doctor", "--engine", url]) == 0

    out = capsys.readouterr().out
    assert out.startswith(f"Dynamo worker, vLLM at {url}/metrics")
    assert "Mapped of vLLM: 2 metrics" in out
    assert "Mapped of Dynamo worker: 2 metrics" in out


def test_what_an_engine_exposes_under_no_flag_is_said_with_where_to_get_it(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    page = "# TYPE llamacpp:prompt_tokens_total counter\nllamacpp:prompt_tokens_total 5\n"
    url = serve({"/metrics": status(200, page), "/props": status(200, '{"model_path": "/m/a.gguf"}')})

    main(["doctor", "--engine", url])

    out = " ".join(capsys.readouterr().out.split())
    assert "model a.gguf" in out
    assert "Exposed under no flag: - time to first token" in out


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("# TYPE node_load1 gauge\nnode_load1 1\n", ["no engine known here", "SGLang port 30000, /metrics"]),
        ("[]", ["JSON"]),
    ],
)
def test_nothing_recognised_is_a_failure_that_says_where_to_look(
    page: str, words: list[str], serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--engine", serve({"/metrics": status(200, page)})]) == 1

    out = " ".join(capsys.readouterr().out.split())
    assert out.startswith("no engine recognised at")
    assert all(word in out for word in words)


def test_nobody_there_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--engine", f"http://127.0.0.1:{free_port()}"]) == 1

    assert "cannot be reached" in capsys.readouterr().out


def test_a_url_that_is_none_is_the_operators_to_mend(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--engine", "host:8000"]) == 2

    assert capsys.readouterr().err == "watchkeeper: --engine: url must be like http://host:8000\n"


def test_an_engine_of_the_configuration_is_looked_at_with_its_settings(
    serve: Serve, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def guarded(handler: BaseHTTPRequestHandler) -> None:
        allowed = handler.headers["Authorization"] == "Bearer secret"
        (status(200, vllm_page()) if allowed else status(401))(handler)

    url = serve({"/metrics": guarded})
    (tmp_path / "token").write_text("secret\n")
    config = tmp_path / "c.yaml"
    config.write_text(f"engines: [{{url: '{url}', bearer_token_file: '{tmp_path / 'token'}', timeout_seconds: 60}}]\n")

    assert main(["doctor", "--engine", url]) == 1
    assert "bearer_token_file" in capsys.readouterr().out
    monkeypatch.delenv("WATCHKEEPER__ENGINES")
    assert main(["doctor", "--engine", url, "--config", str(config)]) == 0


def test_long_lines_are_folded(
    serve: Serve, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "72")

    main(["doctor", "--engine", serve({"/metrics": status(200, vllm_page())})])

    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_every_engine_is_listed_with_where_it_is_and_how_to_switch_it_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["engines"]) == 0

    out = " ".join(capsys.readouterr().out.split())
    for table in TABLES:
        assert f"{table.title}: port {table.port}" in out
        assert table.switch_on in out


@pytest.mark.parametrize("command", ["engines", "devices", "metrics"])
def test_lists_are_folded_to_the_terminal(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")

    assert main([command]) == 0

    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith(" ")]
    assert len(said) > 4
    assert [line for line in said if len(line) > 80 and len(line.split()) > 1] == []
