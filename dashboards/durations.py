"""Durations as Prometheus writes them."""

import re
from typing import Final

_UNITS: Final = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
_PART: Final = re.compile(r"(\d+)([wdhms])")


def seconds(text: str) -> float:
    """
    >>> seconds("1h30m"), seconds("0")
    (5400.0, 0.0)

    :raises ValueError: not one or more whole numbers with w, d, h, m or s
    """
    parts = _PART.findall(text)
    if text != "0" and (not parts or "".join(f"{number}{unit}" for number, unit in parts) != text):
        raise ValueError(f"'{text}' is no duration")
    return float(sum(int(number) * _UNITS[unit] for number, unit in parts))


def duration(length: float) -> str:
    """
    The shortest writing of whole seconds, rounded up.

    >>> duration(300), duration(86_400), duration(90), duration(0)
    ('5m', '1d', '1m30s', '0s')
    """
    left = int(-(-length // 1))
    text = ""
    for unit, size in _UNITS.items():
        number, left = divmod(left, size)
        text += f"{number}{unit}" if number else ""
    return text or "0s"
