"""
NVIDIA NIM for LLMs, 1.x. Newer ones wrap vLLM or SGLang and show that engine's page.

Its names have no prefix. https://docs.nvidia.com/nim/large-language-models/1.0.0/observability.html
"""

from collections.abc import Set
from typing import Final

from collector._pages.labels import Fold, Label
from collector.engines.table import PREFIXES, From, Question, Row, Table, at
from watchkeeper.core.finish_reasons import canonical
from watchkeeper.core.records import Labels, Vantage
from watchkeeper.core.vocabulary import engines, requests

_PAGE: Final[Labels] = ((requests.VANTAGE, Vantage.PAGE.value),)
_INPUT: Final[Labels] = ((requests.TOKEN_TYPE, "input"),)
_OUTPUT: Final[Labels] = ((requests.TOKEN_TYPE, "output"),)
_KV_CACHE: Final = (From("gpu_cache_usage_perc"),)  # a fraction in spite of its name
_MARKS: Final = frozenset(("num_request_max", "gpu_cache_usage_perc"))
_OTHERS: Final = frozenset(("npu_cache_usage_perc", "request_received"))

ROWS: Final = (
    Row(requests.SERVER_FIRST_TOKEN, (From("time_to_first_token_seconds"),), _PAGE),
    Row(requests.SERVER_DURATION, (From("e2e_request_latency_seconds"),), _PAGE),
    Row(engines.INTER_TOKEN_LATENCY, (From("time_per_output_token_seconds"),)),  # of each token
    Row(engines.TOKENS, (From("prompt_tokens_total"),), _INPUT),
    Row(engines.TOKENS, (From("generation_tokens_total"),), _OUTPUT),
    Row(requests.CLIENT_TOKEN_USAGE, (From("request_prompt_tokens"),), (*_PAGE, *_INPUT)),
    Row(requests.CLIENT_TOKEN_USAGE, (From("request_generation_tokens"),), (*_PAGE, *_OUTPUT)),
    Row(engines.RUNNING, (From("num_requests_running"),)),
    Row(engines.WAITING, (From("num_requests_waiting"),)),
    Row(engines.KV_CACHE, _KV_CACHE, fold=Fold.MEAN),
    Row(engines.KV_CACHE_MAX, _KV_CACHE, fold=Fold.MAX),
    Row(
        engines.FINISHED,
        (
            From(
                "request_finish_total",
                (Label("finished_reason", "gen_ai.response.finish_reason", canonical),),
            ),
            From("request_success_total", constants=(("gen_ai.response.finish_reason", "unknown"),)),
        ),
    ),
    Row(engines.FAILED, (From("request_failure_total"),), (("error.type", "_OTHER"),)),
)


def _matches(names: Set[str]) -> bool:
    return names >= _MARKS and _OTHERS.isdisjoint(names) and not any(name.startswith(PREFIXES) for name in names)


TABLE: Final = Table(
    name="nim",
    title="NVIDIA NIM",
    matches=_matches,
    rows=ROWS,
    switch_on="it is on by default, at /v1/metrics",
    paths=("/v1/metrics",),
    version=(Question("/v1/version", at("release")),),
    lacks=(
        "queue, prefill and decode time of a request, and time per output token of a request",
        "preemptions and the prefix cache's hits",
    ),
)
