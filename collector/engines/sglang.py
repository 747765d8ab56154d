"""
SGLang, 0.3 to the newest.

Prompt and generation tokens are added when a request finishes, so they come in bursts; aborted requests are in none of
its totals but their own. https://docs.sglang.ai/references/production_metrics.html
"""

from typing import Final

from collector._pages.labels import Fold, Label, words
from collector._pages.page import Series, Value
from collector.engines.choices import alone_if_there, having, in_turn, lacking_if_others, one_per_data_rank
from collector.engines.table import From, Question, Row, Table, at, starts_with, status_class
from watchkeeper.core.metric import Metric
from watchkeeper.core.records import Labels, Vantage
from watchkeeper.core.vocabulary import engines, requests

_PAGE: Final[Labels] = ((requests.VANTAGE, Vantage.PAGE.value),)
_INPUT: Final[Labels] = ((requests.TOKEN_TYPE, "input"),)
_OUTPUT: Final[Labels] = ((requests.TOKEN_TYPE, "output"),)

_ROLES: Final = {role: role for role in ("prefill", "decode", "unified", "dynamic")} | {"null": "unified"}
_ROLE: Final = Label("engine_type", requests.ROLE, words(_ROLES, "other"))
_WHETHER: Final = words({"true": "true", "false": "false"}, "other")
_SINCE_0_5: Final = "only in SGLang 0.5 and newer"
_STAGES: Final = "only in SGLang 0.5 and newer, once requests have passed that stage"
_SPECULATIVE: Final = "only while --speculative-algorithm is at work"


def _cache_source(word: str) -> str:
    """`storage` comes with the name of its backend (storage_file); `total` stands where no detail is known."""
    return {"device": "device", "host": "host"}.get(word, "disk" if word.startswith("storage") else "unknown")


def _when_measured(series: Series) -> Value | None:
    """0 stands for not measured: a step that accepts nothing still brings one token."""
    return series.value or None


def _per_rank(metric: Metric, name: str, fold: Fold = Fold.SUM, hint: str = "") -> Row:
    """A row over a family of the scheduler's, which each rank exposes; by priority, too, with a total beside."""
    choose = in_turn(one_per_data_rank, alone_if_there("priority", ""))
    note = f"one series per data-parallel rank, {fold.value}"
    return Row(metric, (From(name, (_ROLE,), choose=choose, note=note),), fold=fold, hint=hint)


def _stage(name: str) -> From:
    choose = in_turn(having("stage", name), one_per_data_rank)
    return From("sglang:per_stage_req_latency_seconds", (_ROLE,), choose=choose, note=f"stage {name}")


def _per_request(name: str, note: str = "") -> From:
    """Newer versions have no rank on these, older ones have."""
    return From(name, (_ROLE,), choose=one_per_data_rank, note=note)


ROWS: Final = (
    Row(
        requests.SERVER_FIRST_TOKEN,
        (
            From(
                "sglang:time_to_first_token_seconds",
                (_ROLE, Label("is_streaming", requests.STREAM, _WHETHER), Label("stream", requests.STREAM, _WHETHER)),
                choose=one_per_data_rank,
                note="by gen_ai.request.stream: not streamed it is late, the 50th token's or the last's",
            ),
        ),
        _PAGE,
    ),
    Row(
        requests.SERVER_PER_TOKEN,
        (
            _per_request("sglang:request_time_per_output_token_seconds"),
            _per_request("sglang:time_per_output_token_seconds", "of a request so far, told again at each step"),
        ),
        _PAGE,
        hint="in SGLang before 0.5, and again after 0.5.12",
    ),
    Row(requests.SERVER_DURATION, (_per_request("sglang:e2e_request_latency_seconds"),), _PAGE),
    Row(engines.INTER_TOKEN_LATENCY, (_per_request("sglang:inter_token_latency_seconds"),), hint=_SINCE_0_5),
    Row(
        engines.QUEUE_TIME,
        (
            From("sglang:queue_time_seconds", (_ROLE,), choose=one_per_data_rank),
            _stage("prefill_waiting"),
        ),
        hint="only in SGLang 0.5 and newer; older ones give a mean that cannot be summed",
    ),
    Row(engines.PREFILL_TIME, (_stage("prefill_forward"),), hint=_STAGES),
    Row(engines.DECODE_TIME, (_stage("decode_loop"),), hint=_STAGES),
    Row(engines.TOKENS, (_per_request("sglang:prompt_tokens_total"),), _INPUT),
    Row(engines.TOKENS, (_per_request("sglang:generation_tokens_total"),), _OUTPUT),
    Row(
        engines.CACHED_TOKENS,
        (
            From(
                "sglang:cached_tokens_total",
                (_ROLE, Label("cache_source", "cache.source", _cache_source)),
                constants=(("cache.source", "unknown"),),
                choose=in_turn(one_per_data_rank, lacking_if_others("cache_source", "total")),
                note="without `total` where its parts are told",
            ),
        ),
        hint="once a prompt has hit the cache",
    ),
    Row(requests.CLIENT_TOKEN_USAGE, (_per_request("sglang:prompt_tokens_histogram"),), (*_PAGE, *_INPUT)),
    Row(requests.CLIENT_TOKEN_USAGE, (_per_request("sglang:generation_tokens_histogram"),), (*_PAGE, *_OUTPUT)),
    _per_rank(engines.RUNNING, "sglang:num_running_reqs"),
    _per_rank(engines.WAITING, "sglang:num_queue_reqs"),
    _per_rank(engines.KV_CACHE, "sglang:token_usage", Fold.MEAN),
    _per_rank(engines.KV_CACHE_MAX, "sglang:token_usage", Fold.MAX),
    _per_rank(engines.KV_CACHE_MAX, "sglang:full_token_usage", Fold.MAX),
    _per_rank(engines.KV_CACHE_MAX, "sglang:swa_token_usage", Fold.MAX),
    _per_rank(engines.KV_CACHE_MAX, "sglang:mamba_usage", Fold.MAX),
    _per_rank(engines.KV_CACHE_CAPACITY, "sglang:max_total_num_tokens", hint=_SINCE_0_5),
    _per_rank(engines.PREFIX_HIT_RATIO, "sglang:cache_hit_rate", Fold.MEAN),
    _per_rank(engines.PREEMPTIONS, "sglang:num_retracted_requests_total", hint=_SINCE_0_5),
    Row(
        engines.ACCEPT_LENGTH,
        (From("sglang:spec_accept_length", (_ROLE,), _when_measured, choose=one_per_data_rank),),
        fold=Fold.MEAN,
        hint=_SPECULATIVE,
    ),
    Row(
        engines.ACCEPT_RATIO,
        (From("sglang:spec_accept_rate", (_ROLE,), _when_measured, choose=one_per_data_rank),),
        fold=Fold.MEAN,
        hint=_SPECULATIVE,
    ),
    Row(
        engines.FINISHED,
        (_per_request("sglang:num_requests_total"),),
        (("gen_ai.response.finish_reason", "unknown"),),
    ),
    Row(
        engines.FINISHED,  # those are not in num_requests_total
        (_per_request("sglang:num_aborted_requests_total"),),
        (("gen_ai.response.finish_reason", "abort"),),
        hint=_SINCE_0_5,
    ),
    Row(
        engines.FAILED,
        (From("sglang:http_responses_total", (Label("status_code", "error.type", status_class),), note="4xx and 5xx"),),
        hint="only in SGLang 0.5 and newer, once it has answered something",
    ),
)


TABLE: Final = Table(
    name="sglang",
    title="SGLang",
    matches=starts_with("sglang_", never=("nv_inference_", "dynamo_frontend_")),
    rows=ROWS,
    switch_on="start SGLang with --enable-metrics",
    model=(Question("/v1/models", at("data", 0, "id")),),
    version=(Question("/server_info", at("version")), Question("/get_server_info", at("version"))),
    lacks=(
        "finish reasons: send watchkeeper the application's OpenTelemetry, or SGLang's traces (--enable-trace)",
        "drafts and drafted tokens of speculative decoding: only the mean length and share accepted",
    ),
    port=30000,
    on_by_default=False,
)
