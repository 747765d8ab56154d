"""
NVIDIA Triton: its TensorRT-LLM backend, its vLLM backend, and any other.

Every model of a server has series of its own, and a request to an ensemble is counted at the ensemble and once more at
each step: where Triton's own counters are used beside an LLM backend's, only those of the models that the backend runs.
https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/user_guide/metrics.html
"""

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Final

import msgspec

from collector._pages.labels import Fold, Label, words
from collector._pages.page import Page, Series
from collector.engines import vllm
from collector.engines.choices import Choice
from collector.engines.table import From, Row, Table, every, scaled, starts_with, sum_of
from watchkeeper.core.records import Labels, Vantage
from watchkeeper.core.vocabulary import engines, requests

_PAGE: Final[Labels] = ((requests.VANTAGE, Vantage.PAGE.value),)
_INPUT: Final[Labels] = ((requests.TOKEN_TYPE, "input"),)
_OUTPUT: Final[Labels] = ((requests.TOKEN_TYPE, "output"),)
_FAILURES: Final = words({"REJECTED": "rejected", "CANCELED": "cancelled", "BACKEND": "backend"}, "_OTHER")
_OPT_IN: Final = "only with --metrics-config histogram_latencies=true, and for streaming (decoupled) models"
_COUNTED: Final = "only in builds of the backend that count tokens, once a request has come"
_TYPE: Final = "request_type"
_BLOCK: Final = "kv_cache_block_type"


def _run_by(prefix: str) -> Choice:
    """The series of those models that the backend whose families start with `prefix` has."""

    def choose(page: Page, series: Sequence[Series]) -> Iterable[Series]:
        models = {
            value
            for name, family in page.families.items()
            if name.startswith(prefix)
            for one in family.series
            for label, value in one.labels
            if label == "model"
        }
        return [one for one in series if dict(one.labels).get("model") in models]

    return choose


def _by(series: Sequence[Series], label: str) -> Mapping[Labels, Mapping[str, float]]:
    """A family whose `label` says what the number is: the numbers by that, for each set of other labels."""
    found: dict[Labels, dict[str, float]] = {}
    for one in series:
        if isinstance(one.value, float):
            rest = tuple(pair for pair in one.labels if pair[0] != label)
            found.setdefault(rest, {})[dict(one.labels).get(label, "")] = one.value
    return found


def _told(label: str, tell: Callable[[Mapping[str, float]], float | None]) -> Choice:
    """One series for each set of other labels, its value told from the numbers that `label` names."""

    def choose(_page: Page, series: Sequence[Series]) -> Iterable[Series]:
        for rest, numbers in _by(series, label).items():
            value = tell(numbers)
            if value is not None:
                yield Series(rest, value)

    return choose


def _running(numbers: Mapping[str, float]) -> float | None:
    return numbers.get("scheduled")


def _waiting(numbers: Mapping[str, float]) -> float | None:
    if "waiting" in numbers:
        return numbers["waiting"]
    if "active" in numbers and "scheduled" in numbers:  # the two are polled one after the other
        return max(0.0, numbers["active"] - numbers["scheduled"])
    return None


def _fraction(numbers: Mapping[str, float]) -> float | None:
    if "fraction" in numbers:
        return numbers["fraction"]
    return numbers["used"] / numbers["max"] if "used" in numbers and numbers.get("max", 0) > 0 else None


def _capacity(numbers: Mapping[str, float]) -> float | None:
    return numbers["max"] * numbers["tokens_per"] if "max" in numbers and "tokens_per" in numbers else None


def _server_rows(choose: Choice, note: str) -> tuple[Row, ...]:
    """What Triton itself counts, of the models that `choose` keeps."""
    both = f"{note}, " if note else ""
    seconds, milliseconds = f"{both}x 1e-6", f"{both}x 1e-3"
    return (
        Row(
            requests.SERVER_FIRST_TOKEN,
            (
                From(
                    "nv_inference_first_response_histogram_ms",
                    value=scaled(1e-3), choose=choose, note=f"{milliseconds}; the first chunk, whatever it holds",
                ),
            ),
            _PAGE,
            hint=_OPT_IN,
        ),
        Row(
            engines.WORK_TIME,
            (From("nv_inference_request_duration_us", value=scaled(1e-6), choose=choose, note=seconds),),
            (("phase", "request"),),
        ),
        Row(
            engines.WORK_TIME,
            (From("nv_inference_queue_duration_us", value=scaled(1e-6), choose=choose, note=seconds),),
            (("phase", "queue"),),
        ),
        Row(
            engines.FINISHED,
            (From("nv_inference_request_success", choose=choose, note=note),),
            (("gen_ai.response.finish_reason", "unknown"),),
        ),
        Row(
            engines.FAILED,
            (
                From(
                    "nv_inference_request_failure",
                    (Label("reason", "error.type", _FAILURES),),
                    choose=choose, constants=(("error.type", "_OTHER"),), note=note,
                ),
            ),
        ),
    )  # fmt: skip


_KV_CACHE: Final = (
    From("nv_trt_llm_kv_cache_block_metrics", choose=_told(_BLOCK, _fraction), note="`fraction`, else `used` / `max`"),
)

TENSORRT_LLM_ROWS: Final = (
    *_server_rows(_run_by("nv_trt_llm_"), "of the models that the backend runs"),
    Row(
        engines.TOKENS,
        (From("nv_llm_input_token_len", value=sum_of, note="sum of the histogram"),),
        _INPUT,
        hint=_COUNTED,
    ),
    Row(
        engines.TOKENS,
        (From("nv_llm_output_token_len", value=sum_of, note="sum of the histogram"),),
        _OUTPUT,
        hint=_COUNTED,
    ),
    Row(requests.CLIENT_TOKEN_USAGE, (From("nv_llm_input_token_len"),), (*_PAGE, *_INPUT), hint=_COUNTED),
    Row(requests.CLIENT_TOKEN_USAGE, (From("nv_llm_output_token_len"),), (*_PAGE, *_OUTPUT), hint=_COUNTED),
    Row(
        engines.RUNNING,
        (From("nv_trt_llm_request_metrics", choose=_told(_TYPE, _running), note="`scheduled`"),),
    ),
    Row(
        engines.WAITING,
        (
            From(
                "nv_trt_llm_request_metrics",
                choose=_told(_TYPE, _waiting),
                note="`waiting`, else `active` - `scheduled`, not below 0",
            ),
        ),
    ),
    Row(engines.KV_CACHE, _KV_CACHE, fold=Fold.MEAN),
    Row(engines.KV_CACHE_MAX, _KV_CACHE, fold=Fold.MAX),
    Row(
        engines.KV_CACHE_CAPACITY,
        (From("nv_trt_llm_kv_cache_block_metrics", choose=_told(_BLOCK, _capacity), note="`max` x `tokens_per`"),),
    ),
)

_PASSED_ON: Final = frozenset({
    engines.TOKENS, engines.INTER_TOKEN_LATENCY, requests.SERVER_FIRST_TOKEN, requests.SERVER_DURATION,
    requests.CLIENT_TOKEN_USAGE,
})  # fmt: skip
"""what the vLLM backend has passed on from the start"""
_PASSED_ON_LATER: Final = frozenset({
    engines.QUEUE_TIME, engines.PREFILL_TIME, engines.DECODE_TIME, engines.INFERENCE_TIME, engines.PREEMPTIONS,
    engines.RUNNING, engines.WAITING, engines.KV_CACHE, engines.KV_CACHE_MAX,
})  # fmt: skip

VLLM_ROWS: Final = (
    *(row for row in vllm.ROWS if row.metric in _PASSED_ON),
    *(
        msgspec.structs.replace(row, hint="only in builds of the backend of 2025 and newer")
        for row in vllm.ROWS
        if row.metric in _PASSED_ON_LATER
    ),
    *(
        row
        for row in _server_rows(_run_by("vllm_"), "of the models that the backend runs")
        if row.metric != requests.SERVER_FIRST_TOKEN
    ),
)

OTHER_ROWS: Final = (
    *_server_rows(every, ""),
    Row(engines.WAITING, (From("nv_inference_pending_request_count"),), hint="only in Triton 2.41 (23.12) and newer"),
)

_SWITCH_ON: Final = "start tritonserver without --allow-metrics=false; its page is on --metrics-port (8002)"
_MEANS: Final = (
    "the distribution of duration and queue time: Triton gives totals, so "
    "rate(watchkeeper_engine_work_time_seconds_total) / rate(watchkeeper_engine_requests_finished_total) is the mean"
)
_ASK_THE_CALLER: Final = "send watchkeeper the application's OpenTelemetry, which has them"


def _runs_vllm(names: Set[str]) -> bool:
    return starts_with("vllm_")(names) and starts_with("nv_inference_")(names)


TENSORRT_LLM: Final = Table(
    name="tensorrt_llm",
    title="Triton (TensorRT-LLM)",
    matches=starts_with("nv_trt_llm_"),
    rows=TENSORRT_LLM_ROWS,
    switch_on=_SWITCH_ON,
    model_label="model",
    port=8002,
    lacks=(_MEANS, f"inter-token latency, finish reasons, cached tokens and preemptions: {_ASK_THE_CALLER}"),
)

VLLM: Final = Table(
    name="vllm",
    title="Triton (vLLM)",
    matches=_runs_vllm,
    rows=VLLM_ROWS,
    switch_on=f"{_SWITCH_ON}, and the model's config.pbtxt needs REPORT_CUSTOM_METRICS: yes",
    model_label="model",
    port=8002,
    lacks=(f"prefix cache, cached tokens and finish reasons: {_ASK_THE_CALLER}",),
)

OTHER: Final = Table(
    name="triton",
    title="Triton (other backends)",
    matches=starts_with("nv_inference_", never=("vllm_", "nv_trt_llm_")),
    rows=OTHER_ROWS,
    switch_on=_SWITCH_ON,
    model_label="model",
    port=8002,
    lacks=(_MEANS, f"tokens, inter-token latency and finish reasons: {_ASK_THE_CALLER}"),
)
