"""
LMDeploy. With data parallelism each rank has an API server, and thus a page, of its own.

https://lmdeploy.readthedocs.io/en/latest/advance/metrics.html
"""

from typing import Final

from collector._pages.labels import Fold, Label
from collector.engines.table import From, Question, Row, Table, at, starts_with
from watchkeeper.core.records import Labels, Vantage
from watchkeeper.core.vocabulary import engines, requests

_PAGE: Final[Labels] = ((requests.VANTAGE, Vantage.PAGE.value),)
_INPUT: Final[Labels] = ((requests.TOKEN_TYPE, "input"),)
_OUTPUT: Final[Labels] = ((requests.TOKEN_TYPE, "output"),)
_KV_CACHE: Final = (From("lmdeploy:gpu_cache_usage_perc"),)  # a fraction in spite of its name
_GROWS: Final = "a gauge that only grows"
_NEWER: Final = "only in newer versions of LMDeploy"
_SPECULATIVE: Final = "only in LMDeploy 0.14 and newer"


def _finish_reason(word: str) -> str:
    """From the text of its Python enumeration; it does not tell stop from length."""
    known = {"FINISH": "stop", "SUCCESS": "stop", "CANCEL": "abort"}
    return known.get(word.removeprefix("ResponseType."), "error")


ROWS: Final = (
    Row(requests.SERVER_FIRST_TOKEN, (From("lmdeploy:time_to_first_token_seconds"),), _PAGE),
    Row(requests.SERVER_DURATION, (From("lmdeploy:e2e_request_latency_seconds"),), _PAGE),
    # its time per output token is of each token, iter_token_latency of each step whatever tokens that brings
    Row(engines.INTER_TOKEN_LATENCY, (From("lmdeploy:time_per_output_token_seconds"),)),
    Row(engines.QUEUE_TIME, (From("lmdeploy:request_queue_time_seconds"),)),
    Row(engines.PREFILL_TIME, (From("lmdeploy:request_prefill_time_seconds"),)),
    Row(engines.DECODE_TIME, (From("lmdeploy:request_decode_time_seconds"),)),
    Row(engines.INFERENCE_TIME, (From("lmdeploy:request_inference_time_seconds"),)),
    Row(engines.TOKENS, (From("lmdeploy:prompt_tokens_total"),), _INPUT),
    Row(engines.TOKENS, (From("lmdeploy:generation_tokens_total"),), _OUTPUT),
    Row(
        engines.CACHED_TOKENS,
        (From("lmdeploy:cached_tokens_total", constants=(("cache.source", "unknown"),)),),
        hint=_NEWER,
    ),
    Row(requests.CLIENT_TOKEN_USAGE, (From("lmdeploy:request_prompt_tokens"),), (*_PAGE, *_INPUT)),
    Row(requests.CLIENT_TOKEN_USAGE, (From("lmdeploy:request_generation_tokens"),), (*_PAGE, *_OUTPUT)),
    Row(engines.RUNNING, (From("lmdeploy:num_requests_running"),)),
    Row(engines.WAITING, (From("lmdeploy:num_requests_waiting", note="both queues together"),)),
    Row(  # the queue before the engine's; the two add up
        engines.WAITING,
        (From("lmdeploy:num_api_requests_waiting", note="both queues together"),),
        hint=_NEWER,
    ),
    Row(engines.KV_CACHE, _KV_CACHE, fold=Fold.MEAN),
    Row(engines.KV_CACHE_MAX, _KV_CACHE, fold=Fold.MAX),
    Row(
        engines.PREFIX_HIT_RATIO,
        (From("lmdeploy:prefix_cache_hit_rate"),),
        fold=Fold.MEAN,
        hint="only in newer versions of LMDeploy with --enable-prefix-caching",
    ),
    Row(engines.DRAFTS, (From("lmdeploy:spec_decode_num_drafts_total"),), hint=_SPECULATIVE),
    Row(engines.DRAFT_TOKENS, (From("lmdeploy:spec_decode_num_draft_tokens_total"),), hint=_SPECULATIVE),
    Row(engines.ACCEPTED_TOKENS, (From("lmdeploy:spec_decode_num_accepted_tokens_total"),), hint=_SPECULATIVE),
    Row(
        engines.FINISHED,  # counts failures too, in spite of its name
        (
            From(
                "lmdeploy:request_success_total",
                (Label("finished_reason", "gen_ai.response.finish_reason", _finish_reason),),
            ),
            From(
                "lmdeploy:num_requests_succeeded",
                constants=(("gen_ai.response.finish_reason", "unknown"),),
                note=_GROWS,
            ),
        ),
        hint=_NEWER,
    ),
    Row(
        engines.FAILED,
        (From("lmdeploy:num_requests_failed", constants=(("error.type", "_OTHER"),), note=_GROWS),),
        hint=_NEWER,
    ),
)


TABLE: Final = Table(
    name="lmdeploy",
    title="LMDeploy",
    matches=starts_with("lmdeploy_"),
    rows=ROWS,
    switch_on="start lmdeploy serve without --disable-metrics",
    model=(Question("/v1/models", at("data", 0, "id")),),
    lacks=(
        "time per output token of a request: only the time between tokens",
        "whether an answer stopped or was cut at its length: both are `stop`",
        "preemptions",
    ),
    port=23333,
)
