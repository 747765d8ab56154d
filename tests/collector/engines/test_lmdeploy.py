from typing import Any

import pytest

from collector.engines.deltas import Deltas
from collector.engines.lmdeploy import TABLE
from watchkeeper.core.records import Distribution
from watchkeeper.core.vocabulary import engines, requests


def gauge(name: str, value: float) -> str:
    return f'# TYPE lmdeploy:{name} gauge\nlmdeploy:{name}{{engine="0",model_name="m"}} {value}'


def test_both_queues_are_waiting(read: Any) -> None:
    said = read(TABLE, gauge("num_requests_waiting", 3), gauge("num_api_requests_waiting", 4))
    older = read(TABLE, gauge("num_requests_waiting", 3))

    assert said.by(engines.WAITING, "gen_ai.request.model") == {("m",): 7.0}
    assert older.by(engines.WAITING) == {(): 3.0}


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("ResponseType.FINISH", "stop"),
        ("ResponseType.SUCCESS", "stop"),
        ("ResponseType.CANCEL", "abort"),
        ("ResponseType.INTERNAL_ENGINE_ERROR", "error"),
        ("ResponseType.INPUT_LENGTH_ERROR", "error"),
        ("ResponseType.BRAND_NEW", "error"),
        ("FINISH", "stop"),
    ],
)
def test_finish_reasons_are_the_common_words(read: Any, theirs: str, ours: str) -> None:
    name = "lmdeploy:request_success_total"
    said = read(TABLE, f"# TYPE {name} counter", f'{name}{{engine="0",finished_reason="{theirs}"}} 2')

    assert said.by(engines.FINISHED, "gen_ai.response.finish_reason") == {(ours,): 2.0}


def test_gauges_that_only_grow_are_counted_as_totals(read: Any) -> None:
    deltas = Deltas(0.0, 100)
    pages = [
        read(TABLE, gauge("num_requests_failed", value), gauge("num_requests_succeeded", 70)) for value in (5, 7, 1)
    ]
    grown = [
        {key.metric: value for key, value in deltas.advance(page.observation.totals, float(turn)).increments.items()}
        for turn, page in enumerate(pages)
    ]

    assert [page[engines.FAILED.name] for page in grown] == [0.0, 2.0, 1.0]
    assert pages[0].by(engines.FAILED, "error.type") == {("_OTHER",): 5.0}
    assert pages[0].by(engines.FINISHED, "gen_ai.response.finish_reason") == {("unknown",): 70.0}


def test_its_time_per_output_token_is_one_between_tokens_and_that_of_a_step_is_left_out(
    read: Any, histogram: Any
) -> None:
    token, step = "lmdeploy:time_per_output_token_seconds", "lmdeploy:iter_token_latency"
    said = read(
        TABLE,
        *(f"# TYPE {name} histogram" for name in (token, step)),
        histogram(token, 'engine="0"', count=50, total=1.5),
        histogram(step, 'engine="0"', count=20, total=1.5),
    )

    assert said.by(engines.INTER_TOKEN_LATENCY) == {(): Distribution((1.0,), (0.0, 50.0), 1.5)}
    assert said.by(requests.SERVER_PER_TOKEN) == {}
    assert said.observation.unmapped == 1


def test_its_cache_is_a_fraction_and_its_hit_rate_a_ratio(read: Any) -> None:
    said = read(TABLE, gauge("gpu_cache_usage_perc", 0.27), gauge("prefix_cache_hit_rate", 0.18))

    assert said.by(engines.KV_CACHE) == said.by(engines.KV_CACHE_MAX) == {(): 0.27}
    assert said.by(engines.PREFIX_HIT_RATIO) == {(): 0.18}


def test_a_histogram_named_like_a_total_is_left_unmapped(read: Any, histogram: Any) -> None:
    name = "lmdeploy:iteration_tokens_total"
    said = read(TABLE, f"# TYPE {name} histogram", histogram(name, 'engine="0"', count=3, total=9))

    assert (said.samples, said.observation.unmapped) == ((), 1)
