"""
vLLM, 0.4 to the newest, and what is built on it (vllm-ascend, vllm-omni).

https://docs.vllm.ai/en/latest/usage/metrics/
"""

from typing import Final

from collector._pages.labels import Fold, Label, words
from collector._pages.page import Series, Value
from collector.engines.table import From, Question, Row, Table, at, starts_with, status_class
from watchkeeper.core.finish_reasons import canonical
from watchkeeper.core.records import Labels, Vantage
from watchkeeper.core.vocabulary import engines, requests

_PAGE: Final[Labels] = ((requests.VANTAGE, Vantage.PAGE.value),)
_INPUT: Final[Labels] = ((requests.TOKEN_TYPE, "input"),)
_OUTPUT: Final[Labels] = ((requests.TOKEN_TYPE, "output"),)
_TOKENS: Final[Labels] = (("cache.unit", "token"), ("cache.location", "local"))
_BLOCKS: Final[Labels] = (("cache.unit", "block"), ("cache.location", "local"))
_EXTERNAL: Final[Labels] = (("cache.unit", "token"), ("cache.location", "external"))

_CACHED_BY_SOURCE: Final = {
    "device": "device", "host": "host", "disk": "disk", "p2p": "remote", "external_unspecified": "remote",
}  # fmt: skip
_PROMPT_BY_SOURCE: Final = {"local_cache_hit": "device", "external_kv_transfer": "remote"}
_ROUTER: Final = "vllm_current_qps"
"""vLLM's router (production-stack) tells again, under the engines' own names, what runs on the engines behind it"""
_LOADED: Final = "only in vLLM 0.11 and newer"
_SPECULATIVE: Final = "only with --speculative-config"


def _when_on(series: Series) -> float | None:
    """The old engine writes -1 where the prefix cache is off."""
    return series.value if isinstance(series.value, float) and series.value != -1 else None


def _served(series: Series) -> Value | None:
    """Under `none` it counts what asked for paths that it does not have, as whoever looks for its page does."""
    return None if dict(series.labels).get("handler") == "none" else series.value


def _capacity(series: Series) -> float | None:
    labels = dict(series.labels)
    try:
        return float(int(labels["block_size"]) * int(labels["num_gpu_blocks"]))
    except (KeyError, ValueError):  # `None` until the engine has measured its memory
        return None


_KV_CACHE: Final = (From("vllm:kv_cache_usage_perc"), From("vllm:gpu_cache_usage_perc"))  # fractions in spite of it

ROWS: Final = (
    Row(requests.SERVER_FIRST_TOKEN, (From("vllm:time_to_first_token_seconds"),), _PAGE),
    Row(requests.SERVER_PER_TOKEN, (From("vllm:request_time_per_output_token_seconds"),), _PAGE, hint=_LOADED),
    Row(requests.SERVER_DURATION, (From("vllm:e2e_request_latency_seconds"),), _PAGE),
    Row(
        engines.INTER_TOKEN_LATENCY,
        (From("vllm:inter_token_latency_seconds"), From("vllm:time_per_output_token_seconds")),
    ),
    Row(engines.QUEUE_TIME, (From("vllm:request_queue_time_seconds"),)),
    Row(engines.PREFILL_TIME, (From("vllm:request_prefill_time_seconds"),)),
    Row(engines.DECODE_TIME, (From("vllm:request_decode_time_seconds"),)),
    Row(engines.INFERENCE_TIME, (From("vllm:request_inference_time_seconds"),)),
    Row(engines.TOKENS, (From("vllm:prompt_tokens_total"),), _INPUT),
    Row(engines.TOKENS, (From("vllm:generation_tokens_total"),), _OUTPUT),
    Row(
        engines.CACHED_TOKENS,
        (
            From(
                "vllm:prompt_tokens_cached_by_source_total",
                (Label("source", "cache.source", words(_CACHED_BY_SOURCE, "unknown")),),
            ),
            From(  # the rest of its sources is not cached
                "vllm:prompt_tokens_by_source_total",
                (Label("source", "cache.source", words(_PROMPT_BY_SOURCE, None)),),
            ),
        ),
        hint="only in vLLM 0.16 and newer",
    ),
    Row(requests.CLIENT_TOKEN_USAGE, (From("vllm:request_prompt_tokens"),), (*_PAGE, *_INPUT)),
    Row(requests.CLIENT_TOKEN_USAGE, (From("vllm:request_generation_tokens"),), (*_PAGE, *_OUTPUT)),
    Row(engines.RUNNING, (From("vllm:num_requests_running"),)),
    Row(engines.WAITING, (From("vllm:num_requests_waiting"),)),
    Row(
        engines.SWAPPED, (From("vllm:num_requests_swapped"),), hint="only in the V0 engine; newer ones preempt instead"
    ),
    Row(engines.KV_CACHE, _KV_CACHE, fold=Fold.MEAN),
    Row(engines.KV_CACHE_MAX, _KV_CACHE, fold=Fold.MAX),
    Row(engines.KV_CACHE_CAPACITY, (From("vllm:cache_config_info", value=_capacity),)),
    Row(
        engines.PREFIX_QUERIES,
        (
            From("vllm:prefix_cache_queries_total", constants=_TOKENS),
            From("vllm:gpu_prefix_cache_queries_total", constants=_BLOCKS),
        ),
    ),
    Row(
        engines.PREFIX_HITS,
        (
            From("vllm:prefix_cache_hits_total", constants=_TOKENS),
            From("vllm:gpu_prefix_cache_hits_total", constants=_BLOCKS),
        ),
    ),
    Row(
        engines.PREFIX_QUERIES,
        (From("vllm:external_prefix_cache_queries_total", constants=_EXTERNAL),),
        hint="only with a KV connector (--kv-transfer-config)",
    ),
    Row(
        engines.PREFIX_HITS,
        (From("vllm:external_prefix_cache_hits_total", constants=_EXTERNAL),),
        hint="only with a KV connector (--kv-transfer-config)",
    ),
    Row(
        engines.PREFIX_HIT_RATIO,
        (From("vllm:gpu_prefix_cache_hit_rate", value=_when_on),),
        fold=Fold.MEAN,
        hint="only in the V0 engine; newer ones give queries and hits instead",
    ),
    Row(engines.PREEMPTIONS, (From("vllm:num_preemptions_total"),)),
    Row(engines.DRAFTS, (From("vllm:spec_decode_num_drafts_total"),), hint=_SPECULATIVE),
    Row(engines.DRAFT_TOKENS, (From("vllm:spec_decode_num_draft_tokens_total"),), hint=_SPECULATIVE),
    Row(engines.ACCEPTED_TOKENS, (From("vllm:spec_decode_num_accepted_tokens_total"),), hint=_SPECULATIVE),
    Row(
        engines.FINISHED,  # counts aborts and errors in spite of its name
        (
            From(
                "vllm:request_success_total",
                (Label("finished_reason", "gen_ai.response.finish_reason", canonical),),
            ),
        ),
    ),
    Row(
        engines.REJECTED,
        (From("vllm:admission_rejections_total", (Label("reason", "reason"),)),),
        hint="only in vLLM newer than 0.26",
    ),
    Row(
        engines.FAILED,
        (From("http_requests_total", (Label("status", "error.type", status_class),), _served, note="4xx and 5xx"),),
        hint="only from the OpenAI server, once it has answered something",
    ),
)


TABLE: Final = Table(
    name="vllm",
    title="vLLM",
    matches=starts_with("vllm_", never=("nv_inference_", "dynamo_frontend_", _ROUTER)),
    rows=ROWS,
    switch_on="start vllm without --disable-log-stats",
    version=(Question("/version", at("version")),),
)
