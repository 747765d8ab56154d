"""What of a call is watched: its numbers, its outcome and what the checks said, by the name of the signal."""

from collections.abc import Callable, Sequence
from typing import Final

from detectors.drift.kinds import Kind
from watchkeeper.core.metric import Kind as MetricKind
from watchkeeper.core.metric import Metric
from watchkeeper.core.observed import Segment
from watchkeeper.core.records import Completion, Flag, Outcome, Score
from watchkeeper.core.vocabulary import METRICS

QUALITY: Final = "quality."
"""begins the signal of an outside judgement's score; the evaluation's name follows"""
VERDICT: Final = "verdict."
"""begins the signal of an outside judgement's label"""
ERROR: Final = "error"
FINISH_REASON: Final = "finish_reason"

_FAILED: Final = (Outcome.ERROR, Outcome.TIMEOUT, Outcome.REJECTED)


def _time_per_output_token(call: Completion) -> float | None:
    if call.pace_seconds is not None:
        return call.pace_seconds
    first, tokens = call.time_to_first_token_seconds, call.output_tokens
    if call.duration_seconds is None or first is None or tokens is None or tokens < 2:
        return None
    return max(0.0, call.duration_seconds - first) / (tokens - 1)


def _cached_input_share(call: Completion) -> float | None:
    if call.cached_input_tokens is None or not call.input_tokens:
        return None
    return min(1.0, call.cached_input_tokens / call.input_tokens)


NUMBERS: Final[tuple[tuple[str, str, Callable[[Completion], float | None]], ...]] = (
    ("input_tokens", "tokens", lambda call: call.input_tokens),
    ("output_tokens", "tokens", lambda call: call.output_tokens),
    ("duration", "s", lambda call: call.duration_seconds),
    ("time_to_first_token", "s", lambda call: call.time_to_first_token_seconds),
    ("time_per_output_token", "s", _time_per_output_token),
    ("cached_input_share", "", _cached_input_share),
)
"""signal, unit for people, how it is read"""

_METRICS: Final[dict[str, Metric]] = {metric.name: metric for metric in METRICS}
_UNITS: Final = {name: unit for name, unit, _ in NUMBERS}


def kind_of(signal: str) -> Kind:
    """How a signal is watched. A name that is none of the others is a check's, whose answers are marked or not."""
    if signal in _UNITS or signal.startswith(QUALITY):
        return Kind.NUMBER
    if signal == FINISH_REASON or signal.startswith(VERDICT):
        return Kind.CATEGORY
    if metric := _METRICS.get(signal):
        return Kind.NUMBER if metric.kind is MetricKind.HISTOGRAM else Kind.CATEGORY
    return Kind.FLAG


def unit_of(signal: str) -> str:
    """The unit that people read a number in; empty for shares and scores."""
    if metric := _METRICS.get(signal):
        return "" if metric.unit == "1" else metric.unit.strip("{}") + ("s" if metric.unit.startswith("{") else "")
    return _UNITS.get(signal, "")


def segment_of(call: Completion) -> Segment:
    return Segment(call.namespace, call.service, call.request_model)


def values_of(call: Completion, scores: Sequence[Score]) -> dict[str, float | str]:
    """
    Observations by signal. Of a call that two observers tell of, only the record that counts brings the call's own.
    """
    values: dict[str, float | str] = {score.name: score.value for score in scores}
    for score in scores:
        if isinstance(score, Flag) and _METRICS.get(score.name):
            raise ValueError(f"the flag {score.name} has the name of a metric")
    if not call.counts:
        return values
    for name, _, read in NUMBERS:
        number = read(call)
        if number is not None:
            values[name] = float(number)
    if call.outcome is not None:
        values[ERROR] = 1.0 if call.outcome in _FAILED else 0.0
    if call.finish_reasons:
        values[FINISH_REASON] = call.finish_reasons[0]
    return values
