"""
One budget of false alarms for a deployment, divided among its detectors.

The expected false alarms of all detectors together are at most the sum of their shares, each a part of one in A ticks.
K equal detectors wait ln K nats longer than one alone would.

A share may fall while evidence is gathered under it, but not rise. With R_t + limit * alarms - t a supermartingale
(`rate`), alarms until the change of limit at t0 are expected to be at most (t0 - E R_t0) / L1, those after it at most
(E R_t0 + T - t0) / L2; L2 >= L1 leaves t0 / L1 + (T - t0) / L2. Any L2 < L1 would not. `block` likewise, per block.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

RESERVE: Final = 0.1
"""for the signals that page by the same arithmetic"""


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


def divide(
    names: Iterable[str],
    before: Mapping[str, float] | None = None,
    reserve: float = RESERVE,
    among: int | None = None,
) -> Budget:
    """
    What the reserve leaves, evenly; who has evidence from `before` keeps a smaller share.

    :param among: how many detectors the deployment has, where `names` are only those of this process
    :raises ValueError: the reserve is out of range
    """
    if not 0 <= reserve < 1:
        raise ValueError("the reserve of the false-alarm budget must be in [0, 1)")
    listed = tuple(dict.fromkeys(names))
    each = (1 - reserve) / max(1, len(listed), among or 0)
    return Budget({name: min(each, (before or {}).get(name, each)) for name in listed}, reserve)
