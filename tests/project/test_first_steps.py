"""The first steps of the README, as a person copies them."""

import json
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import distribution
from pathlib import Path

import pytest

from watchkeeper.core.testkit import RunningWatchkeeper, require

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1700000000,
    "model": "my-model",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Air."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9},
}


def block(language: str, beginning: str) -> str:
    [found] = [text for text in re.findall(rf"^```{language}\n(.*?)^```", README, re.M | re.S) if beginning in text]
    return found


@pytest.fixture
def model_url():
    """Base URL of a server that answers as the OpenAI API does."""

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            body = json.dumps(ANSWER).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()


def test_the_call_reported_by_hand_is_counted_once(tmp_path):
    require("curl", "curl")
    with RunningWatchkeeper(tmp_path) as watchkeeper:
        command = block("sh", "curl -i").replace(":4318/", f":{watchkeeper.http_port}/")
        answers = [
            subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60, check=True).stdout
            for _ in range(2)
        ]
        watchkeeper.wait_for("watchkeeper_pipeline_ignored_total", 1, reason="duplicate")
        watchkeeper.wait_for("watchkeeper_requests_total", 1, service_name="by-hand")

        mine = {"service_name": "by-hand", "gen_ai_request_model": "my-model"}
        assert ["200 OK" in answer for answer in answers] == [True, True]
        assert watchkeeper.value("watchkeeper_requests_total", outcome="ok", **mine) == 1
        assert watchkeeper.value("watchkeeper_tokens_total", gen_ai_token_type="output", **mine) == 34
        assert watchkeeper.value("gen_ai_client_operation_duration_seconds_sum", **mine) == 1.5


def test_the_call_of_the_instrumented_application_is_counted(tmp_path, model_url):
    application = tmp_path / "application.py"
    application.write_text(block("python", "# application.py"))
    packages, *settings = block("sh", "pip install").splitlines()
    with RunningWatchkeeper(tmp_path) as watchkeeper:
        exports = "\n".join(settings).replace(":4318", f":{watchkeeper.http_port}")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "OPENAI_"))}
        subprocess.run(
            ["sh", "-c", f'{exports}\nexec "$0" "$1"', sys.executable, application],
            env={**kept, "OPENAI_BASE_URL": model_url, "OPENAI_API_KEY": "none", "NO_PROXY": "127.0.0.1"},
            timeout=280,
            check=True,
        )
        mine = {"service_name": "my-application", "gen_ai_request_model": "my-model"}

        assert watchkeeper.wait_for("watchkeeper_requests_total", 1, outcome="ok", **mine) == 1
        assert watchkeeper.value("watchkeeper_tokens_total", gen_ai_token_type="input", **mine) == 7

    assert all(distribution(name) for name in packages.removeprefix("pip install ").split())
