from typing import Any

import pytest

from collector.engines import triton
from watchkeeper.core.records import Distribution
from watchkeeper.core.vocabulary import engines, requests

MODEL = "gen_ai.request.model"


def request_metrics(**numbers: float) -> list[str]:
    return [
        "# TYPE nv_trt_llm_request_metrics gauge",
        *(
            f'nv_trt_llm_request_metrics{{model="tensorrt_llm",request_type="{word}",version="1"}} {number}'
            for word, number in numbers.items()
        ),
    ]


def blocks(**numbers: float) -> list[str]:
    return [
        "# TYPE nv_trt_llm_kv_cache_block_metrics gauge",
        *(
            f'nv_trt_llm_kv_cache_block_metrics{{kv_cache_block_type="{word}",model="tensorrt_llm"}} {number}'
            for word, number in numbers.items()
        ),
    ]


@pytest.mark.parametrize(
    ("numbers", "running", "waiting"),
    [
        ({"waiting": 4, "active": 9, "scheduled": 7, "max": 512}, [7.0], [4.0]),
        ({"active": 9, "scheduled": 7, "max": 512, "context": 1}, [7.0], [2.0]),
        ({"active": 0, "scheduled": 1}, [1.0], [0.0]),
        ({"active": 3}, [], []),
        ({"max": 512}, [], []),
    ],
)
def test_what_runs_and_waits_stands_in_a_label(
    numbers: dict[str, float], running: list[float], waiting: list[float], read: Any
) -> None:
    said = read(triton.TENSORRT_LLM, *request_metrics(**numbers))

    assert list(said.by(engines.RUNNING).values()) == running
    assert list(said.by(engines.WAITING).values()) == waiting


@pytest.mark.parametrize(
    ("numbers", "usage"),
    [
        ({"fraction": 0.25, "used": 9, "max": 10}, [0.25]),
        ({"used": 9, "max": 12, "free": 3}, [0.75]),
        ({"used": 0, "max": 0}, []),
        ({"free": 3}, []),
    ],
)
def test_the_cache_is_used_by_its_fraction_else_by_used_of_max(
    numbers: dict[str, float], usage: list[float], read: Any
) -> None:
    said = read(triton.TENSORRT_LLM, *blocks(**numbers))

    assert list(said.by(engines.KV_CACHE).values()) == usage
    assert list(said.by(engines.KV_CACHE_MAX).values()) == usage


def test_capacity_is_blocks_times_tokens_in_one(read: Any) -> None:
    said = read(triton.TENSORRT_LLM, *blocks(max=100, tokens_per=64))

    assert list(said.by(engines.KV_CACHE_CAPACITY).values()) == [6400.0]


SERVER = [
    "# TYPE nv_inference_request_success counter",
    *(
        f'nv_inference_request_success{{model="{model}",version="1"}} 5'
        for model in ("ensemble", "preprocessing", "tensorrt_llm", "postprocessing")
    ),
    "# TYPE nv_inference_request_failure counter",
    'nv_inference_request_failure{model="tensorrt_llm",reason="REJECTED",version="1"} 1',
    'nv_inference_request_failure{model="tensorrt_llm",reason="CANCELED",version="1"} 2',
    'nv_inference_request_failure{model="tensorrt_llm",reason="OTHER",version="1"} 3',
    'nv_inference_request_failure{model="ensemble",reason="OTHER",version="1"} 3',
    "# TYPE nv_inference_request_duration_us counter",
    'nv_inference_request_duration_us{model="tensorrt_llm",version="1"} 2500000',
    'nv_inference_request_duration_us{model="ensemble",version="1"} 2600000',
    "# TYPE nv_inference_queue_duration_us counter",
    'nv_inference_queue_duration_us{model="tensorrt_llm",version="1"} 500000',
]


def test_a_request_to_an_ensemble_is_counted_once_at_the_model_that_the_backend_runs(read: Any) -> None:
    said = read(triton.TENSORRT_LLM, *request_metrics(scheduled=1), *SERVER)

    assert said.by(engines.FINISHED, MODEL) == {("tensorrt_llm",): 5.0}
    assert said.by(engines.FAILED, "error.type") == {("rejected",): 1.0, ("cancelled",): 2.0, ("_OTHER",): 3.0}
    assert said.by(engines.WORK_TIME, "phase") == {("request",): 2.5, ("queue",): 0.5}


def test_other_backends_are_told_by_model(read: Any) -> None:
    said = read(triton.OTHER, *SERVER, "# TYPE nv_inference_pending_request_count gauge",
                'nv_inference_pending_request_count{model="ensemble",version="1"} 2')  # fmt: skip

    assert len(said.by(engines.FINISHED, MODEL)) == 4
    assert said.by(engines.WAITING, MODEL) == {("ensemble",): 2.0}


def test_a_failure_without_a_reason_is_one_all_the_same(read: Any) -> None:
    said = read(
        triton.OTHER, "# TYPE nv_inference_request_failure counter", 'nv_inference_request_failure{model="a"} 2'
    )

    assert said.by(engines.FAILED, "error.type") == {("_OTHER",): 2.0}


def test_the_first_response_is_in_seconds_and_token_lengths_are_totals_too(read: Any) -> None:
    lengths = 'model="tensorrt_llm",response_metric_type="total_input_tokens",version="1"'
    said = read(
        triton.TENSORRT_LLM,
        *request_metrics(scheduled=1),
        "# TYPE nv_inference_first_response_histogram_ms histogram",
        'nv_inference_first_response_histogram_ms_count{model="tensorrt_llm",version="1"} 3',
        'nv_inference_first_response_histogram_ms_sum{model="tensorrt_llm",version="1"} 750',
        'nv_inference_first_response_histogram_ms_bucket{model="tensorrt_llm",version="1",le="100"} 1',
        'nv_inference_first_response_histogram_ms_bucket{model="tensorrt_llm",version="1",le="+Inf"} 3',
        "# TYPE nv_llm_input_token_len histogram",
        f"nv_llm_input_token_len_count{{{lengths}}} 2",
        f"nv_llm_input_token_len_sum{{{lengths}}} 300",
        f'nv_llm_input_token_len_bucket{{{lengths},le="100"}} 1',
        f'nv_llm_input_token_len_bucket{{{lengths},le="+Inf"}} 2',
    )

    assert list(said.by(requests.SERVER_FIRST_TOKEN).values()) == [Distribution((0.1,), (1.0, 2.0), 0.75)]
    assert said.by(engines.TOKENS, requests.TOKEN_TYPE) == {("input",): 300.0}
    assert said.by(requests.CLIENT_TOKEN_USAGE, requests.TOKEN_TYPE) == {
        ("input",): Distribution((100.0,), (1.0, 1.0), 300.0)
    }


def test_quantiles_of_a_summary_are_passed_over(read: Any) -> None:
    said = read(
        triton.OTHER,
        *SERVER,
        "# TYPE nv_inference_request_summary_us summary",
        'nv_inference_request_summary_us_count{model="a",version="1"} 3',
        'nv_inference_request_summary_us_sum{model="a",version="1"} 3000',
        'nv_inference_request_summary_us{model="a",version="1",quantile="0.99"} Nan',
    )

    assert not said.observation.invalid
    assert said.observation.unmapped == 1


def test_the_vllm_backend_shows_a_part_of_vllm_and_tritons_counts_of_that_model(read: Any) -> None:
    said = read(
        triton.VLLM,
        "# TYPE vllm:prompt_tokens_total counter",
        'vllm:prompt_tokens_total{model="llama",version="1"} 40',
        "# TYPE vllm:generation_tokens_total counter",
        'vllm:generation_tokens_total{model="llama",version="1"} 8',
        "# TYPE vllm:num_requests_waiting gauge",
        'vllm:num_requests_waiting{model="llama",version="1"} 3',
        "# TYPE nv_inference_request_success counter",
        'nv_inference_request_success{model="llama",version="1"} 2',
        'nv_inference_request_success{model="resnet",version="1"} 9',
    )

    assert said.by(engines.TOKENS, MODEL, requests.TOKEN_TYPE) == {("llama", "input"): 40.0, ("llama", "output"): 8.0}
    assert said.by(engines.FINISHED, MODEL) == {("llama",): 2.0}
    assert said.by(engines.WAITING, MODEL) == {("llama",): 3.0}
