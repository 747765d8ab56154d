"""How far the mean of a score may wander before it is drift: the limits of a reference's mean, and tolerance."""

import math
from collections.abc import Callable
from functools import lru_cache
from statistics import NormalDist
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CONFIDENCE: Final = 0.99
_BLOCK: Final = 100
_EDGE: Final = 1e-9
_TINY: Final = 1e-300


class Band(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    Where the conditional mean of a score in [0, 1] counts as unchanged: [lo, hi].

    `centre` is the reference's mean. What lies between the limits is its uncertainty at `confidence` (made wider by
    `design_effect`: 1 = independent observations) and, on each side, `tolerance`: what nobody wants to hear about.
    """

    lo: float
    hi: float
    centre: float
    tolerance: float
    confidence: float
    design_effect: float

    def __post_init__(self) -> None:
        if not (0 <= self.lo <= 1 - _EDGE and _EDGE <= self.hi <= 1 and self.lo < self.hi):
            raise ValueError(f"a band needs 0 <= lo < hi <= 1, not {self.lo} and {self.hi}")


def flag_band(events: float, n: float, design_effect: float, tolerance: float, confidence: float = CONFIDENCE) -> Band:
    """
    Of a flag that was up in `events` of `n` reference observations.

    Exact limits at the effective size n / design_effect (Clopper, Pearson 1934; Korn, Graubard 1998 for the latter).
    Without any event the only limit is one-sided: 4.6 / n at 99 %.
    """
    lo, hi = clopper_pearson(events / design_effect, n / design_effect, confidence)
    return _band(events / n, lo, hi, design_effect, tolerance, confidence)


def mean_band(
    centre: float, deviation: float, n: float, design_effect: float, tolerance: float, confidence: float = CONFIDENCE
) -> Band:
    """Of any score in [0, 1] whose `n` reference values have this mean and standard deviation (normal limits)."""
    half = NormalDist().inv_cdf((1 + confidence) / 2) * deviation * math.sqrt(design_effect / n)
    return _band(centre, centre - half, centre + half, design_effect, tolerance, confidence)


def _band(centre: float, lo: float, hi: float, design_effect: float, tolerance: float, confidence: float) -> Band:
    lo = min(max(lo - tolerance, 0.0), 1 - _EDGE)
    hi = max(min(hi + tolerance, 1.0), lo + _EDGE)
    return Band(lo, hi, centre, tolerance, confidence, design_effect)


def design_effect(scores: Floats) -> float:
    """
    How many dependent observations say as much as one independent one; >= 1. `scores` in order of time.

    Variance of the means of blocks of 100 (fewer where there are not ten such blocks) times the block's length, by the
    variance of single values. 1 below 20 values or where nothing varies.
    """
    length = min(_BLOCK, scores.size // 10)
    variance = float(scores.var())
    if length < 2 or variance <= 1e-12:
        return 1.0
    blocks = scores[: scores.size // length * length].reshape(-1, length).mean(axis=1)
    return max(1.0, float(blocks.var(ddof=1)) * length / variance)


@lru_cache(maxsize=256)
def clopper_pearson(events: float, n: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """
    Exact limits of a share. `events` and `n` may be fractions (effective sizes).

    C. Clopper, E. Pearson, The use of confidence or fiducial limits, Biometrika 26, 1934.
    """
    if not 0 <= events <= n or n <= 0:
        raise ValueError(f"{events} events of {n}")
    if events == 0:
        return 0.0, -math.expm1(math.log1p(-confidence) / n)
    if events == n:
        return math.exp(math.log1p(-confidence) / n), 1.0
    tail = (1 - confidence) / 2
    return (
        _root(lambda x: incomplete_beta(events, n - events + 1, x) - tail),
        _root(lambda x: incomplete_beta(events + 1, n - events, x) - (1 - tail)),
    )


def incomplete_beta(a: float, b: float, x: float) -> float:
    """
    I_x(a, b), regularised, for a, b > 0 and x in [0, 1]; absolute error below 1e-8 for a + b up to 10^7.

    Own code because scipy would triple the memory of a sidecar for this one function. Continued fraction 8.17.22 of
    the NIST Handbook of Mathematical Functions, evaluated by Lentz's method.
    """
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1.0 - incomplete_beta(b, a, 1 - x)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x) - math.log(a)
    )
    value, c, d = 1.0, 1.0, 0.0
    for step in range(20000):
        m = step // 2
        if step == 0:
            term = 1.0
        elif step % 2:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1.0 / _off_zero(1.0 + term * d)
        c = _off_zero(1.0 + term / c)
        value *= c * d
        if abs(1.0 - c * d) < 1e-13:
            break
    return min(1.0, front * (value - 1.0))


def _off_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


def _root(rising: Callable[[float], float]) -> float:
    lo, hi = 0.0, 1.0
    for _ in range(60):
        middle = (lo + hi) / 2
        lo, hi = (middle, hi) if rising(middle) < 0 else (lo, middle)
    return (lo + hi) / 2
