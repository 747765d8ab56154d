"""How a signal is watched: what its observations are, and so which scores it has."""

from enum import StrEnum


class Kind(StrEnum):
    FLAG = "flag"
    """0 or 1 (False or True); score `rate`"""
    SHARE = "share"
    """a number in [0, 1] whose mean matters; score `rate`"""
    NUMBER = "number"
    """any number; scores `location` and `spread`"""
    CATEGORY = "category"
    """a word out of a few; a score for each of the 20 most frequent and `other`"""
