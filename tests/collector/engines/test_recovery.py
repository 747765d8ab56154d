"""Engines that restart, change while they run, or answer nonsense: totals only grow, gaps show, it mends by itself."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector._pages.source import PagesSource
from collector.engines import TABLES
from collector.engines.config import EngineTarget
from collector.engines.target import Target
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Reading, Reason
from watchkeeper.core.testkit.engine_pages import Respond, by_path, llama_page, status, value, vllm_page
from watchkeeper.core.vocabulary import engines

NOW = 1_000_000.0
NewSource = Callable[..., PagesSource]


def queries(name: str, total: float, more: str = "") -> str:
    return f'# TYPE {name} counter\n{name}{{engine="0",model_name="m"}} {total}\n{more}'


def usage(name: str, share: float) -> str:
    return f'# TYPE {name} gauge\n{name}{{engine="0",model_name="m"}} {share}\n'


def sglang_page(tokens: float) -> str:
    return f'# TYPE sglang:prompt_tokens_total counter\nsglang:prompt_tokens_total{{model_name="m"}} {tokens}\n'


def watch(source: PagesSource, engine: Any, answers: list[Respond]) -> list[Reading]:
    readings = []
    for turn, respond in enumerate(answers):
        engine.respond = by_path({"/metrics": respond})
        readings.append(source.read(NOW + 5 * turn))
    return readings


def test_an_upgrade_that_renames_a_gauge_goes_on_under_the_same_name(engine: Any, new_source: NewSource) -> None:
    source = new_source(EngineTarget(url=engine.url))
    old, new = usage("vllm:gpu_cache_usage_perc", 0.25), usage("vllm:kv_cache_usage_perc", 0.5)

    readings = watch(source, engine, [status(200, old), status(200, old + new), status(200, new)])

    assert [value(reading, engines.KV_CACHE) for reading in readings] == [0.25, 0.5, 0.5]
    assert not any(reading.gaps for reading in readings)


def test_an_upgrade_that_renames_a_counter_counts_nothing_twice(engine: Any, new_source: NewSource) -> None:
    source = new_source(EngineTarget(url=engine.url))
    old, new = "vllm:gpu_prefix_cache_queries_total", "vllm:prefix_cache_queries_total"
    bodies = [queries(old, 100), queries(old, 110), queries(old, 115, queries(new, 5)), queries(new, 9)]

    readings = watch(source, engine, [status(200, body) for body in bodies])

    by_block = [value(reading, engines.PREFIX_QUERIES, cache_unit="block") for reading in readings]
    by_token = [value(reading, engines.PREFIX_QUERIES, cache_unit="token") for reading in readings]
    assert by_block == [0.0, 10.0, None, None]
    assert by_token == [None, None, 0.0, 4.0]


def test_another_engine_at_the_same_address_is_known_and_counts_for_itself(engine: Any, new_source: NewSource) -> None:
    source = new_source(EngineTarget(url=engine.url))
    answers = [
        status(200, vllm_page(500)), status(200, vllm_page(510)), status(502), status(200, sglang_page(300)),
        status(200, sglang_page(307)), status(200, vllm_page(520)),
    ]  # fmt: skip

    readings = watch(source, engine, answers)

    vllm = [value(reading, engines.TOKENS, gen_ai_provider_name="vllm") for reading in readings]
    sglang = [value(reading, engines.TOKENS, gen_ai_provider_name="sglang") for reading in readings]
    assert vllm == [0.0, 10.0, None, None, None, 10.0]
    assert sglang == [None, None, None, 0.0, 7.0, None]
    lost = {gap.metric for reading in readings for gap in reading.gaps if gap.reason is Reason.LOST}
    assert engines.RUNNING in lost


@pytest.mark.parametrize(
    "nonsense",
    [
        "<html>down for maintenance</html>\n",
        "{}\n",
        "vllm:prompt_tokens_total{",
        "\x00\x01\n",
        "Nan\n",
        "a b c d\n" * 5,
    ],
    ids=["html", "json", "half a line", "bytes", "no name", "no page"],
)
def test_nonsense_for_a_while_is_a_gap_and_costs_nothing_of_the_total(
    nonsense: str, engine: Any, new_source: NewSource
) -> None:
    source = new_source(EngineTarget(url=engine.url))
    good, odd = status(200, vllm_page(100)), status(200, nonsense)

    readings = watch(source, engine, [good, odd, odd, status(200, vllm_page(130)), status(200, vllm_page(131))])

    assert [value(reading, engines.TOKENS) for reading in readings] == [0.0, None, None, 30.0, 1.0]
    assert [value(reading, engines.ENGINE_UP) for reading in readings] == [1.0, 0.0, 0.0, 1.0, 1.0]
    assert [bool(reading.gaps) for reading in readings] == [False, True, True, False, False]
    assert [value(reading, engines.RUNNING) for reading in readings] == [2.0, None, None, 2.0, 2.0]


@pytest.mark.parametrize("number", ["NaN", "-5", "+Inf", "-Inf"])
def test_a_number_that_cannot_be_right_is_left_out_and_counted(
    number: str, engine: Any, new_source: NewSource, ledger: Ledger
) -> None:
    source = new_source(EngineTarget(url=engine.url))
    body = vllm_page(100).replace("} 100\n", f"}} {number}\n")

    readings = watch(source, engine, [status(200, vllm_page(90)), status(200, body), status(200, vllm_page(120))])

    assert [value(reading, engines.TOKENS) for reading in readings] == [0.0, None, 30.0]
    [invalid] = [sample for sample in ledger.drain(NOW) if dict(sample.labels).get("field") == engines.TOKENS.name]
    assert invalid.value == 1.0


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(
    st.integers(0, 50).map(lambda tokens: ("vllm", tokens)),
    st.integers(0, 50).map(lambda tokens: ("restart", tokens)),
    st.sampled_from([("llama", 3), ("html", 0), ("500", 0), ("json", 0)]),
), max_size=12))  # fmt: skip
def test_whatever_an_engine_does_no_increment_is_negative(engine: Any, turns: list[tuple[str, int]]) -> None:
    total, created = 0, NOW - 100
    source = PagesSource([Target(EngineTarget(url=engine.url, timeout_seconds=60), TABLES, Ledger())], 60.0)
    grown = 0.0
    counted = 0
    try:
        for turn, (what, tokens) in enumerate([("vllm", 0), *turns]):
            now = NOW + 5 * turn
            if what == "restart":
                total, created = 0, now - 1
            if what in ("vllm", "restart"):
                total += tokens
                counted += tokens
            bodies = {"llama": llama_page(3), "html": "<html>\n", "json": "{}\n"}
            body = bodies.get(what, vllm_page(total, created=created))
            engine.respond = by_path({"/metrics": status(500 if what == "500" else 200, body)})
            reading = source.read(now)
            increments = [s.value for s in reading.samples if s.metric == engines.TOKENS and isinstance(s.value, float)]
            assert all(increment >= 0 for increment in increments)
            grown += value(reading, engines.TOKENS, gen_ai_provider_name="vllm") or 0.0
        engine.respond = by_path({"/metrics": status(200, vllm_page(total, created=created))})
        grown += value(source.read(NOW + 5000), engines.TOKENS, gen_ai_provider_name="vllm") or 0.0
    finally:
        source.close()

    assert grown == counted


def test_engines_that_take_turns_behind_one_address_are_told_once_and_a_restart_is_not(
    engine: Any, new_source: NewSource, caplog: pytest.LogCaptureFixture
) -> None:
    several, alone = "under its own `url`", [100, 110, 5, 15, 25, 35, 45, 55, 2, 12]
    watch(new_source(EngineTarget(url=engine.url)), engine, [status(200, vllm_page(tokens)) for tokens in alone])
    quiet = caplog.text

    turns = [status(200, vllm_page(tokens)) for turn in range(8) for tokens in (100 + turn, 50 + turn)]
    watch(new_source(EngineTarget(url=engine.url)), engine, turns)

    assert several not in quiet
    assert caplog.text.count(several) == 1
