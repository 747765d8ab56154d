from typing import Any

import pytest

from collector.engines import TABLES
from collector.engines.deltas import Deltas
from collector.engines.mindie import TABLE
from collector.engines.table import detect
from watchkeeper.core.records import Distribution
from watchkeeper.core.vocabulary import engines, requests


def line(kind: str, name: str, value: object, model: str = "llama") -> str:
    return f'# TYPE {name} {kind}\n{name}{{model_name="{model}"}} {value}'


def test_what_it_has_not_measured_is_absent_and_no_invalid_number(read: Any) -> None:
    said = read(
        TABLE,
        line("gauge", "npu_prefix_cache_hit_rate", "Nan"),
        line("gauge", "npu_cache_usage_perc", "Nan"),
        line("gauge", "num_requests_running", 2),
    )

    assert said.by(engines.PREFIX_HIT_RATIO) == said.by(engines.KV_CACHE) == {}
    assert said.by(engines.RUNNING) == {(): 2.0}
    assert not said.observation.invalid


def test_a_total_that_is_no_number_is_invalid(read: Any) -> None:
    said = read(TABLE, line("counter", "prompt_tokens_total", "Nan"), "npu_cache_usage_perc 0.5")

    assert said.by(engines.TOKENS) == {}
    assert said.observation.invalid == {engines.TOKENS.name: 1}


def test_several_models_in_one_label_stay_together(read: Any) -> None:
    said = read(TABLE, line("counter", "prompt_tokens_total", 30, "llama & qwen"))

    assert said.by(engines.TOKENS, "gen_ai.request.model", "gen_ai.token.type") == {("llama & qwen", "input"): 30.0}


def test_requests_are_received_finished_failed_swapped_and_pushed_out(read: Any) -> None:
    said = read(
        TABLE,
        line("counter", "request_received_total", 10),
        line("counter", "request_success_total", 7),
        line("counter", "request_failed_total", 2),
        line("gauge", "failed_request_perc", 0.2),
        line("gauge", "num_requests_swapped", 1),
        line("counter", "num_preemptions_total", 4),
    )

    assert said.by(engines.RECEIVED) == {(): 10.0}
    assert said.by(engines.FINISHED, "gen_ai.response.finish_reason") == {("unknown",): 7.0}
    assert said.by(engines.FAILED, "error.type") == {("_OTHER",): 2.0}
    assert said.by(engines.SWAPPED) == {(): 1.0}
    assert said.by(engines.PREEMPTIONS) == {(): 4.0}
    assert said.observation.unmapped == 1


def test_gauges_of_the_prefix_cache_that_only_grow_are_counted_as_totals_of_tokens(read: Any) -> None:
    deltas = Deltas(0.0, 100)
    pages = [
        read(TABLE, line("gauge", "all_radix_match_num", looked), line("gauge", "npu_radix_match_hit_num", hit))
        for looked, hit in ((100, 40), (150, 45))
    ]
    grown = [
        {key.metric: value for key, value in deltas.advance(page.observation.totals, float(turn)).increments.items()}
        for turn, page in enumerate(pages)
    ]

    assert grown[1] == {engines.PREFIX_QUERIES.name: 50.0, engines.PREFIX_HITS.name: 5.0}
    assert pages[0].by(engines.PREFIX_HITS, "cache.unit", "cache.location") == {("token", "local"): 40.0}


def test_its_time_per_output_token_is_one_between_tokens(read: Any, histogram: Any) -> None:
    name = "time_per_output_token_seconds"
    said = read(TABLE, f"# TYPE {name} histogram", histogram(name, 'model_name="llama"', count=9, total=0.5))

    assert said.by(engines.INTER_TOKEN_LATENCY) == {(): Distribution((1.0,), (0.0, 9.0), 0.5)}
    assert said.by(requests.SERVER_PER_TOKEN) == {}


@pytest.mark.parametrize(
    ("names", "known"),
    [
        ({"npu_cache_usage_perc"}, True),
        ({"request_received", "num_requests_running"}, True),
        ({"request_received"}, False),
        ({"num_requests_running", "num_requests_waiting", "request_success"}, False),
        ({"npu_cache_usage_perc", "vllm_num_requests_running"}, False),
        ({"npu_cache_usage_perc", "num_request_max", "gpu_cache_usage_perc"}, False),
    ],
)
def test_it_is_known_by_its_own_names_and_never_on_another_engines_page(names: set[str], known: bool) -> None:
    assert TABLE.matches(names) is known
    assert (detect(names, TABLES) is TABLE) is known
