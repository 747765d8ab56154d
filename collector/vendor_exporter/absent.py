"""Which numbers of an exporter's are numbers, and which are its way to say that it has none."""

from typing import Final

from watchkeeper.core.metric import Kind, Metric

_NEVER: Final = frozenset((-1.0, float(0xFFFFFFFF), float(0xFFFFFFFFFFFFFFFF), 140737488355328.0))
"""-1, all bits set in 32 and 64 bits, DCGM's blank of a fraction (2 to the 47th)"""
_BLANK_INTEGERS: Final = 0x7FFFFFFFFFFFFF00
"""from here on: DCGM's blanks of an integer, and the largest integer itself"""
_NEVER_SMALL: Final = frozenset((float(0xFFFF), float(1 << 32), *map(float, range(0x7FFFFFF0, 0x80000000))))
"""further ones, of quantities that are never so large: 16 bits set, 32 in a short fraction, blanks in 31 bits"""
_SMALL: Final = frozenset(("1", "Cel", "W", "Hz", "{lane}", "{link}", "{process}", ""))


def is_absent(raw: float, metric: Metric) -> bool:
    """The exporter's way to say that it has no number here, by the number as it stands on the page."""
    if raw != raw or raw in _NEVER or raw >= _BLANK_INTEGERS:
        return True
    return metric.unit in _SMALL and metric.kind is Kind.GAUGE and raw in _NEVER_SMALL
