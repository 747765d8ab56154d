"""
TensorRT-LLM's own server, trtllm-serve; alone, or inside a worker of Dynamo.

Its `/metrics` is JSON whose records are gone once read. Durations of zero are not observed, so the histograms may
count fewer requests than the request counter. Release 1.1 wrote its five families without a prefix.
https://github.com/NVIDIA/TensorRT-LLM/blob/main/tensorrt_llm/metrics/collector.py
"""

from collections.abc import Iterable, Sequence, Set
from typing import Final

import msgspec

from collector._pages.labels import Fold, Label, words
from collector._pages.page import Page, Series
from collector.engines.table import From, Question, Row, Table, at
from watchkeeper.core.finish_reasons import REASONS
from watchkeeper.core.records import Labels, Vantage
from watchkeeper.core.vocabulary import engines, requests

_PAGE: Final[Labels] = ((requests.VANTAGE, Vantage.PAGE.value),)
_INPUT: Final[Labels] = ((requests.TOKEN_TYPE, "input"),)
_OUTPUT: Final[Labels] = ((requests.TOKEN_TYPE, "output"),)
_BLOCKS: Final[Labels] = (("cache.unit", "block"), ("cache.location", "local"))
_REASONS: Final = words(REASONS | {"timeout": "abort"}, "other")
_KV_CACHE: Final = (From("trtllm_kv_cache_utilization"),)
_REUSED: Final = From("trtllm_kv_cache_reused_blocks_total")
_MISSED: Final = From("trtllm_kv_cache_missed_blocks_total", note="hits + misses")
_ITERATIONS: Final = "only with enable_iter_perf_stats: true, once it has worked"
_NEW: Final = "only in releases of 2026 and newer"
_SPECULATIVE: Final = "only with speculative decoding and enable_iter_perf_stats: true"

_UNPREFIXED: Final = frozenset({"request_success", "e2e_request_latency_seconds", "request_queue_time_seconds"})
_OF_OTHERS: Final = (
    "num_requests_", "num_request_", "gpu_cache_", "npu_", "request_received", "request_finish", "prompt_tokens",
    "generation_tokens",
)  # fmt: skip


def _matches(names: Set[str]) -> bool:
    if any(name.startswith("trtllm_") for name in names):
        return True
    return names >= _UNPREFIXED and not any(name.startswith(_OF_OTHERS) for name in names)


def _in_tokens(page: Page, series: Sequence[Series]) -> Iterable[Series]:
    """Blocks times tokens per block, of the same labels."""
    per_block = page.find("trtllm_kv_cache_tokens_per_block")
    sizes = {one.labels: one.value for one in per_block[1].series} if per_block else {}
    for one in series:
        size = sizes.get(one.labels)
        if isinstance(one.value, float) and isinstance(size, float):
            yield msgspec.structs.replace(one, value=one.value * size)


ROWS: Final = (
    Row(
        requests.SERVER_FIRST_TOKEN,
        (From("trtllm_time_to_first_token_seconds"), From("time_to_first_token_seconds")),
        _PAGE,
    ),
    Row(
        requests.SERVER_PER_TOKEN,
        (From("trtllm_time_per_output_token_seconds"), From("time_per_output_token_seconds")),
        _PAGE,
    ),
    Row(
        requests.SERVER_DURATION,
        (From("trtllm_e2e_request_latency_seconds"), From("e2e_request_latency_seconds")),
        _PAGE,
    ),
    Row(engines.QUEUE_TIME, (From("trtllm_request_queue_time_seconds"), From("request_queue_time_seconds"))),
    Row(engines.PREFILL_TIME, (From("trtllm_request_prefill_time_seconds"),), hint=_NEW),
    Row(engines.DECODE_TIME, (From("trtllm_request_decode_time_seconds"),), hint=_NEW),
    Row(engines.INFERENCE_TIME, (From("trtllm_request_inference_time_seconds"),), hint=_NEW),
    Row(engines.TOKENS, (From("trtllm_prompt_tokens_total"),), _INPUT, hint=_NEW),
    Row(engines.TOKENS, (From("trtllm_generation_tokens_total"),), _OUTPUT, hint=_NEW),
    Row(
        engines.CACHED_TOKENS,
        (From("trtllm_prompt_cached_tokens_total", constants=(("cache.source", "unknown"),)),),
        hint=_NEW,
    ),
    Row(engines.RUNNING, (From("trtllm_num_requests_running"),), hint=_ITERATIONS),
    Row(engines.WAITING, (From("trtllm_num_requests_waiting"),), hint=_ITERATIONS),
    Row(engines.KV_CACHE, _KV_CACHE, fold=Fold.MEAN, hint=_ITERATIONS),
    Row(engines.KV_CACHE_MAX, _KV_CACHE, fold=Fold.MAX, hint=_ITERATIONS),
    Row(
        engines.KV_CACHE_CAPACITY,
        (From("trtllm_kv_cache_max_blocks", choose=_in_tokens, note="x trtllm_kv_cache_tokens_per_block"),),
        hint=_ITERATIONS,
    ),
    Row(engines.PREFIX_QUERIES, (_REUSED,), _BLOCKS, hint=_ITERATIONS),
    Row(engines.PREFIX_QUERIES, (_MISSED,), _BLOCKS, hint=_ITERATIONS),
    Row(engines.PREFIX_HITS, (_REUSED,), _BLOCKS, hint=_ITERATIONS),
    Row(engines.PREFIX_HIT_RATIO, (From("trtllm_kv_cache_hit_rate"),), fold=Fold.MEAN, hint=_ITERATIONS),
    Row(engines.DRAFT_TOKENS, (From("trtllm_spec_decode_num_draft_tokens_total"),), hint=_SPECULATIVE),
    Row(engines.ACCEPTED_TOKENS, (From("trtllm_spec_decode_num_accepted_tokens_total"),), hint=_SPECULATIVE),
    Row(
        engines.ACCEPT_LENGTH,
        (From("trtllm_spec_decode_acceptance_length"),),
        fold=Fold.MEAN,
        hint=_SPECULATIVE,
    ),
    Row(
        engines.FINISHED,
        tuple(
            From(name, (Label("finished_reason", "gen_ai.response.finish_reason", _REASONS),))
            for name in ("trtllm_request_success_total", "request_success_total")
        ),
    ),
    Row(
        engines.FAILED,
        (From("trtllm_request_error_total", (Label("http_code", "error.type"),)),),
        hint="only in releases of 2026 and newer, once a request has failed",
    ),
)


TABLE: Final = Table(
    name="tensorrt_llm",
    title="TensorRT-LLM",
    matches=_matches,
    rows=ROWS,
    switch_on="give trtllm-serve return_perf_metrics: true and enable_iter_perf_stats: true in its "
    "--extra_llm_api_options file",
    on_by_default=False,
    paths=("/prometheus/metrics",),
    consumed=("/metrics",),
    version=(Question("/version", at("version")),),
    lacks=(
        "tokens per request as a distribution, and preemptions: for the former send watchkeeper the application's "
        "OpenTelemetry",
    ),
)
