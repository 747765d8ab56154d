"""
Huawei's MindIE Service, 1.0 and newer, on Ascend.

Its names have no prefix. Times are in whole milliseconds, and gauges are refreshed once a second. Where it serves
several models their names stand joined in one label, `a & b`: the numbers are of all of them, and are left so.
https://www.hiascend.com/document/detail/zh/mindie/21RC1/mindieservice/servicedev/mindie_service0103.html
"""

from collections.abc import Set
from math import isnan
from typing import Final

from collector._pages.labels import Fold
from collector._pages.page import Series, Value
from collector.engines.table import PREFIXES, From, Row, Table
from watchkeeper.core.records import Labels, Vantage
from watchkeeper.core.vocabulary import engines, requests

_PAGE: Final[Labels] = ((requests.VANTAGE, Vantage.PAGE.value),)
_INPUT: Final[Labels] = ((requests.TOKEN_TYPE, "input"),)
_OUTPUT: Final[Labels] = ((requests.TOKEN_TYPE, "output"),)
_TOKENS: Final[Labels] = (("cache.unit", "token"), ("cache.location", "local"))
_NEWEST: Final = "only in the newest builds of MindIE"
_GROWS: Final = "a gauge that only grows"
_BESIDE: Final = frozenset(
    (
        "num_requests_running",
        "num_requests_swapped",
        "prompt_tokens",
        "generation_tokens",
        "e2e_request_latency_seconds",
    )
)


def _told(series: Series) -> Value | None:
    """It writes `Nan` for what it has not measured yet."""
    return None if isinstance(series.value, float) and isnan(series.value) else series.value


def _gauge(name: str, note: str = "") -> From:
    return From(name, value=_told, note=note)


_KV_CACHE: Final = (_gauge("npu_cache_usage_perc"),)  # a fraction in spite of its name

ROWS: Final = (
    Row(requests.SERVER_FIRST_TOKEN, (From("time_to_first_token_seconds"),), _PAGE),
    Row(requests.SERVER_DURATION, (From("e2e_request_latency_seconds"),), _PAGE),
    Row(engines.INTER_TOKEN_LATENCY, (From("time_per_output_token_seconds"),)),  # of each token
    Row(engines.TOKENS, (From("prompt_tokens_total"),), _INPUT),
    Row(engines.TOKENS, (From("generation_tokens_total"),), _OUTPUT),
    Row(requests.CLIENT_TOKEN_USAGE, (From("request_prompt_tokens"),), (*_PAGE, *_INPUT)),
    Row(requests.CLIENT_TOKEN_USAGE, (From("request_generation_tokens"),), (*_PAGE, *_OUTPUT)),
    Row(engines.RUNNING, (_gauge("num_requests_running"),)),
    Row(engines.WAITING, (_gauge("num_requests_waiting"),)),
    Row(engines.SWAPPED, (_gauge("num_requests_swapped"),)),
    Row(engines.KV_CACHE, _KV_CACHE, fold=Fold.MEAN),
    Row(engines.KV_CACHE_MAX, _KV_CACHE, fold=Fold.MAX),
    Row(engines.PREFIX_HIT_RATIO, (_gauge("npu_prefix_cache_hit_rate"),), fold=Fold.MEAN),
    Row(engines.PREFIX_QUERIES, (_gauge("all_radix_match_num", _GROWS),), _TOKENS, hint=_NEWEST),
    Row(engines.PREFIX_HITS, (_gauge("npu_radix_match_hit_num", _GROWS),), _TOKENS, hint=_NEWEST),
    Row(engines.PREEMPTIONS, (From("num_preemptions_total"),)),
    Row(engines.RECEIVED, (From("request_received_total"),)),
    Row(engines.FINISHED, (From("request_success_total"),), (("gen_ai.response.finish_reason", "unknown"),)),
    Row(engines.FAILED, (From("request_failed_total"),), (("error.type", "_OTHER"),)),
)


def _matches(names: Set[str]) -> bool:
    """Its names are other programs' too, so more than one has to be there, and none that tells another engine."""
    marked = "npu_cache_usage_perc" in names or ("request_received" in names and not _BESIDE.isdisjoint(names))
    return marked and "num_request_max" not in names and not any(name.startswith(PREFIXES) for name in names)


TABLE: Final = Table(
    name="mindie",
    title="MindIE",
    matches=_matches,
    rows=ROWS,
    switch_on="start MindIE with MIES_SERVICE_MONITOR_MODE=1 in its environment (https, on `metricsPort`)",
    lacks=(
        "queue, prefill and decode time of a request, and time per output token of a request",
        "finish reasons",
    ),
    port=1027,
    on_by_default=False,
)
