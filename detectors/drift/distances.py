"""
Distances between a window and its reference, from counts in the same bins. For display and reports: never page on
them, because their windows overlap and nobody counts how often they look.

PSI: B. Yurdakul, J. Naranjo, Statistical properties of the population stability index, Journal of Risk Model
Validation 14, 2020.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist

import msgspec
import numpy as np

from detectors.drift.bands import Floats
from detectors.drift.pit import mid_ranks

_FLOOR = 1e-4


class Distance(msgspec.Struct, frozen=True):
    """`value`, and the `noise`: what 0.1 % of windows without any drift exceed."""

    value: float
    noise: float


def quantile(edges: Sequence[float], counts: Floats, share: float) -> float:
    """Read off bins: between two edges in proportion; in the first and the last the edge itself, 0 where none is."""
    if not edges:
        return 0.0
    reached = np.concatenate([[0.0], np.cumsum(counts)]) / counts.sum()
    return float(np.interp(share, reached, [edges[0], *edges, edges[-1]]))


def _shares(counts: Floats) -> Floats:
    return np.asarray(np.maximum(counts / counts.sum(), _FLOOR))


def _per_observation(window: Floats, reference: Floats) -> float:
    return float(1 / window.sum() + 1 / reference.sum())


def psi(window: Floats, reference: Floats) -> Distance:
    """Population stability index, >= 0. An empty bin counts as a share of 10^-4. Without drift about chi square."""
    p, q = _shares(window), _shares(reference)
    return Distance(
        float(((p - q) * np.log(p / q)).sum()),
        chi_square_999(window.size - 1) * _per_observation(window, reference),
    )


def jensen_shannon(window: Floats, reference: Floats) -> Distance:
    """Divergence in bits, 0..1."""
    p, q = window / window.sum(), reference / reference.sum()
    value = _bits((p + q) / 2) - (_bits(p) + _bits(q)) / 2
    noise = chi_square_999(window.size - 1) * _per_observation(window, reference) / (8 * math.log(2))
    return Distance(max(0.0, value), noise)


def kolmogorov_smirnov(window: Floats, reference: Floats) -> Distance:
    """Largest difference of the cumulative shares at the bins' edges, 0..1."""
    apart = np.cumsum(window / window.sum()) - np.cumsum(reference / reference.sum())
    return Distance(float(np.abs(apart).max()), 1.95 * math.sqrt(_per_observation(window, reference)))


def auc(window: Floats, reference: Floats) -> Distance:
    """Chance that a new value is above one of the reference, ties half: 0..1. `noise` is the distance from 0.5."""
    value = float((window / window.sum()) @ mid_ranks(reference))
    return Distance(value, NormalDist().inv_cdf(0.9995) * math.sqrt(_per_observation(window, reference) / 12))


def wasserstein(window: Floats, reference: Floats, edges: Sequence[float]) -> float:
    """
    Earth mover's distance in standard deviations of the reference. The two open end bins are taken as having no width,
    so what moves beyond the outer edges is not seen. 0 where fewer than two edges.
    """
    widths = np.diff(np.asarray(edges))
    if widths.size == 0:
        return 0.0
    apart = np.cumsum(window / window.sum()) - np.cumsum(reference / reference.sum())
    middles = np.concatenate([[edges[0]], np.asarray(edges[:-1]) + widths / 2, [edges[-1]]])
    shares = reference / reference.sum()
    mean = float(shares @ middles)
    deviation = math.sqrt(float(shares @ (middles - mean) ** 2))
    heights = (np.abs(apart[:-2]) + np.abs(apart[1:-1])) / 2
    return float(heights @ widths / deviation) if deviation > 0 else 0.0


def chi_square_999(degrees: int) -> float:
    """
    99.9 % quantile, within 1 % from 5 degrees of freedom on and 3 % below.

    E. Wilson, M. Hilferty, The distribution of chi-square, PNAS 17, 1931.
    """
    if degrees < 1:
        return 0.0
    part = 2 / (9 * degrees)
    return degrees * (1 - part + NormalDist().inv_cdf(0.999) * math.sqrt(part)) ** 3


def _bits(shares: Floats) -> float:
    held = shares[shares > 0]
    return float(-(held * np.log2(held)).sum())
