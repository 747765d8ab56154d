"""Series of what answers are: checks, judgements, drift against a reference."""

from collections.abc import Mapping
from typing import Final

import numpy as np

from dashboards.estate.conditions import Conditions
from dashboards.estate.load import Replica, wander
from dashboards.estate.series import Numbers, Observer
from watchkeeper.core.vocabulary import drift, outputs

USUAL: Final = {
    "refusal": 0.015, "tail_loop": 0.003, "repetition": 0.02, "truncation": 0.02, "empty": 0.0005, "mojibake": 0.0004,
    "format": 0.004, "pii": 0.003, "secrets": 0.0, "injection": 0.0008, "unsafe": 0.002, "language": 0.006,
}  # fmt: skip
SAFETY: Final = ("pii", "secrets", "unsafe")
SIGNALS: Final = ("input_tokens", "output_tokens", "time_to_first_token", "error", "refusal",
                  "watchkeeper.output.compression")  # fmt: skip
BINS: Final = (0.05, 0.10, 0.14, 0.21, 0.21, 0.14, 0.10, 0.05)
REFERENCE_AGE_SECONDS: Final = 19 * 86_400.0


def answers(observer: Observer, service: Mapping[str, str], it: Replica, conditions: Conditions) -> None:
    """What checks and evaluators say of them."""
    random = np.random.default_rng(11)
    rate = it.answered * (1 - conditions.link_silent)
    for check, usual in USUAL.items():
        works = 1 - conditions.checks_fail * (check in SAFETY)
        share = conditions.flagged.get(check, conditions.clock.level(usual))
        share = share * np.clip(wander(conditions.clock, random, 0.15), 0, 2)
        observer.counter(outputs.CHECKED, rate * works, check=check, tenant="web", **service)
        observer.counter(outputs.FLAGGED, rate * works * share, check=check, tenant="web", **service)
        if check in SAFETY:
            observer.counter(outputs.FAILURES, rate * (1 - works), check=check, reason="timed_out")
        observer.counter(outputs.CPU_TIME, rate * 4e-5, check=check)
    observer.counter(outputs.DROPPED, 0.0, check="classifier", reason="full")
    for check, kind, part in (("pii", "mobile", 0.002), ("pii", "mail", 0.001), ("injection", "persona", 0.0008)):
        observer.counter(outputs.HITS, rate * part, check=check, kind=kind, **service)
    leaked = conditions.flagged.get("secrets", conditions.clock.level(0.0))
    observer.counter(outputs.HITS, rate * leaked, check="secrets", kind="api_key", **service)
    for language, part in (("en", 0.62), ("zh", 0.33), ("de", 0.05)):
        observer.counter(outputs.LANGUAGE, rate * part, language=language, **service)
    loops = conditions.flagged.get("tail_loop", conditions.clock.level(0.003))
    observer.histogram(outputs.REPETITION, rate, (0.03 + loops) * wander(conditions.clock, random, 0.1), 1.0, **service)
    observer.histogram(outputs.COMPRESSION, rate, 1.45 + 2 * loops, 0.25, **service)
    observer.histogram(outputs.CHARACTERS, rate, it.output_length * 4, 0.8, **service)
    observer.histogram(
        outputs.SURPRISE,
        rate * 0.1,
        (0.32 + 0.2 * conditions.new_version) * wander(conditions.clock, random, 0.03),
        0.5,
        **service,
    )
    observer.histogram(outputs.GROUNDED, rate * 0.1, 0.55 * wander(conditions.clock, random, 0.04), 0.4, **service)
    _evaluated(observer, service, rate, conditions)


def _evaluated(observer: Observer, service: Mapping[str, str], rate: Numbers, conditions: Conditions) -> None:
    worse = (1 - 0.25 * conditions.new_version) * wander(conditions.clock, np.random.default_rng(12), 0.02)
    for name, share, middle in (("relevance", 0.05, 0.82), ("user_feedback", 0.02, 0.7)):
        observer.histogram(outputs.QUALITY, rate * share, middle * worse, 0.15, gen_ai_evaluation_name=name, **service)
    for label, share in (("thumbs_up", 0.016), ("thumbs_down", 0.004)):
        observer.counter(outputs.JUDGEMENTS, rate * share, gen_ai_evaluation_name="user_feedback",
                         gen_ai_evaluation_score_label=label, **service)  # fmt: skip
    observer.counter(outputs.UNJOINED, rate * 0.0004, reason="unknown_call")


def streams(
    observer: Observer, service: Mapping[str, str], rate: Numbers, conditions: Conditions, random: np.random.Generator
) -> None:
    """What the drift detectors say of one service's answers."""
    clock = conditions.clock
    told = rate * (1 - conditions.link_silent)
    alarmed = clock.level(0.0)
    for index, signal in enumerate(SIGNALS):
        moved = conditions.drift.get(signal, clock.level(0.0))
        score = np.clip(0.18 * wander(clock, random, 0.5, 1800) + _hour(np.abs(moved), clock.step) * 0.9, -0.4, 6)
        state = (score >= 0.7) + 0.0 + (score >= 1)
        alarmed = np.maximum(alarmed, state)
        labels = {**service, "signal": signal}
        observer.gauge(drift.STATE, state, **labels)
        observer.gauge(drift.SCORE, score, **labels)
        middle, half = (0.5, 0.06) if "." in signal or "to" in signal else (USUAL.get(signal, 0.002), 0.01)
        named = {**labels, "score": "location" if middle == 0.5 else "share"}
        value = middle + half * (_hour(moved, clock.step) + 0.3 * (wander(clock, random, 1.0, 1200) - 1))
        for metric, values in (
            (drift.VALUE, np.clip(value, 0, 1)), (drift.BAND_LOW, max(0.0, middle - half)),
            (drift.BAND_HIGH, middle + half),
        ):  # fmt: skip
            observer.gauge(metric, values, **named)
        observer.level(drift.ALARMS, np.cumsum(np.diff(state == 2, prepend=False) & (state == 2)).astype(float),
                       **labels)  # fmt: skip
        referred = {**labels, "reference": f"r-{index + 1:02d}-20261103"}
        for number, (share, now) in enumerate(_bins(middle, half, moved)):
            observer.counter(drift.OBSERVATIONS, told * now, bin=str(number), **referred)
            observer.gauge(drift.REFERENCE_SHARE, share, bin=str(number), **referred)
        observer.gauge(drift.REFERENCE_TIME, clock.end - REFERENCE_AGE_SECONDS, **referred)
        observer.gauge(drift.REFERENCE_SIZE, 20_000.0, **referred)
    for name, count in (("ok", len(SIGNALS) - (alarmed > 0)), ("warn", alarmed == 1), ("alarm", alarmed == 2)):
        observer.gauge(drift.STREAMS, count + 0.0, state=name)
    observer.gauge(drift.STREAMS, 2.0, state="warming")
    observer.counter(drift.EXPECTED, 1 / (30 * 86_400))
    observer.counter(drift.REFUSED, 0.0, reason="damaged")
    observer.counter(drift.RECORDED, told * len(SIGNALS), outcome="kept")


def _bins(middle: float, half: float, moved: Numbers) -> list[tuple[float, Numbers]]:
    """Shares by bin, of the reference and now: eight bins of a number, two of a flag."""
    if middle != 0.5:
        share = np.clip(middle + half * moved, 0, 1)
        return [(1 - middle, 1 - share), (middle, share)]
    weights = [share * np.exp(moved * 0.25 * (number - 3.5)) for number, share in enumerate(BINS)]
    whole = sum(weights)
    return [(share, weight / whole) for share, weight in zip(BINS, weights, strict=True)]


def _hour(values: Numbers, step: float) -> Numbers:
    """Mean of the last hour, as detectors see it: they need evidence."""
    width = max(1, int(1200 / step))
    return np.convolve(np.concatenate((np.full(width - 1, values[0]), values)), np.full(width, 1 / width), "valid")
