"""Evidence by the rank of a number among all before it, in plain numbers: see `block`. Needs no numpy."""

import math
from array import array
from collections.abc import Iterable, Sequence
from typing import Final

LEAST_BLOCKS: Final = 100
"""earlier blocks of a stratum before one of it may count as evidence"""
EXPONENTS: Final = (0.1, 0.2, 0.35, 0.5, 0.7)
BINS: Final = 256
_LOWEST, _HIGHEST = 1e-6, 1e2


class Bag:
    """Statistics of earlier blocks on 256 log-spaced bins from 10^-6 to 100; U makes the ties exact."""

    def __init__(self, counts: Iterable[int] = (0,) * BINS) -> None:
        self.counts = array("I", counts)
        self.total = sum(self.counts)

    def rank(self, value: float, chance: float) -> float:
        """p-value of a further block, in (0, 1], small where the value is large; puts it into the bag."""
        place = _place(value)
        above, equal = sum(self.counts[place + 1 :]), self.counts[place]
        p = (above + chance * (1 + equal)) / (self.total + 1)
        self.counts[place] += 1
        self.total += 1
        return p


def _place(value: float) -> int:
    part = math.log(max(value, _LOWEST) / _LOWEST) / math.log(_HIGHEST / _LOWEST)
    return min(BINS - 1, int(part * BINS))


def grow(evidence: Sequence[float], p: float) -> list[float]:
    """One block: what all exponents make of its rank."""
    return [(held + 1.0) * power * p ** (power - 1) for held, power in zip(evidence, EXPONENTS, strict=True)]
