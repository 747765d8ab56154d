"""What can be true of a device, whatever its driver or exporter says."""

import sys
from collections.abc import Iterable
from typing import Final

from collector.accelerators.driver import Measured
from watchkeeper.core.metric import Kind, Metric

_HIGHEST: Final = {"1": 1.05, "Cel": 250.0, "W": 20_000.0, "Hz": 20e9, "{lane}": 64.0, "{link}": 4096.0, "": 1000.0}
_MOST_BYTES: Final = 2.0**50
"""of memory; a running total may be higher"""
_COLDEST: Final = -60.0
_FASTEST: Final = {"J": 20_000.0, "s": 2.0, "By": 1e14}
"""by unit, what a running total can gain in a second"""
_SLACK_SECONDS: Final = 60.0
"""totals that a driver renews seldom gain much at once"""


class _Bounds(dict[Metric, tuple[float, float]]):
    """The least and the most that a quantity in the metric's unit can be; by metric, found once."""

    def __missing__(self, metric: Metric) -> tuple[float, float]:
        most = _HIGHEST.get(metric.unit, sys.float_info.max)
        if metric.unit == "By" and metric.kind is Kind.GAUGE:
            most = _MOST_BYTES
        self[metric] = bounds = (_COLDEST if metric.unit == "Cel" else 0.0, most)
        return bounds


_BOUNDS: Final = _Bounds()


def is_sane(value: float, metric: Metric) -> bool:
    """Whether a quantity in the metric's unit can be true."""
    least, most = _BOUNDS[metric]
    return least <= value <= most


def are_sane(measured: Iterable[Measured]) -> bool:
    """All of them. For hundreds a second: without a call for each."""
    bounds = _BOUNDS
    for one in measured:
        least, most = bounds[one.metric]
        if not least <= one.value <= most:
            return False
    return True


def can_gain(amount: float, metric: Metric, seconds: float) -> bool:
    """Whether a running total can have gained so much in this time. Of what has no speed limit, anything."""
    fastest = _FASTEST.get(metric.unit)
    return fastest is None or amount <= fastest * (max(0.0, seconds) + _SLACK_SECONDS)
