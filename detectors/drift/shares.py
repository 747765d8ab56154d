"""
One budget of false alarms for a deployment, divided among its detectors.

The expected false alarms of all detectors together are at most the sum of their shares, each a part of one in A ticks.
K equal detectors wait ln K nats longer than one alone would. A share in use never changes, because evidence gathered
under one share means nothing under another: who comes later is paid from the reserve.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

RESERVE: Final = 0.1


class Budget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`shares` by detector and the `reserve`, together at most 1."""

    shares: Mapping[str, float] = {}
    reserve: float = RESERVE

    def __post_init__(self) -> None:
        if self.reserve < 0 or any(share <= 0 for share in self.shares.values()) or self.spent > 1 + 1e-9:
            raise ValueError("shares of the false-alarm budget must be above 0 and together with the reserve at most 1")

    @property
    def spent(self) -> float:
        return sum(self.shares.values()) + self.reserve

    def with_one(self, name: str) -> "Budget":
        """A further detector: the mean share of the others if half of the reserve pays for it, else that half."""
        if name in self.shares:
            return self
        usual = sum(self.shares.values()) / len(self.shares) if self.shares else 1.0
        share = min(usual, self.reserve / 2)
        return Budget({**self.shares, name: share}, self.reserve - share)

    def without(self, name: str) -> "Budget":
        """A detector that is gone gives its share to the reserve."""
        kept = {other: share for other, share in self.shares.items() if other != name}
        return Budget(kept, self.reserve + self.shares.get(name, 0.0))


def divide(names: Iterable[str], weights: Mapping[str, float] | None = None, reserve: float = RESERVE) -> Budget:
    """
    What the reserve leaves, by weight.

    :param weights: of critical signals, relative to the 1 of all others; above 0
    :raises ValueError: a weight or the reserve is out of range
    """
    weights = weights or {}
    each = {name: weights.get(name, 1.0) for name in names}
    if not 0 <= reserve < 1 or any(weight <= 0 for weight in each.values()):
        raise ValueError("weights must be above 0 and the reserve in [0, 1)")
    total = sum(each.values())
    return Budget({name: (1 - reserve) * weight / total for name, weight in each.items()}, reserve)
