"""The source against real HTTP servers on loopback that behave well, badly and not at all."""

import gzip
import logging
import socket
import ssl
import threading
import tracemalloc
import zlib
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import trustme

from collector.engines import EngineTarget, build, poll_seconds, probe
from collector.engines.fault import Fault
from collector.engines.source import EnginesSource
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.metric import Metric
from watchkeeper.core.records import Reading, Reason
from watchkeeper.core.testkit.ports import free_port
from watchkeeper.core.vocabulary import engines

NOW = 1_000_000.0
NewSource = Callable[..., EnginesSource]


def vllm_page(tokens: float = 10, running: float = 2, created: float | None = None) -> str:
    start = "" if created is None else f'vllm:prompt_tokens_created{{model_name="m"}} {created}\n'
    return (
        "# TYPE vllm:prompt_tokens_total counter\n"
        f'vllm:prompt_tokens_total{{model_name="m"}} {tokens}\n{start}'
        "# TYPE vllm:num_requests_running gauge\n"
        f'vllm:num_requests_running{{model_name="m"}} {running}\n'
    )


def llama_page(tokens: float = 10) -> str:
    return f"# TYPE llamacpp:prompt_tokens_total counter\nllamacpp:prompt_tokens_total {tokens}\n"


def value(reading: Reading, metric: Metric, **labels: str) -> float | None:
    """Sum over the samples of `metric` with these labels (`_` for `.`); None when there is none."""
    found = [
        sample.value
        for sample in reading.samples
        if sample.metric == metric
        and labels.items() <= {name.replace(".", "_"): text for name, text in sample.labels}.items()
    ]
    return sum(number for number in found if isinstance(number, float | int)) if found else None


def count(ledger: Ledger) -> dict[str, float]:
    """Pages received and accepted, and rejected by reason."""
    counts: dict[str, float] = {}
    for sample in ledger.drain(NOW):
        labels = dict(sample.labels)
        if labels.get("signal") == "pages" and isinstance(sample.value, float):
            counts[labels.get("reason", sample.metric.name.rpartition(".")[2])] = sample.value
    return counts


def status(code: int, body: str = "", **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def respond(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, text in headers.items():
            handler.send_header(name.replace("_", "-"), text)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body.encode())

    return respond


def test_a_page_becomes_samples_and_the_ledger_adds_up(
    engine: Any, new_source: NewSource, ledger: Ledger, answer: Any
) -> None:
    engine.respond = answer(vllm_page(tokens=10, created=NOW + 1))
    source = new_source(EngineTarget(url=engine.url, name="chat"))

    reading = source.read(NOW)

    where = {"server_address": "127.0.0.1", "server_port": str(engine.port), "service_name": "chat"}
    assert value(reading, engines.ENGINE_UP, **where) == 1.0
    assert value(reading, engines.TOKENS, gen_ai_provider_name="vllm", gen_ai_request_model="m", **where) == 10.0
    assert value(reading, engines.RUNNING, **where) == 2.0
    assert value(reading, engines.UNMAPPED) == 0
    assert (value(reading, engines.SCRAPE_DURATION) or 0) > 0
    assert (value(reading, engines.SCRAPE_CPU) or 0) > 0
    assert (reading.items, reading.gaps) == (1, ())
    assert count(ledger) == {"received": 1.0, "accepted": 1.0}
    assert engine.headers[0]["accept"] == "text/plain;version=0.0.4"


def test_each_engine_is_read_at_its_own_interval(new_engine: Any, new_source: NewSource, answer: Any) -> None:
    quick, slow = new_engine(), new_engine()
    quick.respond = slow.respond = answer(vllm_page())
    source = new_source(EngineTarget(url=quick.url, interval_seconds=1), EngineTarget(url=slow.url, interval_seconds=5))

    pages = [source.read(NOW + tenth / 10).items for tenth in range(0, 110, 5)]

    assert (len(quick.asked), len(slow.asked)) == (11, 3)
    assert sum(pages) == 14


def test_a_clock_that_is_set_back_does_not_stop_the_scrape(engine: Any, new_source: NewSource, answer: Any) -> None:
    engine.respond = answer(vllm_page())
    source = new_source(EngineTarget(url=engine.url))

    assert [source.read(at).items for at in (NOW, NOW - 3600, NOW - 3599, NOW - 3595)] == [1, 1, 0, 1]


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
    assert count(ledger) == {"received": 4.0, "accepted": 2.0, fault.value: 2.0}

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
    assert count(ledger) == {"received": 1.0, "accepted": 0.0, fault.value: 1.0}


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

    assert count(ledger)["timed_out"] == 1.0


def test_an_engine_that_hangs_holds_up_no_other(new_engine: Any, new_source: NewSource, answer: Any) -> None:
    well, hung = new_engine(), new_engine()
    well.respond = answer(vllm_page())
    hung.respond = hung.hang
    source = new_source(
        EngineTarget(url=hung.url, timeout_seconds=50), EngineTarget(url=well.url), patience_seconds=0.05
    )

    pages = turn = 0
    while pages < 3 and turn < 200:
        pages += source.read(NOW + 5 * turn).items
        turn += 1

    assert pages == 3
    assert len(hung.asked) == 1


def test_a_page_that_comes_late_is_brought_by_a_later_read(engine: Any, new_source: NewSource, answer: Any) -> None:
    release = threading.Event()

    def late(handler: BaseHTTPRequestHandler) -> None:
        release.wait(60)
        answer(vllm_page())(handler)

    engine.respond = late
    source = new_source(EngineTarget(url=engine.url, timeout_seconds=50), patience_seconds=0.05)
    assert source.read(NOW) == Reading()

    release.set()
    reading = Reading()
    while not reading.items:
        reading = source.read(NOW + 1)

    assert value(reading, engines.RUNNING) == 2.0
    assert len(engine.asked) == 1


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_page_is_also_read_when_it_comes_compressed_unasked(
    encoding: str, engine: Any, new_source: NewSource, answer: Any
) -> None:
    packed = gzip.compress(vllm_page().encode()) if encoding == "gzip" else zlib.compress(vllm_page().encode())
    engine.respond = answer(packed, Content_Encoding=encoding)

    assert value(new_source(EngineTarget(url=engine.url)).read(NOW), engines.RUNNING) == 2.0


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

    assert count(ledger)["too_large"] == 1.0
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

    assert count(ledger)["accepted"] == 0.0


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

    assert count(ledger)["too_large"] == 1.0


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
        (status(404), ["--metrics", "--disable-log-stats", "`path`"]),
        (status(302, Location="http://elsewhere/metrics"), ["http://elsewhere/metrics", "`url`"]),
        (status(401), ["bearer_token_file"]),
        (status(200, "node_load1 1\npython_info 1\n"), ["node_load1", "no engine known here", "--disable-log-stats"]),
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


def test_counters_go_on_over_an_outage_and_a_restart(engine: Any, new_source: NewSource, answer: Any) -> None:
    source = new_source(EngineTarget(url=engine.url))
    pages = [
        answer(vllm_page(500, created=NOW - 99)), answer(vllm_page(520, created=NOW - 99)), status(500),
        answer(vllm_page(525, created=NOW - 99)), answer(vllm_page(4, created=NOW + 17)),
    ]  # fmt: skip
    tokens, resets = [], []
    for turn, respond in enumerate(pages):
        engine.respond = respond
        reading = source.read(NOW + 5 * turn)
        tokens.append(value(reading, engines.TOKENS))
        resets.append(value(reading, engines.RESETS))

    assert tokens == [0.0, 20.0, None, 5.0, 4.0]
    assert resets == [0.0, 0.0, None, 0.0, 1.0]


def test_a_gauge_that_leaves_the_page_goes_stale(engine: Any, new_source: NewSource, answer: Any) -> None:
    source = new_source(EngineTarget(url=engine.url))
    waiting = '# TYPE vllm:num_requests_waiting gauge\nvllm:num_requests_waiting{model_name="m"} 1\n'
    engine.respond = answer(vllm_page() + waiting)
    source.read(NOW)
    engine.respond = answer(vllm_page())

    [gap] = source.read(NOW + 5).gaps

    assert (gap.metric, gap.reason) == (engines.WAITING, Reason.LOST)
    assert dict(gap.labels)["gen_ai.request.model"] == "m"


def test_the_model_is_asked_once_and_again_after_a_restart(engine: Any, new_source: NewSource, answer: Any) -> None:
    def respond(tokens: float, start: str, model: str) -> Any:
        def choose(handler: BaseHTTPRequestHandler) -> None:
            if handler.path == "/props":
                status(200, f'{{"model_alias": "{model}"}}')(handler)
            else:
                answer(llama_page(tokens), Process_Start_Time_Unix=start)(handler)

        return choose

    source = new_source(EngineTarget(url=engine.url))
    models = []
    for turn, (tokens, start, model) in enumerate([(5, "7", "a"), (6, "7", "b"), (7, "7", "b"), (1, "9", "b")]):
        engine.respond = respond(tokens, start, model)
        reading = source.read(NOW + 5 * turn)
        models.append(
            {dict(s.labels).get("gen_ai.request.model") for s in reading.samples if s.metric == engines.TOKENS}
        )

    assert models == [{"a"}, {"a"}, {"a"}, {"b"}]
    assert engine.asked.count("/props") == 2


def test_an_engine_that_does_not_tell_its_model_is_not_asked_forever(
    engine: Any, new_source: NewSource, answer: Any
) -> None:
    engine.respond = answer(llama_page())
    source = new_source(EngineTarget(url=engine.url))

    readings = [source.read(NOW + 5 * turn) for turn in range(6)]

    assert engine.asked.count("/props") == 3
    assert all(value(reading, engines.ENGINE_UP) == 1.0 for reading in readings)


@pytest.mark.parametrize("told", ["[" * 5000, '{"data": []}', "\xff", '"' + "x" * 2_000_000 + '"', "null"])
def test_nonsense_about_the_model_costs_only_the_name(
    told: str, engine: Any, new_source: NewSource, answer: Any
) -> None:
    def respond(handler: BaseHTTPRequestHandler) -> None:
        (answer(llama_page()) if handler.path == "/metrics" else status(200, told))(handler)

    engine.respond = respond

    assert value(new_source(EngineTarget(url=engine.url)).read(NOW), engines.ENGINE_UP) == 1.0


def test_the_configured_model_is_used_where_the_page_has_none(engine: Any, new_source: NewSource, answer: Any) -> None:
    engine.respond = answer(llama_page())

    reading = new_source(EngineTarget(url=engine.url, model="tiny")).read(NOW)

    assert value(reading, engines.TOKENS, gen_ai_request_model="tiny") == 0.0
    assert engine.asked == ["/metrics"]


def test_headers_and_a_renewed_token_are_sent(
    engine: Any, new_source: NewSource, answer: Any, ledger: Ledger, tmp_path: Path
) -> None:
    engine.respond = answer(vllm_page())
    token = tmp_path / "token"
    source = new_source(EngineTarget(url=engine.url, headers={"X-Team": "a"}, bearer_token_file=str(token)))

    up = []
    for turn, text in enumerate(["first\n", "second", "two\nlines", None]):
        token.write_text(text) if text else token.unlink()
        up.append(value(source.read(NOW + 5 * turn), engines.ENGINE_UP))

    assert up == [1.0, 1.0, 0.0, 0.0]
    assert count(ledger)["not_permitted"] == 2.0
    assert [headers["authorization"] for headers in engine.headers] == ["Bearer first", "Bearer second"]
    assert engine.headers[0]["x-team"] == "a"


@pytest.mark.parametrize(
    ("url", "path", "asked"),
    [
        ("", "", "/metrics"),
        ("/", "", "/metrics"),
        ("/metrics/x?model=a", "", "/metrics/x?model=a"),
        ("", "metrics/y", "/metrics/y"),
    ],
)
def test_the_path_comes_from_the_url_the_setting_or_the_engines_default(
    url: str, path: str, asked: str, engine: Any, new_source: NewSource, answer: Any
) -> None:
    engine.respond = answer(vllm_page())

    assert new_source(EngineTarget(url=engine.url + url, path=path)).read(NOW).items == 1
    assert engine.asked == [asked]


def test_tls_is_checked_against_the_given_authority(ledger: Ledger, tmp_path: Path, engine: Any, answer: Any) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    engine._server.socket = context.wrap_socket(engine._server.socket, server_side=True)
    engine.respond = answer(vllm_page())
    url = engine.url.replace("http://", "https://")

    def up(**settings: str) -> float | None:
        source = build((EngineTarget(url=url, timeout_seconds=30, **settings),), ledger)  # type: ignore[arg-type]
        try:
            reading = source.read(NOW)
            while not reading.samples:
                reading = source.read(NOW)
            return value(reading, engines.ENGINE_UP)
        finally:
            source.close()

    assert up(ca_file=str(tmp_path / "ca.pem")) == 1.0
    assert up() == 0.0
    assert count(ledger)["bad_certificate"] == 1.0


def test_after_close_nothing_is_read_and_no_socket_is_left(engine: Any, new_source: NewSource) -> None:
    engine.respond = engine.hang
    source = new_source(EngineTarget(url=engine.url, timeout_seconds=50), patience_seconds=0.05)
    source.read(NOW)

    source.close()
    source.close()

    assert source.read(NOW + 5) == Reading()


def test_our_own_mistake_in_one_engine_stays_there(
    new_engine: Any, new_source: NewSource, answer: Any, monkeypatch: pytest.MonkeyPatch, ledger: Ledger
) -> None:
    well, ill = new_engine(), new_engine()
    well.respond, ill.respond = answer(vllm_page()), answer(llama_page())
    monkeypatch.setattr("collector.engines.target.names_model", lambda _page, table: 1 // (table.name == "vllm"))
    source = new_source(EngineTarget(url=ill.url), EngineTarget(url=well.url))

    reading = source.read(NOW)

    assert value(reading, engines.ENGINE_UP, server_port=str(well.port)) == 1.0
    assert value(reading, engines.ENGINE_UP, server_port=str(ill.port)) == 0.0
    assert count(ledger) == {"received": 2.0, "accepted": 1.0, "internal": 1.0}


def test_the_same_engine_twice_and_an_unreadable_authority_are_told_together(ledger: Ledger, tmp_path: Path) -> None:
    nowhere = str(tmp_path / "none.pem")

    with pytest.raises(ConfigError) as refused:
        build(
            (
                EngineTarget(url="http://a:1"), EngineTarget(url="http://a:1/"),
                EngineTarget(url="https://b", ca_file=nowhere), EngineTarget(url="https://c", ca_file=__file__),
            ),
            ledger,
        )  # fmt: skip

    assert len(refused.value.problems) == 3
    assert "a:1 is listed 2 times" in str(refused.value)
    assert "engines[2].ca_file" in str(refused.value)


@pytest.mark.parametrize(
    "url", ["", "host:8000", "ftp://host", "http://", "http://host:0", "http://host:99999", "http://u:p@host"]
)
def test_an_address_that_cannot_be_used_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="url must"):
        EngineTarget(url=url)


def test_a_header_that_would_break_the_request_is_refused() -> None:
    with pytest.raises(ValueError, match="headers"):
        EngineTarget(url="http://host", headers={"a": "b\r\nc: d"})


def test_the_source_is_asked_often_enough_for_the_shortest_interval() -> None:
    assert poll_seconds((EngineTarget(url="http://a"),)) == 1.0
    assert poll_seconds((EngineTarget(url="http://a", interval_seconds=0.5), EngineTarget(url="http://b"))) == 0.25


def test_doctor_says_which_engine_it_is_and_what_it_does_not_expose(new_engine: Any, answer: Any) -> None:
    vllm, llama = new_engine(), new_engine()

    def with_version(handler: BaseHTTPRequestHandler) -> None:
        (status(200, '{"version": "0.33.0"}') if handler.path == "/version" else answer(vllm_page()))(handler)

    vllm.respond, llama.respond = with_version, status(501, "`--metrics`")
    down = f"http://127.0.0.1:{free_port()}"

    lines = probe((EngineTarget(url=vllm.url), EngineTarget(url=llama.url), EngineTarget(url=down)))

    assert lines[0] == f"{vllm.url}: vLLM 0.33.0, model m; 2 series mapped, 0 not"
    assert any("--speculative-config" in line and engines.DRAFTS.name in line for line in lines)
    assert any(line.startswith(f"! {llama.url}") and "--metrics" in line for line in lines)
    assert any(line.startswith(f"! {down}") for line in lines)


def test_doctor_tells_a_configuration_that_cannot_work() -> None:
    [line] = probe((EngineTarget(url="https://a", ca_file="none.pem"),))

    assert line.startswith("! engines[0].ca_file")


def test_a_port_where_something_accepts_and_says_nothing_times_out(new_source: NewSource, ledger: Ledger) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"

        new_source(EngineTarget(url=url, timeout_seconds=0.3)).read(NOW)

    assert count(ledger)["timed_out"] == 1.0


def test_a_name_server_that_hangs_holds_up_no_other_engine_and_no_shutdown(
    engine: Any, new_source: NewSource, answer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    ask = socket.getaddrinfo

    def hang_for_one(host: str, *arguments: Any, **options: Any) -> Any:
        asked.append(host)
        if host == "hung.invalid":
            engine.released.wait(60)
        return ask("127.0.0.1", *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", hang_for_one)
    engine.respond = answer(vllm_page())
    hung = [EngineTarget(url="http://hung.invalid:1", path=f"/{n}", timeout_seconds=0.1) for n in range(40)]
    source = new_source(
        *hung, EngineTarget(url=f"http://well.invalid:{engine.port}", timeout_seconds=50), patience_seconds=0.2
    )

    pages = turn = 0
    while pages < 3 and turn < 200:
        pages += source.read(NOW + 5 * turn).items
        turn += 1
    closing = threading.Thread(target=source.close, daemon=True)
    closing.start()
    closing.join(20)

    assert pages == 3
    assert not closing.is_alive()
    assert asked.count("hung.invalid") == 1


def test_a_name_that_does_not_exist_is_unreachable(new_source: NewSource, ledger: Ledger) -> None:
    new_source(EngineTarget(url="http://nowhere.invalid:1", timeout_seconds=50)).read(NOW)

    assert count(ledger)["unreachable"] == 1.0
