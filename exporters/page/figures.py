"""Numbers as a person reads them: three digits at most and the fitting unit."""

import math
from typing import Final, NamedTuple

from exporters.page.totals import Estimate

DASH: Final = "–"
"""what stands for a number that is absent"""

_THOUSANDS: Final = ("", "k", "M", "G", "T")
_BYTES: Final = ("B", "kB", "MB", "GB", "TB")
_UNIT_SECONDS: Final = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


class Figure(NamedTuple):
    text: str
    unit: str = ""

    def __str__(self) -> str:
        return f"{self.text}\u00a0{self.unit}" if self.unit and self.unit != "%" else f"{self.text}{self.unit}"


def seconds(value: float) -> Figure:
    """A latency: 0.34 ms, 12.3 ms, 340 ms, 1.24 s, 82 s."""
    if value < 0.9995:
        return Figure(_three_digits(value * 1000), "ms")
    return Figure(_three_digits(value), "s")


def estimate(value: Estimate) -> Figure:
    """A quantile above the highest bucket says so."""
    figure = seconds(value.value)
    return Figure(f"≥\u00a0{figure.text}", figure.unit) if value.at_least else figure


def count(value: float) -> str:
    """0.2, 12.3, 950, 12.3k, 4.56M."""
    scaled, exponent = _scaled(value, 1000)
    return f"{_three_digits(scaled)}{_THOUSANDS[exponent]}"


def rate(value: float) -> str:
    """Per second. What is above 0 never reads 0."""
    return "<0.01" if 0 < value < 0.005 else count(value)


def share(value: float) -> Figure:
    """0 to 1 as a percentage. What is above 0 never reads 0."""
    percent = value * 100
    if 0 < percent < 0.1:
        return Figure("<0.1", "%")
    return Figure(f"{percent:.1f}" if 0 < percent < 9.95 else f"{percent:.0f}", "%")


def size(value: float) -> Figure:
    scaled, exponent = _scaled(value, 1000)
    return Figure(_three_digits(scaled), _BYTES[exponent])


def age(value: float) -> tuple[tuple[int, str], ...]:
    """
    The two largest units of a span of time, as amounts and unit names: second, minute, hour, day.

    >>> age(7_500)
    ((2, 'hour'), (5, 'minute'))
    """
    left = max(math.floor(value), 0)
    parts = []
    for unit, length in _UNIT_SECONDS:
        amount, left = divmod(left, length)
        parts.append((amount, unit))
    first = next((index for index, (amount, _) in enumerate(parts) if amount), len(parts) - 1)
    return tuple(part for part in parts[first : first + 2] if part[0] or part is parts[first])


def _three_digits(value: float) -> str:
    """
    At most three significant digits, no trailing zeros after the point.

    >>> _three_digits(0.0), _three_digits(0.123), _three_digits(9.996), _three_digits(123.4)
    ('0', '0.12', '10', '123')
    """
    decimals = 2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0
    text = f"{value:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if decimals else text


def _scaled(value: float, step: int) -> tuple[float, int]:
    exponent = 0
    while abs(value) >= step - 0.5 and exponent < len(_THOUSANDS) - 1:
        value /= step
        exponent += 1
    return value, exponent
