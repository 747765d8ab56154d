"""One signal of a period beside its reference: distances, evidence, when it was outside its band, and what moved."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import numpy as np

from detectors.drift import distances
from detectors.drift.bands import Floats
from detectors.drift.bank import Bank, Watched
from detectors.drift.distances import quantile
from detectors.drift.kinds import Kind
from detectors.drift.odds import horizon
from detectors.drift.packs import Pack
from detectors.drift.rate import weights
from detectors.drift.report import PeriodEvidence, drifted
from detectors.drift.verdicts import Crossing
from watchkeeper.agent.drift.streams import unit_of
from watchkeeper.agent.references.display import percent
from watchkeeper.agent.report.chance import approximates, drawn_noise
from watchkeeper.agent.report.counts import Stream, reference_counts, window_counts
from watchkeeper.agent.report.period import HOUR_SECONDS, Period
from watchkeeper.agent.report.record import DriftOfPeriod, Said, Spell, Value
from watchkeeper.core.observed import Segment

FALSE_ENTRIES: Final = 0.1
"""bound on the expected share of false entries among what is listed"""
_QUIET_HOURS: Final = 12
"""without a crossing, after which the next one is another spell"""
_MOST_SPELLS: Final = 10


def assess(
    streams: Mapping[Stream, tuple[Mapping[int, Floats], str]],
    packs: Mapping[str, Pack],
    period: Period,
    retrospective: frozenset[str],
) -> tuple[DriftOfPeriod, ...]:
    """
    All signals of a period, the most evident first. Those without a single observation are left out.

    :param packs: by id, of all streams
    :param retrospective: ids
    """
    rows = []
    for stream, (hours, source) in streams.items():
        pack = packs[stream.reference]
        if window_counts(pack, hours).sum() > 0:
            rows.append(_assessed(stream, pack, hours, period, source, stream.reference in retrospective))
    rows.sort(key=lambda row: (row.namespace, row.service, row.model, row.signal, row.reference))
    listed = drifted([row.log_e for row in rows], FALSE_ENTRIES)
    chosen = {place: msgspec.structs.replace(rows[place], is_listed=True) for place in listed}
    rest = [row for place, row in enumerate(rows) if place not in chosen]
    return (*chosen.values(), *rest)


def figures(pack: Pack, window: Floats, reference: Floats) -> dict[str, Value]:
    """Distances of counts in the same bins; those of order only where the bins have one."""
    psi, jensen_shannon = distances.psi(window, reference), distances.jensen_shannon(window, reference)
    if not approximates(window, reference):
        psi, jensen_shannon = (
            msgspec.structs.replace(one, noise=noise)
            for one, noise in zip((psi, jensen_shannon), drawn_noise(window, reference), strict=True)
        )
    found = {"psi": _value(psi), "jensen_shannon": _value(jensen_shannon)}
    if pack.kind in (Kind.NUMBER, Kind.SHARE):
        found["kolmogorov_smirnov"] = _value(distances.kolmogorov_smirnov(window, reference))
        found["wasserstein"] = Value(distances.wasserstein(window, reference, pack.edges))
        found["auc"] = _value(distances.auc(window, reference))
    return found


def _assessed(
    stream: Stream, pack: Pack, hours: Mapping[int, Floats], period: Period, source: str, is_late: bool
) -> DriftOfPeriod:
    log_e, spells = evidence(pack, hours, period)
    window, expected = window_counts(pack, hours), reference_counts(pack, hours)
    outside = {hour: counts for hour, counts in hours.items() if any(one.since <= hour < one.until for one in spells)}
    shown = window_counts(pack, outside) if outside else window
    segment = Segment.parse(stream.segment)
    return DriftOfPeriod(
        *segment,
        signal=stream.signal,
        kind=pack.kind.value,
        reference=pack.id,
        reference_observations=pack.n,
        approved_by=pack.approval.by if pack.approval else "",
        approved_at=pack.approval.at if pack.approval else 0.0,
        is_retrospective=is_late,
        source=source,
        observations=int(window.sum()),
        hours=sum(1 for counts in hours.values() if counts.any()),
        distances=figures(pack, window, expected),
        log_e=log_e,
        is_listed=False,
        spells=tuple(spells),
        moved=moved(pack, shown if shown.any() else window, reference_counts(pack, outside or hours)),
    )


def evidence(pack: Pack, hours: Mapping[int, Floats], period: Period) -> tuple[float, list[Spell]]:
    """
    Logarithm of the e-value of a period, an hour a tick and the mean over the signal's scores; and the times outside
    the band, as a page a month for this signal alone would have told them.
    """
    bank = Bank([Watched(pack, 1.0)], horizon(HOUR_SECONDS))
    scores: dict[str, PeriodEvidence] = {}
    crossings: list[Crossing] = []
    for hour in sorted(hours):
        key = pack.stratum_at(hour)
        if key not in pack.strata or not hours[hour].any():
            continue
        crossings += bank.tick({0: hours[hour]}, float(hour)).get(0, ())
        bands = pack.strata[key].bands
        for name, added in bank.added(0).items():
            if name not in scores:
                scores[name] = PeriodEvidence(weights(bands[name]), period.hours)
            scores[name].tick(added)
    if not scores:
        return float("-inf"), []
    logs = [one.log_value for one in scores.values()]
    return float(np.logaddexp.reduce(logs) - np.log(len(logs))), _spells(pack, hours, crossings)


def _spells(pack: Pack, hours: Mapping[int, Floats], crossings: Sequence[Crossing]) -> list[Spell]:
    times: list[list[Crossing]] = []
    for one in crossings:
        if times and one.onset <= times[-1][-1].at + _QUIET_HOURS * HOUR_SECONDS:
            times[-1].append(one)
        else:
            times.append([one])
    return [_spell(pack, hours, found) for found in times[:_MOST_SPELLS]]


def _spell(pack: Pack, hours: Mapping[int, Floats], found: Sequence[Crossing]) -> Spell:
    """It ends with the first hour after the last crossing that lies within the band again."""
    since, until = found[0].onset, found[-1].at + HOUR_SECONDS
    score = max(found, key=lambda one: one.log_odds).score
    key = pack.stratum_at(since) if pack.stratum_at(since) in pack.strata else next(iter(pack.strata))
    values = next(one.values for one in pack.scores(key) if one.name == score)
    band = pack.strata[key].bands[score]
    for hour in sorted(hour for hour in hours if hour >= until and hours[hour].any()):
        if band.lo <= float(values @ hours[hour] / hours[hour].sum()) <= band.hi:
            break
        until = float(hour + HOUR_SECONDS)
    counts = window_counts(pack, {hour: counts for hour, counts in hours.items() if since <= hour < until})
    return Spell(since, until, score, float(values @ counts / counts.sum()), band.lo, band.hi)


def moved(pack: Pack, window: Floats, reference: Floats) -> Said:
    """From what it was in the reference to what it is, in words."""
    if pack.kind is Kind.NUMBER:
        unit = unit_of(pack.signal)
        before, now = (quantile(pack.edges, counts, 0.5) for counts in (reference, window))
        told = f"{_figure(before)} → {_figure(now)} {unit}".rstrip()
        return Said(f"median {told}", f"中位数 {told}")
    if pack.kind is Kind.CATEGORY:
        before_shares, shares = reference / reference.sum(), window / window.sum()
        place = int(np.abs(shares - before_shares).argmax())
        word = (*pack.categories, "other")[place]
        told = f"“{word}” {percent(before_shares[place])} → {percent(shares[place])}"
        return Said(told, told)
    middle = np.array([0.0, 1.0]) if pack.kind is Kind.FLAG else (np.arange(pack.bins) + 0.5) / pack.bins
    told = f"{percent(middle @ reference / reference.sum())} → {percent(middle @ window / window.sum())}"
    return (
        Said(f"{told} of calls", f"占调用 {told}") if pack.kind is Kind.FLAG else Said(f"mean {told}", f"均值 {told}")
    )


def _value(distance: distances.Distance) -> Value:
    return Value(distance.value, distance.noise)


def _figure(value: float) -> str:
    return f"{value:,.0f}" if 100 <= abs(value) < 1e9 else f"{value:.3g}"
