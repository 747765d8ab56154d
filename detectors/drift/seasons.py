"""Strata: hours that a reference keeps apart, because traffic differs between them every day."""

from enum import StrEnum

_HOUR = 3600.0
_DAY = 24 * _HOUR


class Season(StrEnum):
    NONE = "none"
    HOUR = "hour"
    """24 strata"""
    HOUR_AND_WEEKEND = "hour_and_weekend"
    """48 strata: Saturday and Sunday apart"""


def stratum(season: Season, at: float, utc_offset_seconds: float = 0.0) -> str:
    """
    The stratum of a time: `all`, `07`, or `07w` on a weekend.

    :param at: unix seconds
    """
    if season is Season.NONE:
        return "all"
    local = at + utc_offset_seconds
    hour = f"{int(local % _DAY // _HOUR):02d}"
    weekend = (int(local // _DAY) + 3) % 7 >= 5  # 1 January 1970 was a Thursday
    return f"{hour}w" if season is Season.HOUR_AND_WEEKEND and weekend else hour
