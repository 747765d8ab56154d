"""Engines in trouble: told apart, told once, counted, and over when they are over."""

import gzip
import logging
import socket
import tracemalloc
import zlib
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from collector._pages.fault import Fault
from collector._pages.source import PagesSource
from collector.engines import EngineTarget
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Reason
from watchkeeper.core.testkit.engine_pages import pages, status, value, vllm_page
from watchkeeper.core.testkit.ports import free_port
from watchkeeper.core.vocabulary import engines

NOW = 1_000_000.0
NewSource = Callable[..., PagesSource]


HALF = 'vllm:prompt_tokens_total{model_name="m"} 10\n# TYPE h histogram\nh_bucket{le="1"} 3\n'


FAULTS: list[tuple[str, Any, Fault, Reason]] = [
    ("an error of the server", status(500, "boom"), Fault.SERVER_ERROR, Reason.LOST),
    ("a model being loaded", status(503), Fault.SERVER_ERROR, Reason.LOST),
    ("no page at this path", status(404), Fault.OFF, Reason.OFF),
    ("a bad request", status(400), Fault.HTTP_ERROR, Reason.LOST),
    ("a token is wanted", status(401), Fault.NOT_PERMITTED, Reason.NOT_PERMITTED),
    ("a redirect", status(302, Location="http://elsewhere/metrics"), Fault.REDIRECTED, Reason.UNREACHABLE),
    ("HTML", status(200, "<html></html>\n"), Fault.HTML, Reason.MALFORMED),
    ("JSON", status(200, "[]\n"), Fault.JSON, Reason.MALFORMED),
    ("half a page", status(200, HALF), Fault.TRUNCATED, Reason.MALFORMED),
    ("half a line", status(200, vllm_page()[:-4]), Fault.TRUNCATED, Reason.MALFORMED),
    ("nothing", status(200, ""), Fault.MALFORMED, Reason.MALFORMED),
    ("too many bytes", status(200, "a 1\n" * 2000), Fault.TOO_LARGE, Reason.MALFORMED),
    ("too many samples", status(200, "".join(f"a{n} 1\n" for n in range(101))), Fault.TOO_LARGE, Reason.MALFORMED),
    ("an unknown engine", status(200, "node_load1 1\n"), Fault.UNKNOWN_ENGINE, Reason.UNSUPPORTED),
]


@pytest.mark.parametrize(
    ("respond", "fault", "reason"), [case[1:] for case in FAULTS], ids=[case[0] for case in FAULTS]
)
def test_an_engine_in_trouble_harms_no_other_says_so_once_and_recovers(
    respond: Any, fault: Fault, reason: Reason, new_engine: Any, new_source: NewSource, ledger: Ledger, answer: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    caplog.set_level(logging.INFO)
    well, ill = new_engine(), new_engine()
    well.respond = ill.respond = answer(vllm_page())
    source = new_source(EngineTarget(url=well.url), EngineTarget(url=ill.url, max_page_bytes=5000, max_series=100))
    source.read(NOW)
    caplog.clear()
    ledger.drain(NOW)

    ill.respond = respond
    readings = [source.read(NOW + 5), source.read(NOW + 10)]

    port = str(ill.port)
    for reading in readings:
        assert value(reading, engines.RUNNING, server_port=str(well.port)) == 2.0
        assert value(reading, engines.ENGINE_UP, server_port=str(well.port)) == 1.0
        assert value(reading, engines.ENGINE_UP, server_port=port) == 0.0
        assert value(reading, engines.ENGINE_FAULT, server_port=port, reason=fault.value) == 1.0
        assert value(reading, engines.RUNNING, server_port=port) is None
        assert [(gap.metric, gap.reason, dict(gap.labels)["server.port"]) for gap in reading.gaps] == [
            (engines.RUNNING, reason, port)
        ]
        assert reading.items == 1
    [warning] = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warning.startswith(ill.url)
    assert pages(ledger, NOW) == {"received": 4.0, "accepted": 2.0, fault.value: 2.0}

    ill.respond = answer(vllm_page())
    back = source.read(NOW + 15)

    assert value(back, engines.ENGINE_UP, server_port=port) == 1.0
    assert value(back, engines.ENGINE_FAULT, server_port=port, reason=fault.value) == 0.0
    assert value(back, engines.RUNNING, server_port=port) == 2.0
    assert not back.gaps
    assert "is back" in caplog.records[-1].getMessage()


def test_another_fault_replaces_the_first_and_is_told(
    engine: Any, new_source: NewSource, caplog: pytest.LogCaptureFixture
) -> None:
    source = new_source(EngineTarget(url=engine.url))
    engine.respond = status(500)
    source.read(NOW)
    engine.respond = status(200, "<html>\n")

    reading = source.read(NOW + 5)

    assert value(reading, engines.ENGINE_FAULT, reason="server_error") == 0.0
    assert value(reading, engines.ENGINE_FAULT, reason="html") == 1.0
    assert len(caplog.records) == 2


@pytest.mark.parametrize("fault", [Fault.UNREACHABLE, Fault.TIMED_OUT, Fault.TRUNCATED, Fault.MALFORMED])
def test_a_connection_that_fails_is_told_by_how(
    fault: Fault, engine: Any, new_source: NewSource, ledger: Ledger
) -> None:
    def cut(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "5000")
        handler.end_headers()
        handler.wfile.write(vllm_page().encode())
        handler.close_connection = True

    def no_http(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"220 mail.example ESMTP\r\n")
        handler.close_connection = True

    url = engine.url
    match fault:
        case Fault.UNREACHABLE:
            url = f"http://127.0.0.1:{free_port()}"
        case Fault.TIMED_OUT:
            engine.respond = engine.hang
        case Fault.TRUNCATED:
            engine.respond = cut
        case _:
            engine.respond = no_http
    source = new_source(EngineTarget(url=url, timeout_seconds=0.3 if fault is Fault.TIMED_OUT else 30))

    assert value(source.read(NOW), engines.ENGINE_UP) == 0.0
    assert pages(ledger, NOW) == {"received": 1.0, "accepted": 0.0, fault.value: 1.0}


def test_a_body_that_trickles_in_too_slowly_is_given_up(engine: Any, new_source: NewSource, ledger: Ledger) -> None:
    def trickle(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "5000")
        handler.end_headers()
        while not engine.released.wait(0.02):
            try:
                handler.wfile.write(b"#")
            except OSError:
                return

    engine.respond = trickle

    new_source(EngineTarget(url=engine.url, timeout_seconds=0.3)).read(NOW)

    assert pages(ledger, NOW)["timed_out"] == 1.0


def test_a_compressed_page_that_unfolds_to_gigabytes_is_refused(
    engine: Any, new_source: NewSource, ledger: Ledger, answer: Any
) -> None:
    engine.respond = answer(gzip.compress(b"\n" * 64_000_000, 9), Content_Encoding="gzip")

    source = new_source(EngineTarget(url=engine.url, max_page_bytes=100_000))

    tracemalloc.start()
    try:
        source.read(NOW)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert pages(ledger, NOW)["too_large"] == 1.0
    assert peak_bytes < 8_000_000


def half_packed() -> bytes:
    """A gzip stream that breaks off where a line of the page ends."""
    packer = zlib.compressobj(wbits=31)
    return packer.compress(vllm_page().encode()) + packer.flush(zlib.Z_SYNC_FLUSH)


@pytest.mark.parametrize("packed", [b"no gzip at all\n", half_packed()])
def test_a_page_that_does_not_unfold_is_refused(
    packed: bytes, engine: Any, new_source: NewSource, ledger: Ledger, answer: Any
) -> None:
    engine.respond = answer(packed, Content_Encoding="gzip")

    new_source(EngineTarget(url=engine.url)).read(NOW)

    assert pages(ledger, NOW)["accepted"] == 0.0


def test_a_page_without_end_is_not_read_to_its_end(engine: Any, new_source: NewSource, ledger: Ledger) -> None:
    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(b"a 1\n" * 1000)
        except OSError:
            pass

    engine.respond = endless

    new_source(EngineTarget(url=engine.url, timeout_seconds=30, max_page_bytes=50_000)).read(NOW)

    assert pages(ledger, NOW)["too_large"] == 1.0


def test_llama_server_without_its_page_is_told_which_flag_is_missing(
    engine: Any, new_source: NewSource, caplog: pytest.LogCaptureFixture
) -> None:
    engine.respond = status(
        501, '{"error":{"message":"This server does not support metrics endpoint. Start it with `--metrics`"}}'
    )

    new_source(EngineTarget(url=engine.url)).read(NOW)

    assert "start llama-server with --metrics" in caplog.text
    assert "vLLM" not in caplog.text


@pytest.mark.parametrize(
    ("respond", "words"),
    [
        (status(404), ["--metrics", "return_perf_metrics", "`path`"]),
        (status(302, Location="http://elsewhere/metrics"), ["http://elsewhere/metrics", "`url`"]),
        (status(401), ["bearer_token_file"]),
        (status(200, "node_load1 1\npython_info 1\n"), ["node_load1", "no engine known here", "watchkeeper engines"]),
        (status(200, '{"a": 1}\n'), ["JSON", "`path`"]),
    ],
)
def test_the_log_line_says_what_to_do(
    respond: Any, words: list[str], engine: Any, new_source: NewSource, caplog: pytest.LogCaptureFixture
) -> None:
    engine.respond = respond

    new_source(EngineTarget(url=engine.url)).read(NOW)

    [record] = caplog.records
    assert all(word in record.getMessage() for word in words)


def test_a_port_where_something_accepts_and_says_nothing_times_out(new_source: NewSource, ledger: Ledger) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"

        new_source(EngineTarget(url=url, timeout_seconds=0.3)).read(NOW)

    assert pages(ledger, NOW)["timed_out"] == 1.0


def test_a_name_that_does_not_exist_is_unreachable(new_source: NewSource, ledger: Ledger) -> None:
    new_source(EngineTarget(url="http://nowhere.invalid:1", timeout_seconds=50)).read(NOW)

    assert pages(ledger, NOW)["unreachable"] == 1.0


def test_what_a_redirect_adds_to_the_address_is_not_logged(
    engine: Any, new_source: NewSource, caplog: pytest.LogCaptureFixture
) -> None:
    engine.respond = status(302, Location="http://login/oauth?state=secret")

    new_source(EngineTarget(url=engine.url)).read(NOW)

    assert "http://login/oauth" in caplog.text
    assert "secret" not in caplog.text
