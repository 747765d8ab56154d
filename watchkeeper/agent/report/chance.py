"""What distances do by chance alone: drawn, where the formulas of `detectors.drift.distances` do not hold."""

from typing import Final

import numpy as np

from detectors.drift.bands import Floats

_LEAST_IN_A_BIN: Final = 5.0
"""expected observations below which a distance is no chi square any more"""
_DRAWS: Final = 4_000
_FLOOR: Final = 1e-4
"""as in `detectors.drift.distances`"""


def approximates(window: Floats, reference: Floats) -> bool:
    """Whether the formulas hold: the window would have enough in every bin that the reference uses."""
    expected = reference[reference > 0] * window.sum() / reference.sum()
    return bool(expected.min() >= _LEAST_IN_A_BIN)


def drawn_noise(window: Floats, reference: Floats) -> tuple[float, float]:
    """PSI and Jensen-Shannon divergence that 0.1 % of pairs of samples of these sizes, of one source, exceed."""
    windows, references = drawn(window, reference, _DRAWS)
    return float(np.quantile(psi(windows, references), 0.999)), float(
        np.quantile(jensen_shannon(windows, references), 0.999)
    )


def drawn(window: Floats, reference: Floats, draws: int) -> tuple[Floats, Floats]:
    """Shares of pairs of samples without drift, a row each: both of the reference's source. Always the same."""
    chance = np.random.default_rng(0)
    shares = reference / reference.sum()
    n, m = int(window.sum()), round(float(reference.sum()))
    return chance.multinomial(n, shares, draws) / n, chance.multinomial(m, shares, draws) / m


def psi(windows: Floats, references: Floats) -> Floats:
    """Row by row."""
    p, q = np.maximum(windows, _FLOOR), np.maximum(references, _FLOOR)
    return np.asarray(((p - q) * np.log(p / q)).sum(axis=1))


def jensen_shannon(windows: Floats, references: Floats) -> Floats:
    """Row by row, in bits."""
    middle = (windows + references) / 2
    return np.asarray(_bits(middle) - (_bits(windows) + _bits(references)) / 2)


def _bits(shares: Floats) -> Floats:
    logs = np.log2(shares, out=np.zeros_like(shares), where=shares > 0)
    return np.asarray(-(shares * logs).sum(axis=1))
