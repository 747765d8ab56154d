"""
OpenTelemetry names to Prometheus names, strategy UnderscoreEscapingWithSuffixes.

https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/
"""

import re
from functools import lru_cache

_UNITS = {
    "s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds",
    "min": "minutes", "h": "hours", "d": "days",
    "By": "bytes", "KiBy": "kibibytes", "MiBy": "mebibytes", "GiBy": "gibibytes",
    "W": "watts", "J": "joules", "V": "volts", "A": "amperes", "Cel": "celsius", "Hz": "hertz",
    "%": "percent", "m": "meters", "g": "grams",
}  # fmt: skip
_PER = {"s": "second", "min": "minute", "m": "minute", "h": "hour", "d": "day"}


@lru_cache(maxsize=4096)
def metric_name(name: str, unit: str, *, counter: bool, gauge: bool) -> str:
    escaped = re.sub(r"_+", "_", re.sub(r"[^a-zA-Z0-9_:]", "_", name))
    if escaped[:1].isdigit():
        escaped = f"_{escaped}"
    word = unit_name(unit, gauge=gauge)
    if word and not escaped.endswith(word):
        escaped = f"{escaped}_{word}"
    if counter and not escaped.endswith("_total"):
        escaped = f"{escaped}_total"
    return escaped


def unit_name(unit: str, *, gauge: bool) -> str:
    """The word that ends a family's name and stands in its UNIT line; empty where the unit has none."""
    return "ratio" if unit == "1" and gauge else _unit_word(unit)


@lru_cache(maxsize=4096)
def label_name(name: str) -> str:
    escaped = re.sub(r"_+", "_", re.sub(r"[^a-zA-Z0-9_]", "_", name))
    return f"key_{escaped}" if escaped[:1].isdigit() else escaped


def _unit_word(unit: str) -> str:
    if unit == "1":
        return ""
    amount, _, per = re.sub(r"\{[^}]*\}", "", unit).partition("/")
    word = re.sub(r"[^a-zA-Z0-9]+", "_", _UNITS.get(amount, amount)).strip("_")
    if not per:
        return word
    return f"{word}_per_{_PER.get(per, per)}".strip("_")
