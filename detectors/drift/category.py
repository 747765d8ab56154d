"""
A word: finish reason, language, route, tool, model version. One flag for each frequent value, one for others.

A value that the reference never held counts as `other`, whose band without tolerance is 4.6 / n when there was none.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np

from detectors.drift.bands import Floats

MOST: Final = 20
"""values with a flag of their own"""
OTHER: Final = "other"


def frequent(words: Sequence[str]) -> tuple[str, ...]:
    """The most frequent values, equally frequent ones by name; `other` itself is never one of them."""
    counted = Counter(words)
    del counted[OTHER]
    return tuple(sorted(counted, key=lambda word: (-counted[word], word))[:MOST])


def values(categories: Sequence[str]) -> dict[str, Floats]:
    """Score name to the score of each bin: bins are the categories, then `other`."""
    return dict(zip((*categories, OTHER), np.eye(len(categories) + 1), strict=True))
