from typing import Any

import pytest

from collector.engines import TABLES, tensorrt_llm
from collector.engines.table import detect
from watchkeeper.core.vocabulary import engines, requests

OURS = 'engine_type="trtllm",model_name="m"'
REASON = "gen_ai.response.finish_reason"


def test_queries_are_hits_and_misses_in_blocks(read: Any) -> None:
    said = read(
        tensorrt_llm.TABLE,
        "# TYPE trtllm_kv_cache_reused_blocks_total counter",
        f"trtllm_kv_cache_reused_blocks_total{{{OURS}}} 30",
        "# TYPE trtllm_kv_cache_missed_blocks_total counter",
        f"trtllm_kv_cache_missed_blocks_total{{{OURS}}} 70",
    )

    assert said.by(engines.PREFIX_QUERIES, "cache.unit") == {("block",): 100.0}
    assert said.by(engines.PREFIX_HITS, "cache.unit") == {("block",): 30.0}


def test_reasons_of_ending_and_codes_of_errors(read: Any) -> None:
    said = read(
        tensorrt_llm.TABLE,
        "# TYPE trtllm_request_success_total counter",
        *(
            f'trtllm_request_success_total{{{OURS},finished_reason="{word}"}} {number}'
            for number, word in enumerate(("stop", "length", "cancelled", "timeout", "not_known"), 1)
        ),
        "# TYPE trtllm_request_error_total counter",
        f'trtllm_request_error_total{{{OURS},http_code="500"}} 6',
    )

    assert said.by(engines.FINISHED, REASON) == {("stop",): 1.0, ("length",): 2.0, ("abort",): 7.0, ("other",): 5.0}
    assert said.by(engines.FAILED, "error.type") == {("500",): 6.0}


def test_capacity_is_blocks_times_their_size_and_absent_without_it(read: Any) -> None:
    blocks = ["# TYPE trtllm_kv_cache_max_blocks gauge", f"trtllm_kv_cache_max_blocks{{{OURS}}} 6000"]
    size = ["# TYPE trtllm_kv_cache_tokens_per_block gauge", f"trtllm_kv_cache_tokens_per_block{{{OURS}}} 32"]

    assert list(read(tensorrt_llm.TABLE, *blocks, *size).by(engines.KV_CACHE_CAPACITY).values()) == [192_000.0]
    assert not read(tensorrt_llm.TABLE, *blocks).by(engines.KV_CACHE_CAPACITY)


@pytest.mark.parametrize("prefix", ["", "trtllm_", "trtllm:"])
def test_release_1_1_is_read_with_and_without_a_prefix(prefix: str, read: Any, histogram: Any) -> None:
    said = read(
        tensorrt_llm.TABLE,
        f"# TYPE {prefix}request_success_total counter",
        f'{prefix}request_success_total{{{OURS},finished_reason="stop"}} 2',
        f"# TYPE {prefix}e2e_request_latency_seconds histogram",
        histogram(f"{prefix}e2e_request_latency_seconds", OURS, count=2, total=3.5),
    )

    assert said.by(engines.FINISHED, REASON) == {("stop",): 2.0}
    [duration] = said.by(requests.SERVER_DURATION).values()
    assert duration.sum == 3.5


FIVE = {
    "request_success", "e2e_request_latency_seconds", "time_to_first_token_seconds", "time_per_output_token_seconds",
    "request_queue_time_seconds",
}  # fmt: skip


@pytest.mark.parametrize(
    ("more", "title"),
    [
        (set(), "TensorRT-LLM"),
        ({"num_requests_running", "gpu_cache_usage_perc"}, None),
        ({"request_received"}, "Huawei MindIE"),
        ({"prompt_tokens"}, None),
    ],
)
def test_the_five_names_without_a_prefix_are_its_own_only_when_alone(more: set[str], title: str | None) -> None:
    found = detect(FIVE | more, TABLES)

    assert (found.title if found else None) == title or (title and found and title.split()[-1] in found.title)
