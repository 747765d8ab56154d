"""The part: its configuration, what doctor says, and the whole way to the metrics page."""

import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from collector.tap import PLUGIN
from collector.tap.config import TapTarget
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.testkit import RunningWatchkeeper, free_port
from watchkeeper.core.tls import Tls

Make = Callable[..., Any]

TRACE = f"00-{'ab' * 16}-{'cd' * 8}-01"
SAID = "".join(
    f"data: {json.dumps({'model': 'm-1', 'choices': [{'index': 0, 'delta': {'content': word}}]})}\n\n" for word in "ab"
)
STREAM = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n", SAID.encode(), b"data: [DONE]\n\n", "close",
)  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"upstream": "127.0.0.1:8000"}, "upstream must be like http://127.0.0.1:8000"),
        ({"upstream": "ftp://h"}, "upstream must be like"),
        ({"upstream": "http://u:p@h:1"}, "without user, query or fragment"),
        ({"upstream": "http://h:1/?q"}, "without user, query or fragment"),
        ({"upstream": "http://h:99999"}, "upstream must be like"),
        ({"upstream": "http://a..b"}, "upstream must be like"),
        ({"upstream": "http://h", "ca_file": "x"}, "ca_file needs an upstream that begins with https://"),
        ({"upstream": "http://h", "tls": {"key_file": "x"}}, "must be set together"),
        ({"upstream": "http://h", "tenant_header": "a: b"}, "is not the name of a header"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, str], said: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=said):
        msgspec.convert({"port": 1, **settings}, TapTarget)


@pytest.mark.parametrize(
    ("upstream", "expected"),
    [
        ("http://127.0.0.1:8000", ("127.0.0.1", 8000, "", False)),
        ("http://[::1]:8000/", ("::1", 8000, "", False)),
        ("https://api.example.com/v1/", ("api.example.com", 443, "/v1", True)),
        ("http://up", ("up", 80, "", False)),
        ("http://up/base", ("up", 80, "/base", True)),
    ],
)
def test_an_upstream_is_taken_apart(upstream: str, expected: tuple[Any, ...]) -> None:
    target = TapTarget(port=1, upstream=upstream)

    assert (target.upstream_host, target.upstream_port, target.prefix, target.rewrites) == expected


@pytest.mark.parametrize(
    ("host", "upstream"),
    [
        ("127.0.0.1", "localhost"),
        ("127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("::", "[::1]"),
        ("localhost", "0.0.0.0"),
    ],
)
def test_a_tap_before_itself_is_a_mistake(host: str, upstream: str) -> None:
    [problem] = PLUGIN.problems((TapTarget(port=8001, upstream=f"http://{upstream}:8001", host=host),))

    assert problem == f"tap[0].upstream: http://{upstream}:8001 is the tap itself; name the engine's port"


@pytest.mark.parametrize(("host", "upstream"), [("127.0.0.1", "[::1]"), ("10.0.0.7", "127.0.0.1"), ("::", "engine")])
def test_an_engine_on_the_same_port_of_another_address_is_none(host: str, upstream: str) -> None:
    assert PLUGIN.problems((TapTarget(port=8001, upstream=f"http://{upstream}:8001", host=host),)) == ()


def test_files_that_are_no_certificates_are_named_with_their_key(tmp_path: Path) -> None:
    bad = tmp_path / "bad.pem"
    bad.write_text("no")
    targets = (
        TapTarget(port=0, upstream="http://h", tls=Tls(str(bad), str(bad))),
        TapTarget(port=0, upstream="https://h", ca_file=str(bad)),
        TapTarget(port=0, upstream="https://h", ca_file=str(tmp_path / "absent")),
    )

    with pytest.raises(ConfigError) as refused:
        PLUGIN.build(targets, Ledger())

    assert [problem.partition(":")[0] for problem in refused.value.problems] == [
        "tap[0].tls.certificate_file",
        "tap[1].ca_file",
        "tap[2].ca_file",
    ]


def test_a_port_in_use_is_refused_and_those_taken_before_are_free_again(tap: Make, upstream: Make) -> None:
    between, free = tap(upstream()), free_port()
    targets = (
        TapTarget(port=free, upstream="http://127.0.0.1:1", host="127.0.0.1"),
        TapTarget(port=between.port, upstream="http://127.0.0.1:1", host="127.0.0.1"),
    )

    with pytest.raises(ConfigError, match=rf"tap\[1\].port: 127.0.0.1:{between.port} is in use by another process"):
        PLUGIN.build(targets, Ledger())
    PLUGIN.build(targets[:1], Ledger()).close()


def test_doctor_says_whether_the_port_is_free_and_the_upstream_there(upstream: Make) -> None:
    here, absent, port = upstream().url, f"http://127.0.0.1:{free_port()}", free_port()
    targets = tuple(TapTarget(port=port, upstream=url, host="127.0.0.1") for url in (here, absent))

    assert PLUGIN.probe(targets) == (
        f"127.0.0.1:{port} is free; point clients at it instead of at {here}",
        f"{here} accepts connections",
        f"127.0.0.1:{port} is free; point clients at it instead of at {absent}",
        f"! tap[1].upstream: {absent} cannot be reached (Connection refused); is it running, on this port?",
    )


def test_a_call_through_a_running_watchkeeper_is_on_its_page_and_counted_once(upstream: Make, tmp_path: Path) -> None:
    server, port = upstream(*STREAM), free_port()
    settings = {"tap": [{"port": port, "host": "127.0.0.1", "upstream": server.url, "name": "chat"}]}
    with RunningWatchkeeper(tmp_path, settings) as watchkeeper:
        for trace in (TRACE, ""):
            ask = urllib.request.Request(
                f"http://127.0.0.1:{port}/v1/chat/completions", b'{"model":"m"}', {"traceparent": trace}
            )
            with urllib.request.urlopen(ask, timeout=60) as answer:
                assert answer.read().startswith(b"data: ")
        watchkeeper.wait_for("watchkeeper_requests_total", 2, outcome="ok")
        _report_span(watchkeeper.http_port)
        watchkeeper.wait_for("gen_ai_client_operation_duration_seconds_count", 1)

        value = watchkeeper.value
        assert value("watchkeeper_requests_total") == 2
        assert value("watchkeeper_tokens_total", gen_ai_token_type="output") == 4
        assert value("watchkeeper_tokens_estimated_total", service_name="chat") == 4
        tapped = {"watchkeeper_vantage": "tap", "service_name": "chat", "gen_ai_request_model": "m"}
        assert value("gen_ai_server_time_to_first_token_seconds_count", **tapped) == 2
        assert value("gen_ai_server_request_duration_seconds_count", **tapped) == 2
        assert value("gen_ai_server_time_per_output_token_seconds_count", **tapped) is None  # of counted chunks
        assert value("watchkeeper_engine_inter_token_latency_seconds_count", **tapped) == 2
        assert value("watchkeeper_pipeline_exported_total", source="tap") == 2
        assert value("watchkeeper_source_up", source="tap") == 1
    assert "Error" not in watchkeeper.log()


def _report_span(port: int) -> None:
    """The caller's own account of the first call."""
    span = {"traceId": "ab" * 16, "spanId": "ef" * 8, "name": "chat m", "kind": 3,
            "startTimeUnixNano": "1700000000000000000", "endTimeUnixNano": "1700000001000000000",
            "attributes": [{"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
                           {"key": "gen_ai.request.model", "value": {"stringValue": "m"}},
                           {"key": "gen_ai.usage.output_tokens", "value": {"intValue": "2"}}]}  # fmt: skip
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode()
    ask = urllib.request.Request(f"http://127.0.0.1:{port}/v1/traces", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(ask, timeout=60) as answer:
        assert answer.status == 200
