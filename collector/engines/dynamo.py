"""
NVIDIA Dynamo: the frontend, and the worker that runs an engine.

Both describe the same requests. The frontend counts them under the provider `dynamo` and the role `frontend`; of a
worker only its two gauges are taken, and its engine's own families, which it passes on, are read by that engine's table
(docs/decisions/0006-a-frontend-is-a-provider-of-its-own.md).
https://docs.nvidia.com/dynamo/reference/observability/metrics-catalog
"""

from typing import Final

import msgspec

from collector._pages.labels import Fold, Label
from collector._pages.page import Series, Value
from collector.engines.table import From, Row, Table, starts_with, sum_of
from watchkeeper.core.records import Labels, Vantage
from watchkeeper.core.vocabulary import engines, requests

_PAGE: Final[Labels] = ((requests.VANTAGE, Vantage.PAGE.value),)
_INPUT: Final[Labels] = ((requests.TOKEN_TYPE, "input"),)
_OUTPUT: Final[Labels] = ((requests.TOKEN_TYPE, "output"),)
_PREFIXES: Final = ("dynamo_frontend_", "nv_llm_http_service_")
"""as it is, and as older NIM containers set DYN_METRICS_PREFIX"""
_STAGES: Final = ("preprocess", "route", "dispatch")


def _named(*names: str, **settings: object) -> tuple[From, ...]:
    return tuple(From(prefix + name, **settings) for name in names for prefix in _PREFIXES)  # type: ignore[arg-type]


def _succeeded(series: Series) -> Value | None:
    return series.value if dict(series.labels).get("status") == "success" else None


def _cancelled(series: Series) -> Value | None:
    return series.value if dict(series.labels).get("error_type") == "cancelled" else None


def _failed(series: Series) -> Value | None:
    """Errors; a cancelled request is none of the server's, and counted by itself."""
    return None if _succeeded(series) is not None or _cancelled(series) is not None else series.value


def _not_succeeded(series: Series) -> Value | None:
    return None if _succeeded(series) is not None else series.value


def _before_first_token(series: Series) -> Value | None:
    return series.value if dict(series.labels).get("stage") in _STAGES else None


def _finished(reason: str) -> Labels:
    return (("gen_ai.response.finish_reason", reason),)


_LENGTHS_IN: Final = "input_sequence_tokens"
_LENGTHS_OUT: Final = "output_sequence_tokens"

_COUNTED_THERE: Final = (
    Row(requests.SERVER_FIRST_TOKEN, _named("time_to_first_token_seconds"), _PAGE),
    Row(requests.SERVER_DURATION, _named("request_duration_seconds"), _PAGE),
    Row(engines.INTER_TOKEN_LATENCY, _named("inter_token_latency_seconds")),
    Row(engines.TOKENS, _named(_LENGTHS_IN, value=sum_of, note="sum of the histogram"), _INPUT),
    Row(
        engines.TOKENS,
        (*_named("output_tokens_total"), *_named(_LENGTHS_OUT, value=sum_of, note="sum of the histogram")),
        _OUTPUT,
    ),
    Row(
        engines.CACHED_TOKENS,
        _named("cached_tokens", value=sum_of, note="sum of the histogram"),
        (("cache.source", "unknown"),),
        hint="only once a worker has told cached tokens",
    ),
    Row(requests.CLIENT_TOKEN_USAGE, _named(_LENGTHS_IN), (*_PAGE, *_INPUT)),
    Row(requests.CLIENT_TOKEN_USAGE, _named(_LENGTHS_OUT), (*_PAGE, *_OUTPUT)),
    Row(engines.RUNNING, _named("active_requests", "inflight_requests")),
    Row(
        engines.WAITING,
        (
            *_named("stage_requests", value=_before_first_token, note="preprocess + route + dispatch"),
            *_named("queued_requests"),
        ),
    ),
    Row(engines.FINISHED, _named("requests_total", value=_succeeded, note="`status` success"), _finished("unknown")),
    Row(
        engines.FINISHED,
        _named("requests_total", value=_cancelled, note="`error_type` cancelled"),
        _finished("abort"),
    ),
    Row(engines.FINISHED, _named("requests_total", value=_failed, note="other errors"), _finished("error")),
    Row(
        engines.FAILED,
        _named(
            "requests_total",
            labels=(Label("error_type", "error.type"),),
            value=_not_succeeded,
            constants=(("error.type", "_OTHER"),),
            note="`status` error",
        ),
    ),
    Row(
        engines.REJECTED,
        _named("model_rejection_total"),
        (("reason", "overload"),),
        hint="only once a request was refused for lack of capacity",
    ),
)

FRONTEND_ROWS: Final = tuple(
    msgspec.structs.replace(row, constants=(*row.constants, (requests.ROLE, "frontend"))) for row in _COUNTED_THERE
)

_USAGE: Final = (From("dynamo_component_gpu_cache_usage_percent", note="a fraction in spite of its name"),)

WORKER_ROWS: Final = (
    Row(engines.KV_CACHE, _USAGE, fold=Fold.MEAN, hint="not from prefill workers"),
    Row(engines.KV_CACHE_MAX, _USAGE, fold=Fold.MAX, hint="not from prefill workers"),
    Row(
        engines.PREFIX_HIT_RATIO,
        (From("dynamo_component_kv_cache_hit_rate"),),
        fold=Fold.MEAN,
        hint="only in Dynamo 1.0 and newer",
    ),
)

FRONTEND: Final = Table(
    name="dynamo",
    title="Dynamo frontend",
    matches=lambda names: any(name.startswith(_PREFIXES) for name in names),
    rows=FRONTEND_ROWS,
    switch_on="its page is on --http-port (8000)",
    model_label="model",
    lacks=("KV cache, prefix cache, queue time and preemptions: add the workers' pages (DYN_SYSTEM_PORT)",),
)

WORKER: Final = Table(
    name="dynamo",
    title="Dynamo worker",
    matches=starts_with("dynamo_component_", never=_PREFIXES),
    rows=WORKER_ROWS,
    switch_on="set DYN_SYSTEM_PORT=9090 in the worker's environment",
    on_by_default=False,
    model_label="model",
    port=9090,
    wraps="",
)
