from typing import Any

import pytest

from collector.engines.deltas import Deltas
from collector.engines.sglang import TABLE
from watchkeeper.core.metric import Metric
from watchkeeper.core.records import Distribution
from watchkeeper.core.vocabulary import engines, requests


def gauge(name: str, *series: tuple[str, float]) -> list[str]:
    return [f"# TYPE sglang:{name} gauge", *(f"sglang:{name}{{{labels}}} {value}" for labels, value in series)]


def counter(name: str, *series: tuple[str, float]) -> list[str]:
    return [f"# TYPE sglang:{name} counter", *(f"sglang:{name}{{{labels}}} {value}" for labels, value in series)]


def many(count: float, total: float) -> Distribution:
    return Distribution((1.0,), (0.0, count), total)


@pytest.mark.parametrize(
    ("name", "metric"), [("num_running_reqs", engines.RUNNING), ("num_queue_reqs", engines.WAITING)]
)
def test_requests_add_up_over_data_ranks_and_other_ranks_tell_the_same_ones(
    read: Any, name: str, metric: Metric
) -> None:
    said = read(
        TABLE,
        *gauge(
            name,
            ('dp_rank="0",moe_ep_rank="0",pp_rank="0",tp_rank="0"', 3),
            ('dp_rank="0",moe_ep_rank="1",pp_rank="0",tp_rank="1"', 4),
            ('dp_rank="0",moe_ep_rank="0",pp_rank="1",tp_rank="0"', 9),
            ('dp_rank="1",moe_ep_rank="2",pp_rank="0",tp_rank="2"', 5),
        ),
    )

    assert said.by(metric) == {(): 9.0}


def test_with_priorities_the_total_counts_and_not_its_parts_again(read: Any) -> None:
    said = read(
        TABLE,
        *gauge(
            "num_queue_reqs",
            ('dp_rank="0",priority="",tp_rank="0"', 5),
            ('dp_rank="0",priority="1",tp_rank="0"', 3),
            ('dp_rank="0",priority="2",tp_rank="0"', 2),
            ('dp_rank="1",priority="",tp_rank="1"', 1),
        ),
    )

    assert said.by(engines.WAITING) == {(): 6.0}


def test_a_counter_that_every_rank_exposes_counts_once_and_goes_on_when_a_rank_goes(read: Any) -> None:
    def total(*ranks: tuple[str, float]) -> Any:
        series = [(f'engine_type="unified",pp_rank="0",tp_rank="{rank}"', value) for rank, value in ranks]
        return read(TABLE, *counter("num_retracted_requests_total", *series)).observation.totals

    deltas = Deltas(0.0, 100)
    pages = [total(("0", 7), ("1", 7)), total(("0", 8), ("1", 9)), total(("1", 9)), total(("0", 10), ("1", 10))]
    grown = [list(deltas.advance(page, float(turn)).increments.values()) for turn, page in enumerate(pages)]

    assert grown == [[0.0], [2.0], [0.0], [1.0]]


def test_the_kv_cache_is_a_mean_over_data_ranks_and_the_fullest_pool_of_any(read: Any) -> None:
    ranks = [f'dp_rank="{rank}",tp_rank="{rank}"' for rank in (0, 1)]
    said = read(
        TABLE,
        *gauge("token_usage", (ranks[0], 0.5), (ranks[1], 0.7)),
        *gauge("full_token_usage", (ranks[0], 0.5), (ranks[1], 0.6)),
        *gauge("swa_token_usage", (ranks[0], 0.75), (ranks[1], 0.1)),
        *gauge("mamba_usage", (ranks[0], 0.0), (ranks[1], 0.0)),
        *gauge("max_total_num_tokens", (ranks[0], 1000), (ranks[1], 1000)),
    )

    assert said.by(engines.KV_CACHE) == {(): pytest.approx(0.6)}
    assert said.by(engines.KV_CACHE_MAX) == {(): 0.75}
    assert said.by(engines.KV_CACHE_CAPACITY) == {(): 2000.0}


@pytest.mark.parametrize("label", ["is_streaming", "stream"])
def test_first_tokens_of_streamed_and_other_answers_stay_apart_where_they_are_told_apart(
    read: Any, histogram: Any, label: str
) -> None:
    name = "sglang:time_to_first_token_seconds"
    said = read(
        TABLE,
        f"# TYPE {name} histogram",
        histogram(name, f'engine_type="unified",{label}="true"', count=3, total=1.5),
        histogram(name, f'engine_type="unified",{label}="false"', count=5, total=40),
    )
    plain = read(TABLE, f"# TYPE {name} histogram", histogram(name, 'model_name="m"', count=3, total=1.5))

    assert said.by(requests.SERVER_FIRST_TOKEN, requests.STREAM) == {
        ("true",): many(3.0, 1.5),
        ("false",): many(5.0, 40),
    }
    assert plain.by(requests.SERVER_FIRST_TOKEN) == {(): many(3.0, 1.5)}


def test_tokens_requests_and_durations_are_of_all_answers(read: Any, histogram: Any) -> None:
    name = "sglang:e2e_request_latency_seconds"
    said = read(
        TABLE,
        *counter("prompt_tokens_total", ('is_streaming="true"', 100), ('is_streaming="false"', 10)),
        *counter("num_requests_total", ('is_streaming="true"', 4), ('is_streaming="false"', 3)),
        *counter("num_aborted_requests_total", ('model_name="m"', 2)),
        f"# TYPE {name} histogram",
        histogram(name, 'is_streaming="true"', count=4, total=4),
        histogram(name, 'is_streaming="false"', count=3, total=6),
    )

    assert said.by(engines.TOKENS, "gen_ai.token.type") == {("input",): 110.0}
    assert said.by(engines.FINISHED, "gen_ai.response.finish_reason") == {("unknown",): 7.0, ("abort",): 2.0}
    assert said.by(requests.SERVER_DURATION) == {(): many(7.0, 10.0)}


def test_tokens_that_every_rank_of_an_older_version_exposes_count_once(read: Any) -> None:
    said = read(TABLE, *counter("prompt_tokens_total", ('tp_rank="0"', 100), ('tp_rank="1"', 100)))

    assert said.by(engines.TOKENS) == {(): 100.0}


def test_prefill_and_decode_workers_are_told_apart(read: Any, histogram: Any) -> None:
    name = "sglang:e2e_request_latency_seconds"
    roles = {"prefill": "prefill", "decode": "decode", "unified": "unified", "null": "unified", "strange": "other"}
    for theirs, ours in roles.items():
        said = read(
            TABLE,
            *counter("prompt_tokens_total", (f'engine_type="{theirs}"', 100)),
            *gauge("num_running_reqs", (f'engine_type="{theirs}",tp_rank="0"', 1)),
            f"# TYPE {name} histogram",
            histogram(name, f'engine_type="{theirs}"', count=4, total=4),
        )
        for metric in (engines.TOKENS, engines.RUNNING, requests.SERVER_DURATION):
            assert list(said.by(metric, requests.ROLE)) == [(ours,)]


@pytest.mark.parametrize(
    ("exposed", "meant"),
    [
        ({"device": 8, "host": 2, "storage": 1, "storage_file": 3}, {"device": 8, "host": 2, "disk": 4}),
        ({"device": 8, "host": 2, "total": 10}, {"device": 8, "host": 2}),
        ({"total": 10}, {"unknown": 10}),
        ({"somewhere": 1}, {"unknown": 1}),
    ],
)
def test_cached_tokens_by_source_never_hold_their_own_total(
    read: Any, exposed: dict[str, float], meant: dict[str, float]
) -> None:
    series = [(f'cache_source="{source}"', value) for source, value in exposed.items()]
    said = read(TABLE, *counter("cached_tokens_total", *series))

    assert said.by(engines.CACHED_TOKENS, "cache.source") == {(source,): value for source, value in meant.items()}


def test_cached_tokens_of_an_older_version_have_no_source(read: Any) -> None:
    said = read(TABLE, *counter("cached_tokens_total", ('model_name="m"', 5)))

    assert said.by(engines.CACHED_TOKENS, "cache.source") == {("unknown",): 5.0}


def test_times_of_stages_are_three_of_them_and_the_queue_is_not_counted_twice(read: Any, histogram: Any) -> None:
    stages, queue = "sglang:per_stage_req_latency_seconds", "sglang:queue_time_seconds"
    spent = {
        "prefill_waiting": 1.0,
        "prefill_forward": 2.0,
        "decode_loop": 3.0,
        "request_process": 4.0,
        "tokenize": 5.0,
    }
    lines = [
        f"# TYPE {stages} histogram",
        *(
            histogram(stages, f'pp_rank="0",stage="{stage}",tp_rank="{rank}"', count=1, total=seconds)
            for stage, seconds in spent.items()
            for rank in (0, 1)
        ),
    ]
    older = read(TABLE, *lines)
    newer = read(TABLE, *lines, f"# TYPE {queue} histogram", histogram(queue, 'tp_rank="0"', count=2, total=9))

    for said in (older, newer):
        assert said.by(engines.PREFILL_TIME) == {(): many(1.0, 2.0)}
        assert said.by(engines.DECODE_TIME) == {(): many(1.0, 3.0)}
    assert older.by(engines.QUEUE_TIME) == {(): many(1.0, 1.0)}
    assert newer.by(engines.QUEUE_TIME) == {(): many(2.0, 9.0)}


def test_a_mean_of_the_queue_time_is_no_histogram_and_is_left_unmapped(read: Any) -> None:
    said = read(TABLE, *gauge("avg_request_queue_latency", ('tp_rank="0"', 0.5)))

    assert said.by(engines.QUEUE_TIME) == {}
    assert said.observation.unmapped == 1


def test_buckets_in_a_gauge_are_no_histogram(read: Any) -> None:
    said = read(
        TABLE, *gauge("routing_key_running_req_count", ('gt="0",le="1"', 2), ('gt="1",le="+Inf"', 1)), "sglang:x 1"
    )

    assert said.samples == ()
    assert said.observation.unmapped == 3
    assert not said.observation.invalid


@pytest.mark.parametrize(("length", "ratio", "told"), [(2.4, 0.7, True), (0, 0, False)])
def test_speculation_that_is_off_has_no_length_and_no_ratio(read: Any, length: float, ratio: float, told: bool) -> None:
    said = read(
        TABLE,
        *gauge("spec_accept_length", ('tp_rank="0"', length)),
        *gauge("spec_accept_rate", ('tp_rank="0"', ratio)),
    )

    assert said.by(engines.ACCEPT_LENGTH) == ({(): length} if told else {})
    assert said.by(engines.ACCEPT_RATIO) == ({(): ratio} if told else {})


def test_answers_of_4xx_and_5xx_are_failed_by_class(read: Any) -> None:
    said = read(
        TABLE,
        *counter(
            "http_responses_total",
            ('endpoint="/v1/chat/completions",method="POST",status_code="200"', 190),
            ('endpoint="/v1/chat/completions",method="POST",status_code="500"', 3),
            ('endpoint="/v1/completions",method="POST",status_code="503"', 1),
            ('endpoint="/v1/chat/completions",method="POST",status_code="499"', 7),
        ),
    )

    assert said.by(engines.FAILED, "error.type") == {("5xx",): 4.0, ("4xx",): 7.0}


def test_time_per_token_of_a_request_and_between_tokens_stay_two_metrics(read: Any, histogram: Any) -> None:
    per_request, between = "sglang:request_time_per_output_token_seconds", "sglang:inter_token_latency_seconds"
    old = "sglang:time_per_output_token_seconds"
    said = read(
        TABLE,
        *(f"# TYPE {name} histogram" for name in (per_request, between)),
        histogram(per_request, 'is_streaming="true"', count=2, total=0.25),
        histogram(between, count=50, total=1),
    )
    before = read(TABLE, f"# TYPE {old} histogram", histogram(old, count=7, total=0.5))

    assert said.by(requests.SERVER_PER_TOKEN) == {(): many(2.0, 0.25)}
    assert said.by(engines.INTER_TOKEN_LATENCY) == {(): many(50.0, 1.0)}
    assert before.by(requests.SERVER_PER_TOKEN) == {(): many(7.0, 0.5)}


def test_what_the_engine_says_of_itself_is_understood() -> None:
    assert TABLE.version[0].answer({"version": "0.5.23", "api_key": "k"}) == "0.5.23"
    assert TABLE.model[0].answer({"object": "list", "data": [{"id": "org/model"}]}) == "org/model"
    assert TABLE.model[0].answer([]) == TABLE.version[0].answer("no") == ""
