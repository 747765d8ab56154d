"""Seeded streams with and without drift: the same arrays for every detector, whatever process it runs in."""

from collections.abc import Callable
from typing import Any

import numpy as np

Floats = Any
"""numpy.ndarray of float64; this module also runs where no type stubs are"""
Make = Callable[[Any, int], Floats]


def bernoulli(p: float) -> Make:
    return lambda chance, n: (chance.random(n) < p).astype(np.float64)


def beta(shift: float = 0.0) -> Make:
    """`shift` in standard deviations."""
    deviation = (2 * 5 / (7**2 * 8)) ** 0.5
    return lambda chance, n: np.clip(chance.beta(2, 5, n) + shift * deviation, 0.0, 1.0)


def lognormal(factor: float = 1.0) -> Make:
    return lambda chance, n: factor * chance.lognormal(0.0, 0.8, n)


def normal(deviation: float = 1.0) -> Make:
    """About 10: frouros' ADWIN refuses negative sums."""
    return lambda chance, n: chance.normal(10.0, deviation, n)


def autoregressive(chance: Any, n: int) -> Floats:
    """Logistic of an AR(1) of memory 0.95."""
    values, last = np.empty(n), float(chance.normal())
    for place, noise in enumerate(chance.normal(0.0, (1 - 0.95**2) ** 0.5, n)):
        values[place] = last = 0.95 * last + noise
    return 1 / (1 + np.exp(-values))


def sessions(chance: Any, n: int) -> Floats:
    """20 near-copies each."""
    return np.clip(np.repeat(chance.beta(2, 5, n // 20 + 1), 20)[:n] + chance.normal(0.0, 0.01, n), 0.0, 1.0)


def season(chance: Any, n: int) -> Floats:
    """Beta whose mean swings by half a deviation over 20,000 records."""
    swing = 0.5 * np.sin(2 * np.pi * np.arange(n) / 20_000) * (2 * 5 / (7**2 * 8)) ** 0.5
    return np.clip(chance.beta(2, 5, n) + swing, 0.0, 1.0)


QUIET: dict[str, Make] = {
    "2 % flag": bernoulli(0.02),
    "beta": beta(),
    "lognormal": lognormal(),
    "AR(1) .95": autoregressive,
    "sessions": sessions,
    "season": season,
}
CHANGES: dict[str, tuple[Make, Make]] = {
    "2 -> 4 %": (bernoulli(0.02), bernoulli(0.04)),
    "2 -> 10 %": (bernoulli(0.02), bernoulli(0.10)),
    "beta +0.3 sd": (beta(), beta(0.3)),
    "beta +1 sd": (beta(), beta(1.0)),
    "spread x1.33": (normal(), normal(1.33)),
    "lognormal x1.2": (lognormal(), lognormal(1.2)),
    "lognormal x2": (lognormal(), lognormal(2.0)),
}
BEFORE = 10_000
AFTER = 10_000


def quiet(name: str, n: int) -> Floats:
    return QUIET[name](np.random.default_rng([1, list(QUIET).index(name)]), n)


def reference(name: str) -> Floats:
    """Of a stream or of what a change starts from."""
    make = QUIET[name] if name in QUIET else CHANGES[name][0]
    return make(np.random.default_rng([2, [*QUIET, *CHANGES].index(name)]), 40_000 if name == "season" else 10_000)


def changed(name: str, repeat: int) -> Floats:
    """BEFORE records of the first kind, AFTER of the second."""
    chance = np.random.default_rng([3, list(CHANGES).index(name), repeat])
    first, second = CHANGES[name]
    return np.concatenate([first(chance, BEFORE), second(chance, AFTER)])
