"""The source against real HTTP servers on loopback: pages, intervals, models, paths."""

import gzip
import zlib
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from collector._pages.source import PagesSource
from collector.engines import EngineTarget
from watchkeeper.agent.aggregate import Aggregate
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Reason
from watchkeeper.core.testkit.engine_pages import llama_page, pages, status, value, vllm_page
from watchkeeper.core.vocabulary import engines

NOW = 1_000_000.0
NewSource = Callable[..., PagesSource]


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
    assert pages(ledger, NOW) == {"received": 1.0, "accepted": 1.0}
    assert engine.headers[0]["accept"] == "text/plain;version=0.0.4"


def test_each_engine_is_read_at_its_own_interval(new_engine: Any, new_source: NewSource, answer: Any) -> None:
    quick, slow = new_engine(), new_engine()
    quick.respond = slow.respond = answer(vllm_page())
    source = new_source(
        EngineTarget(url=quick.url, path="/metrics", interval_seconds=1), EngineTarget(url=slow.url, path="/metrics")
    )

    pages = [source.read(NOW + tenth / 10).items for tenth in range(0, 110, 5)]

    assert (len(quick.asked), len(slow.asked)) == (11, 3)
    assert sum(pages) == 14


def test_a_clock_that_is_set_back_does_not_stop_the_scrape(engine: Any, new_source: NewSource, answer: Any) -> None:
    engine.respond = answer(vllm_page())
    source = new_source(EngineTarget(url=engine.url))

    assert [source.read(at).items for at in (NOW, NOW - 3600, NOW - 3599, NOW - 3595)] == [1, 1, 0, 1]


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_page_is_also_read_when_it_comes_compressed_unasked(
    encoding: str, engine: Any, new_source: NewSource, answer: Any
) -> None:
    packed = gzip.compress(vllm_page().encode()) if encoding == "gzip" else zlib.compress(vllm_page().encode())
    engine.respond = answer(packed, Content_Encoding=encoding)

    assert value(new_source(EngineTarget(url=engine.url)).read(NOW), engines.RUNNING) == 2.0


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


def test_a_gauge_that_gets_a_label_more_is_not_there_twice(engine: Any, new_source: NewSource, answer: Any) -> None:
    aggregate = Aggregate(Ledger(), max_series=100, max_values_per_label=10)
    source = new_source(EngineTarget(url=engine.url))
    for turn, labels in enumerate(["", '{model_name="m"}']):
        engine.respond = answer(f"# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running{labels} 2\n")
        reading = source.read(NOW + 5 * turn)
        for sample in reading.samples:
            aggregate.apply(sample)
        aggregate.forget(*reading.gaps)

    models = [
        dict(point.labels).get("gen_ai.request.model")
        for point in aggregate.changed()[0]
        if point.metric == engines.RUNNING
    ]
    assert models == ["m"]


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

    reading = new_source(EngineTarget(url=f"{engine.url}/metrics", model="tiny")).read(NOW)

    assert value(reading, engines.TOKENS, gen_ai_request_model="tiny") == 0.0
    assert engine.asked == ["/metrics"]


@pytest.mark.parametrize(
    ("url", "path", "asked"),
    [("/metrics/x?model=a", "", "/metrics/x?model=a"), ("", "metrics/y", "/metrics/y"), ("/", "/metrics", "/metrics")],
)
def test_the_path_comes_from_the_url_or_the_setting(
    url: str, path: str, asked: str, engine: Any, new_source: NewSource, answer: Any
) -> None:
    engine.respond = answer(vllm_page())

    assert new_source(EngineTarget(url=engine.url + url, path=path)).read(NOW).items == 1
    assert engine.asked == [asked]
