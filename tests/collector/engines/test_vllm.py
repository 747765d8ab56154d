from collections.abc import Mapping

import pytest

from collector._pages.page import parse
from collector.engines import vllm
from collector.engines.deltas import Deltas
from collector.engines.mapping import Observation, observe, samples
from watchkeeper.core.metric import Metric
from watchkeeper.core.records import Distribution, Sample
from watchkeeper.core.vocabulary import engines, requests

Seen = Mapping[tuple[tuple[str, str], ...], float | Distribution]


def look(*lines: str) -> Observation:
    page = parse(("\n".join(lines) + "\n").encode(), 1000)
    return observe(page, vllm.TABLE, {"server.address": "host", "gen_ai.operation.name": "chat"})


def counted(observation: Observation) -> tuple[Sample, ...]:
    """All of the page's totals in full."""
    return samples(observation, {key: total.value for key, total in observation.totals.items()}, 1.0)


def seen(observation: Observation, metric: Metric, *labels: str) -> Seen:
    """Values of `metric` by these labels of it."""
    return {
        tuple((name, value) for name, value in sample.labels if name in labels): sample.value
        for sample in counted(observation)
        if sample.metric == metric
    }


def histogram(name: str, labels: str, *, count: int, total: float, bounds: str = "1") -> tuple[str, ...]:
    return (
        f"# TYPE {name} histogram",
        f'{name}_bucket{{{labels},le="{bounds}"}} 0',
        f'{name}_bucket{{{labels},le="+Inf"}} {count}',
        f"{name}_sum{{{labels}}} {total}",
        f"{name}_count{{{labels}}} {count}",
    )


def test_counters_and_gauges_of_requests_add_up_over_ranks() -> None:
    observation = look(
        "# TYPE vllm:num_requests_running gauge",
        'vllm:num_requests_running{engine="0",model_name="m"} 7',
        'vllm:num_requests_running{engine="1",model_name="m"} 5',
        "# TYPE vllm:generation_tokens_total counter",
        'vllm:generation_tokens_total{engine="0",model_name="m"} 100',
        'vllm:generation_tokens_total{engine="1",model_name="m"} 11',
    )

    assert seen(observation, engines.RUNNING) == {(): 12.0}
    assert seen(observation, engines.TOKENS, "gen_ai.token.type") == {(("gen_ai.token.type", "output"),): 111.0}


def test_the_kv_cache_is_the_mean_over_ranks_and_the_fullest_one() -> None:
    observation = look(
        "# TYPE vllm:kv_cache_usage_perc gauge",
        'vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.62',
        'vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.38',
    )

    assert seen(observation, engines.KV_CACHE) == {(): 0.5}
    assert seen(observation, engines.KV_CACHE_MAX) == {(): 0.62}


def test_models_are_kept_apart_and_a_series_without_model_takes_the_only_one() -> None:
    running = ["# TYPE vllm:num_requests_running gauge", 'vllm:num_requests_running{model_name="a"} 1']
    errors = ["# TYPE http_requests_total counter", 'http_requests_total{status="5xx"} 2']
    label = "gen_ai.request.model"

    one = look(*running, *errors)
    two = look(*running, 'vllm:num_requests_running{model_name="b"} 3', *errors)

    assert seen(one, engines.FAILED, label) == {((label, "a"),): 2.0}
    assert seen(two, engines.RUNNING, label) == {((label, "a"),): 1.0, ((label, "b"),): 3.0}
    assert seen(two, engines.FAILED, label) == {(): 2.0}


@pytest.mark.parametrize(
    ("newer", "older", "metric"),
    [
        ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc", engines.KV_CACHE),
        ("vllm:prefix_cache_hits_total", "vllm:gpu_prefix_cache_hits_total", engines.PREFIX_HITS),
    ],
)
def test_the_newer_name_is_used_and_the_older_one_where_it_stands_alone(newer: str, older: str, metric: Metric) -> None:
    kind = "counter" if newer.endswith("_total") else "gauge"
    new, old = (f"# TYPE {newer} {kind}", f"{newer} 0.5"), (f"# TYPE {older} {kind}", f"{older} 0.25")

    assert list(seen(look(*old, *new), metric).values()) == [0.5]
    assert list(seen(look(*old), metric).values()) == [0.25]


def test_a_new_family_that_is_still_empty_is_not_replaced_by_the_old_one() -> None:
    observation = look(
        "# TYPE vllm:prompt_tokens_cached_by_source_total counter",
        "# TYPE vllm:prompt_tokens_by_source_total counter",
        'vllm:prompt_tokens_by_source_total{source="local_cache_hit"} 9',
    )

    assert seen(observation, engines.CACHED_TOKENS) == {}


def test_cached_tokens_by_source_leave_out_what_was_computed() -> None:
    observation = look(
        "# TYPE vllm:prompt_tokens_by_source_total counter",
        'vllm:prompt_tokens_by_source_total{source="local_compute"} 1000',
        'vllm:prompt_tokens_by_source_total{source="local_cache_hit"} 10',
        'vllm:prompt_tokens_by_source_total{source="external_kv_transfer"} 1',
    )

    assert seen(observation, engines.CACHED_TOKENS, "cache.source") == {
        (("cache.source", "device"),): 10.0,
        (("cache.source", "remote"),): 1.0,
    }


def test_of_two_families_of_cached_tokens_the_finer_one_is_used_and_they_are_never_added() -> None:
    observation = look(
        "# TYPE vllm:prompt_tokens_cached_by_source_total counter",
        'vllm:prompt_tokens_cached_by_source_total{source="device"} 8',
        'vllm:prompt_tokens_cached_by_source_total{source="host"} 2',
        'vllm:prompt_tokens_cached_by_source_total{source="p2p"} 3',
        'vllm:prompt_tokens_cached_by_source_total{source="external_unspecified"} 4',
        'vllm:prompt_tokens_cached_by_source_total{source="tape"} 5',
        "# TYPE vllm:prompt_tokens_by_source_total counter",
        'vllm:prompt_tokens_by_source_total{source="local_cache_hit"} 10',
    )

    assert seen(observation, engines.CACHED_TOKENS, "cache.source") == {
        (("cache.source", "device"),): 8.0,
        (("cache.source", "host"),): 2.0,
        (("cache.source", "remote"),): 7.0,
        (("cache.source", "unknown"),): 5.0,
    }


def test_finish_reasons_become_the_common_words_and_new_ones_other() -> None:
    words = {"stop": "stop", "length": "length", "abort": "abort", "error": "error", "repetition": "repetition",
             "tool_calls": "tool_call", "tired": "other"}  # fmt: skip
    observation = look(
        "# TYPE vllm:request_success_total counter",
        *(f'vllm:request_success_total{{finished_reason="{word}"}} 1' for word in words),
    )

    label = "gen_ai.response.finish_reason"
    assert seen(observation, engines.FINISHED, label) == {((label, word),): 1.0 for word in words.values()}


def test_answers_of_the_http_server_count_as_failed_by_class_and_successes_do_not() -> None:
    observation = look(
        "# TYPE http_requests_total counter",
        *(
            f'http_requests_total{{handler="/v1",status="{status}"}} 1'
            for status in ("2xx", "4xx", "5xx", "429", "307")
        ),
    )

    assert seen(observation, engines.FAILED, "error.type") == {
        (("error.type", "4xx"),): 2.0,
        (("error.type", "5xx"),): 1.0,
    }


@pytest.mark.parametrize(("written", "ratio"), [("-1", []), ("-1.0", []), ("0.25", [0.25]), ("0", [0.0])])
def test_a_hit_rate_of_minus_one_means_off(written: str, ratio: list[float]) -> None:
    observation = look("# TYPE vllm:gpu_prefix_cache_hit_rate gauge", f"vllm:gpu_prefix_cache_hit_rate {written}")

    assert list(seen(observation, engines.PREFIX_HIT_RATIO).values()) == ratio
    assert not observation.invalid


def test_the_capacity_of_the_kv_cache_stands_in_labels() -> None:
    family = "vllm:cache_config_info"
    known = f'{family}{{block_size="16",num_gpu_blocks="100"}} 1.0'
    unknown = f'{family}{{block_size="16",num_gpu_blocks="None"}} 1.0'

    assert seen(look(f"# TYPE {family} gauge", known), engines.KV_CACHE_CAPACITY) == {(): 1600.0}
    assert seen(look(f"# TYPE {family} gauge", unknown), engines.KV_CACHE_CAPACITY) == {}


def test_histograms_keep_the_engines_bounds_and_add_up_over_ranks() -> None:
    name = "vllm:time_to_first_token_seconds"
    observation = look(
        *histogram(name, 'engine="0",model_name="m"', count=2, total=1.5, bounds="0.3"),
        *histogram(name, 'engine="1",model_name="m"', count=3, total=2.5, bounds="0.3")[1:],
    )

    assert seen(observation, requests.SERVER_FIRST_TOKEN, "gen_ai.operation.name", requests.VANTAGE) == {
        (("gen_ai.operation.name", "chat"), ("watchkeeper.vantage", "page")): Distribution((0.3,), (0.0, 5.0), 4.0)
    }


def test_ranks_with_other_bounds_are_not_added_by_bucket() -> None:
    name = "vllm:e2e_request_latency_seconds"
    observation = look(
        *histogram(name, 'engine="0"', count=2, total=1.5, bounds="0.3"),
        *histogram(name, 'engine="1"', count=3, total=2.5, bounds="0.5")[1:],
    )

    values = [sample.value for sample in counted(observation) if sample.metric == requests.SERVER_DURATION]
    assert values == [Distribution((0.3,), (0.0, 2.0), 1.5), Distribution((0.5,), (0.0, 3.0), 2.5)]


def test_per_request_and_per_token_times_stay_two_metrics() -> None:
    observation = look(
        *histogram("vllm:request_time_per_output_token_seconds", 'engine="0"', count=2, total=0.1),
        *histogram("vllm:inter_token_latency_seconds", 'engine="0"', count=50, total=1.0),
        *histogram("vllm:time_per_output_token_seconds", 'engine="0"', count=49, total=0.9),
    )

    assert seen(observation, requests.SERVER_PER_TOKEN) == {(): Distribution((1.0,), (0.0, 2.0), 0.1)}
    assert seen(observation, engines.INTER_TOKEN_LATENCY) == {(): Distribution((1.0,), (0.0, 50.0), 1.0)}


@pytest.mark.parametrize("number", ["NaN", "-3", "+Inf"])
@pytest.mark.parametrize(
    ("family", "metric"),
    [("vllm:prompt_tokens_total", engines.TOKENS), ("vllm:num_requests_running", engines.RUNNING)],
)
def test_a_number_that_cannot_be_right_is_left_out_and_counted(number: str, family: str, metric: Metric) -> None:
    observation = look(f'{family}{{engine="0"}} {number}', f'{family}{{engine="1"}} 4', "a 1")

    assert list(seen(observation, metric).values()) == [4.0]
    assert observation.invalid == {metric.name: 1}


def test_a_family_of_another_kind_than_expected_is_counted_as_wrong_not_guessed() -> None:
    observation = look(*histogram("vllm:prompt_tokens_total", 'engine="0"', count=2, total=1.5))

    assert seen(observation, engines.TOKENS) == {}
    assert observation.invalid == {engines.TOKENS.name: 1}


def test_series_that_no_row_knows_are_counted() -> None:
    observation = look(
        "# TYPE vllm:num_requests_running gauge", 'vllm:num_requests_running{engine="0"} 1',
        "# TYPE vllm:gpu_cache_usage_perc gauge", "vllm:gpu_cache_usage_perc 0.5",
        "# TYPE vllm:kv_cache_usage_perc gauge", "vllm:kv_cache_usage_perc 0.5",
        "# TYPE vllm:brand_new gauge", 'vllm:brand_new{x="1"} 1', 'vllm:brand_new{x="2"} 1',
        *histogram("python_gc", 'x="1"', count=1, total=1),
    )  # fmt: skip

    assert (observation.mapped, observation.unmapped) == (3, 3)


def test_a_restart_of_the_engine_keeps_our_counter_growing() -> None:
    def step(deltas: Deltas, total: float, created: float, now: float) -> float | Distribution:
        family = "vllm:prompt_tokens"
        observation = look(
            f"# TYPE {family}_total counter", f"{family}_total {total}",
            f"# TYPE {family}_created gauge", f"{family}_created {created}",
        )  # fmt: skip
        increments = deltas.advance(observation.totals, now).increments
        [sample] = samples(observation, increments, now)
        return sample.value

    deltas = Deltas(1e9, 100)

    assert [
        step(deltas, 500, 9e8, 1e9),
        step(deltas, 520, 9e8, 1e9 + 5),
        step(deltas, 30, 1e9 + 7, 1e9 + 10),
        step(deltas, 31, 1e9 + 7, 1e9 + 15),
    ] == [0.0, 20.0, 30.0, 1.0]


def test_the_router_in_front_of_engines_is_none_of_them() -> None:
    router = ("vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:current_qps", "vllm:healthy_pods_total")
    engine = ("vllm:num_requests_running", "vllm:num_requests_waiting")

    assert not vllm.TABLE.matches({name.replace(":", "_") for name in router})
    assert vllm.TABLE.matches({name.replace(":", "_") for name in engine})


def test_requests_swapped_out_by_the_old_engine_are_told() -> None:
    observation = look("# TYPE vllm:num_requests_swapped gauge", 'vllm:num_requests_swapped{model_name="m"} 2')

    assert seen(observation, engines.SWAPPED) == {(): 2.0}


def test_a_share_above_the_whole_is_in_percent_and_left_out() -> None:
    percent = look("# TYPE vllm:kv_cache_usage_perc gauge", 'vllm:kv_cache_usage_perc{model_name="m"} 45')
    full = look("# TYPE vllm:kv_cache_usage_perc gauge", 'vllm:kv_cache_usage_perc{model_name="m"} 1.0000001')

    assert not percent.gauges
    assert percent.invalid[engines.KV_CACHE.name] == 1
    assert seen(full, engines.KV_CACHE) == {(): 1.0000001}


def test_a_path_that_the_server_does_not_have_is_no_request_that_failed() -> None:
    observation = look(
        "# TYPE http_requests_total counter",
        'http_requests_total{handler="none",method="GET",status="4xx"} 9',
        'http_requests_total{handler="/v1/completions",method="POST",status="4xx"} 2',
    )

    assert seen(observation, engines.FAILED, "error.type") == {(("error.type", "4xx"),): 2.0}
