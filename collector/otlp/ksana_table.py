"""
What KsanaLLM's pushed metrics become.

It records everything but its counters in histograms with OpenTelemetry's default bounds. For microseconds these end at
10 ms: such a histogram tells how many and how long in all, never a quantile. A gauge comes as a histogram too, one
observation per step of the scheduler: its mean over the interval is what it stood at.
https://github.com/Tencent/KsanaLLM
"""

from enum import StrEnum
from typing import Final

import msgspec

from collector.otlp.outcomes import UNKNOWN
from watchkeeper.core.metric import Metric
from watchkeeper.core.records import Labels
from watchkeeper.core.vocabulary import engines, requests

SCOPE: Final = "ksana_inference_metrics"
NAME: Final = "ksanallm"
"""its `gen_ai.provider.name`"""


class Take(StrEnum):
    """What of a point is used."""

    DURATIONS = "count and sum, buckets where they reach far enough"
    SIZES = "buckets, count and sum"
    SUM = "sum"
    COUNT = "count"
    MEAN = "sum / count of the interval"


class Row(msgspec.Struct, frozen=True):
    """
    One metric and the name it comes under. `scale` makes its unit ours. A row of MEAN also stands for the same name
    with `_0`, `_1`, … behind it, one for each data-parallel rank: these are added up, and win over the name alone,
    which mixes them.
    """

    metric: Metric
    name: str
    take: Take
    constants: Labels = ()
    scale: float = 1.0
    phase: str = ""
    """of work_time, which takes the seconds that come without usable buckets and have no vantage to set them apart"""


_INPUT: Final[Labels] = ((requests.TOKEN_TYPE, "input"),)
_OUTPUT: Final[Labels] = ((requests.TOKEN_TYPE, "output"),)
_MICRO: Final = 1e-6
_MILLI: Final = 1e-3


def _cache(unit: str) -> Labels:
    return ("cache.unit", unit), ("cache.location", "local")


def _finished(reason: str) -> Labels:
    return (("gen_ai.response.finish_reason", reason),)


ROWS: Final = (
    Row(requests.SERVER_FIRST_TOKEN, "time_to_first_token_us", Take.DURATIONS, scale=_MICRO),
    Row(requests.SERVER_FIRST_TOKEN, "time_to_first_token_ms", Take.DURATIONS, scale=_MILLI),
    Row(requests.SERVER_DURATION, "total_latency_us", Take.DURATIONS, scale=_MICRO),
    Row(requests.SERVER_DURATION, "total_latency_ms", Take.DURATIONS, scale=_MILLI),
    Row(engines.QUEUE_TIME, "batch_manager_schedule_us", Take.DURATIONS, scale=_MICRO, phase="queue"),
    Row(engines.QUEUE_TIME, "batch_manager_schedule_ms", Take.DURATIONS, scale=_MILLI, phase="queue"),
    Row(requests.CLIENT_TOKEN_USAGE, "input_token_len", Take.SIZES, _INPUT),
    Row(requests.CLIENT_TOKEN_USAGE, "output_token_len", Take.SIZES, _OUTPUT),
    # computed_input_token_num and computed_output_token_num are the same tokens at another moment: never added to these
    Row(engines.TOKENS, "input_token_len", Take.SUM, _INPUT),
    Row(engines.TOKENS, "output_token_len", Take.SUM, _OUTPUT),
    Row(engines.CACHED_TOKENS, "prefix_cache_hit_token_num", Take.SUM, (("cache.source", "unknown"),)),
    Row(engines.PREFIX_HITS, "prefix_cache_hit_token_num", Take.SUM, _cache("token")),
    Row(engines.PREFIX_HITS, "prefix_cache_hit_block_num", Take.SUM, _cache("block")),
    Row(engines.PREFIX_HITS, "prefix_cache_hit_req_num", Take.SUM, _cache("request")),
    Row(engines.RUNNING, "batch_scheduler_batch_size", Take.MEAN),
    Row(engines.WAITING, "batch_scheduler_waiting_size", Take.MEAN),
    Row(engines.RECEIVED, "forward_req_total_num", Take.SUM),
    Row(engines.FINISHED, "total_latency_us", Take.COUNT, _finished("unknown")),  # successes: stop and length in one
    Row(engines.FINISHED, "total_latency_ms", Take.COUNT, _finished("unknown")),
    Row(engines.FINISHED, "forward_req_aborted_num", Take.SUM, _finished("abort")),
    Row(engines.FAILED, "forward_req_timeout_num", Take.SUM, ((requests.ERROR_TYPE, "timeout"),)),
    Row(engines.FAILED, "forward_req_error_num", Take.COUNT, ((requests.ERROR_TYPE, UNKNOWN),)),  # of status codes
    Row(engines.PREEMPTIONS, "recompute_request_num", Take.SUM),
    Row(engines.PREEMPTIONS, "swapout_request_num", Take.SUM),
    Row(engines.DRAFT_TOKENS, "spec_draft_token_num", Take.SUM),
    Row(engines.ACCEPTED_TOKENS, "spec_draft_hit_num", Take.SUM),
)
METRICS: Final = (*dict.fromkeys(row.metric for row in ROWS), engines.WORK_TIME, engines.ENGINE_UP)

BY_NAME: Final = {name: tuple(row for row in ROWS if row.name == name) for name in {row.name for row in ROWS}}
