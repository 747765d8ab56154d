"""The programs that people use, through the tap."""

import json
import subprocess
from collections.abc import Callable
from typing import Any

import openai
import pytest

from watchkeeper.core.testkit import free_port, require

Make = Callable[..., Any]

CHUNKS = [
    {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m-1",
     "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
    for delta, reason in (
        ({"role": "assistant"}, None), ({"content": "Hel"}, None), ({"content": "lo"}, None), ({}, "stop"),
    )
]  # fmt: skip
EVENTS = [f"data: {json.dumps(chunk)}\n\n".encode() for chunk in CHUNKS] + [b"data: [DONE]\n\n"]
STREAM = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
    *(b"%x\r\n%b\r\n" % (len(event), event) for event in EVENTS),
    b"0\r\n\r\n",
)


def test_the_openai_client_streams_through_it(upstream: Make, tap: Make) -> None:
    between = tap(upstream(*STREAM))

    with openai.OpenAI(base_url=f"{between.url}/v1", api_key="k", max_retries=0) as client:
        stream = client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "Hi"}], stream=True, max_completion_tokens=3
        )
        said = "".join(chunk.choices[0].delta.content or "" for chunk in stream)

    assert said == "Hello"
    call = between.call()
    assert (call.outcome, call.request_model, call.output_tokens) == ("ok", "m", 2)
    assert (call.max_output_tokens, call.finish_reasons) == (3, ("stop",))


def test_the_openai_client_understands_what_the_tap_says_of_an_upstream_that_is_not_there(tap: Make) -> None:
    between = tap(f"http://127.0.0.1:{free_port()}")

    with (
        openai.OpenAI(base_url=f"{between.url}/v1", api_key="k", max_retries=0) as client,
        pytest.raises(openai.InternalServerError, match="cannot be reached") as failed,
    ):
        client.embeddings.create(model="m", input="x")

    assert failed.value.status_code == 502
    assert failed.value.type == "upstream_unreachable"


@pytest.mark.parametrize("version", ["--http1.0", "--http1.1", "--http2", "--http2-prior-knowledge"])
def test_curl_gets_the_same_through_it(upstream: Make, tap: Make, version: str) -> None:
    curl = require("curl", "curl")
    server = upstream(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n", *EVENTS, "close")
    between = tap(server)

    def ask(port: int) -> tuple[bool, bytes]:
        """Whether it went well: of several words for a connection that ended, chance picks curl's."""
        command = [curl, "-siN", version, "--max-time", "60", "--json", '{"model":"m"}']
        done = subprocess.run(
            [*command, f"http://127.0.0.1:{port}/v1/chat/completions"], capture_output=True, check=False
        )
        return done.returncode == 0, done.stdout

    assert ask(between.port) == ask(server.port)
    if version != "--http2-prior-knowledge":
        assert between.call().output_tokens == 2
