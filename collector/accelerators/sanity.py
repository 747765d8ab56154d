"""What can be true of a device, whatever its driver or exporter says."""

from math import isfinite
from typing import Final

from watchkeeper.core.metric import Kind, Metric

_HIGHEST: Final = {"1": 1.05, "Cel": 250.0, "W": 20_000.0, "Hz": 20e9, "{lane}": 64.0, "{link}": 4096.0, "": 1000.0}
_MOST_BYTES: Final = 2.0**50
"""of memory; a running total may be higher"""
_COLDEST: Final = -60.0
_FASTEST: Final = {"J": 20_000.0, "s": 2.0, "By": 1e14}
"""by unit, what a running total can gain in a second"""
_SLACK_SECONDS: Final = 60.0
"""totals that a driver renews seldom gain much at once"""


def is_sane(value: float, metric: Metric) -> bool:
    """Whether a quantity in the metric's unit can be true."""
    if not isfinite(value) or value > _HIGHEST.get(metric.unit, float("inf")):
        return False
    if metric.unit == "By" and value > _MOST_BYTES and metric.kind is Kind.GAUGE:
        return False
    return value >= (_COLDEST if metric.unit == "Cel" else 0.0)


def can_gain(amount: float, metric: Metric, seconds: float) -> bool:
    """Whether a running total can have gained so much in this time. Of what has no speed limit, anything."""
    fastest = _FASTEST.get(metric.unit)
    return fastest is None or amount <= fastest * (max(0.0, seconds) + _SLACK_SECONDS)
