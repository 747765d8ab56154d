"""A crossing in words that a person can use: what moved, from where to where, and how sure it is."""

from collections.abc import Sequence
from datetime import UTC, datetime
from math import exp, log
from typing import Final

import numpy as np

from detectors.drift.bands import Floats
from detectors.drift.distances import quantile
from detectors.drift.kinds import Kind
from detectors.drift.packs import Pack
from detectors.drift.verdicts import Crossing
from watchkeeper.agent.drift.streams import unit_of

_LOCATION: Final = "location"
_SPREAD: Final = "spread"
_RATE: Final = "rate"
_PSI: Final = "psi"


def summary(pack: Pack, crossing: Crossing, window: Floats, reference: Floats) -> str:
    """
    :param window: counts per bin since the onset, as far as they are kept
    :param reference: counts per bin of the stratum in force
    """
    signal, unit = pack.signal, unit_of(pack.signal)
    if crossing.score == _RATE and crossing.band is not None:
        middle = (crossing.band.lo + crossing.band.hi) / 2
        if pack.kind is Kind.FLAG:
            middle = float(reference[-1] / reference.sum())
        return f"{signal} in {_percent(crossing.effect)} of calls, {_percent(middle)} in the reference"
    if crossing.score == _PSI or not window.sum():
        return f"{signal} is spread unlike in its reference (PSI {crossing.effect:.2g} of a block)"
    if pack.kind is Kind.CATEGORY:
        held = reference[_place(pack, crossing.score)] / reference.sum()
        return f"{signal} '{crossing.score}' in {_percent(crossing.effect)} of calls, {_percent(held)} in the reference"
    now, before = (_quartiles(pack.edges, counts) for counts in (window, reference))
    if crossing.score == _SPREAD:
        how = "more spread out" if _width(now) > _width(before) else "less spread out"
        return f"{signal} {how}: half of it in {_range(now, unit)}, {_range(before, unit)} in the reference"
    how = "higher" if _mean_rank(window, reference) > 0.5 else "lower"
    told = f"{_near(now[1], pack.edges)} {_figure(now[1], unit)}"
    return f"{signal} {how}: median {told}, {_figure(before[1], unit)} in the reference"


def evidence(pack: Pack, crossing: Crossing, limit_log_odds: float) -> tuple[str, ...]:
    """Lines that let a second person check: odds, since when, band, reference."""
    lines = [
        f"odds {_odds(crossing.log_odds)} that it left its band; the alarm is due at {_odds(limit_log_odds)}",
        f"since {_utc(crossing.onset)}, {crossing.observations} observations",
    ]
    if crossing.band is not None:
        low, high = (
            _percent(edge) if pack.kind in (Kind.FLAG, Kind.CATEGORY) else f"{edge:.3g}" for edge in _edges(crossing)
        )
        lines.append(f"{crossing.score} {_reading(pack, crossing)}, left alone from {low} to {high}")
    approved = f", approved by {pack.approval.by} on {_utc(pack.approval.at)[:10]}" if pack.approval else ""
    lines.append(f"reference {pack.id[:12]} of {pack.n} observations{approved}")
    return tuple(lines)


def _edges(crossing: Crossing) -> tuple[float, float]:
    return (crossing.band.lo, crossing.band.hi) if crossing.band else (0.0, 1.0)


def _reading(pack: Pack, crossing: Crossing) -> str:
    return _percent(crossing.effect) if pack.kind in (Kind.FLAG, Kind.CATEGORY) else f"{crossing.effect:.3g}"


def _place(pack: Pack, category: str) -> int:
    return pack.categories.index(category) if category in pack.categories else len(pack.categories)


def _quartiles(edges: Sequence[float], counts: Floats) -> tuple[float, float, float]:
    return quantile(edges, counts, 0.25), quantile(edges, counts, 0.5), quantile(edges, counts, 0.75)


def _near(value: float, edges: Sequence[float]) -> str:
    """A median in the first or the last bin is known by that bin's one edge alone."""
    if len(edges) > 1 and value in (edges[0], edges[-1]):
        return "above" if value == edges[-1] else "below"
    return "about"


def _mean_rank(window: Floats, reference: Floats) -> float:
    below = np.cumsum(reference) - reference / 2
    return float(window @ below / window.sum() / reference.sum())


def _width(quartiles: tuple[float, float, float]) -> float:
    return quartiles[2] - quartiles[0]


def _range(quartiles: tuple[float, float, float], unit: str) -> str:
    return f"{_rounded(quartiles[0])} to {_figure(quartiles[2], unit)}"


def _figure(value: float, unit: str) -> str:
    return f"{_rounded(value)} {unit}".rstrip()


def _rounded(value: float) -> str:
    """Three digits, without powers of ten where they can be written out."""
    return f"{value:,.0f}" if 100 <= abs(value) < 1e9 else f"{value:.3g}"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"


def _odds(nats: float) -> str:
    return f"{exp(nats):.2g} to 1" if nats < log(1e4) else f"10^{nats / log(10):.0f} to 1"


def _utc(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
