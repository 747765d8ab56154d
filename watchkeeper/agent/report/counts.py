"""What was observed in a period, by the hour: bins of the reference in force, and what needs no reference."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

import msgspec
import numpy as np

from detectors.drift.bands import Floats
from detectors.drift.kinds import Kind
from detectors.drift.packs import Pack
from watchkeeper.agent.drift.streams import ERROR, kind_of
from watchkeeper.agent.report.period import HOUR_SECONDS, Period
from watchkeeper.core.observed import Tally

OBSERVED: Final = "observed"
STORE: Final = "store"
InForce = Callable[[tuple[str, str], float], Pack | None]


class Stream(NamedTuple):
    segment: str
    signal: str
    reference: str


class Link(msgspec.Struct):
    """Of one segment: calls, the hours that hold some, and their moments, unix seconds."""

    calls: int = 0
    hours: set[int] = msgspec.field(default_factory=set)
    last_at: float = 0.0
    silence: tuple[float, float] = (0.0, 0.0)


class Observed(msgspec.Struct):
    """Sums over a period."""

    streams: dict[Stream, dict[int, Floats]] = msgspec.field(default_factory=dict)
    """counts per bin by hour: unix seconds at which it began"""
    flags: dict[tuple[str, str], tuple[int, int]] = msgspec.field(default_factory=dict)
    """answers and marked ones by segment and flag, with a reference or without"""
    slow: dict[tuple[str, str, float], tuple[int, int]] = msgspec.field(default_factory=dict)
    """observations and those above a limit, by segment, signal and limit"""
    links: dict[str, Link] = msgspec.field(default_factory=dict)
    source: str = OBSERVED


def of_tallies(
    tallies: Iterable[Tally],
    period: Period,
    in_force: InForce,
    limits: Iterable[tuple[str, float]],
    is_wanted: Callable[[str], bool],
) -> Observed:
    """
    One pass. Memory: bins of each stream and hour.

    :param limits: of signals: values above are counted
    """
    found = Observed()
    bounds: dict[str, set[float]] = {}
    for signal, limit in limits:
        bounds.setdefault(signal, set()).add(limit)
    wanted: dict[str, bool] = {}
    for tally in tallies:
        if not period.holds(tally.at):
            continue
        if tally.segment not in wanted:
            wanted[tally.segment] = is_wanted(tally.segment)
        if not wanted[tally.segment]:
            continue
        hour = int(tally.at // HOUR_SECONDS) * HOUR_SECONDS
        _link(found, tally, hour, period)
        for signal, counts in tally.counts.items():
            if kind_of(signal) is Kind.FLAG:
                answers, marked = found.flags.get((tally.segment, signal), (0, 0))
                answers += sum(count for _, count in counts)
                marked += sum(count for value, count in counts if value == 1.0)
                found.flags[tally.segment, signal] = answers, marked
            for limit in bounds.get(signal, ()):
                events, over = found.slow.get((tally.segment, signal, limit), (0, 0))
                events += sum(count for _, count in counts)
                over += sum(count for value, count in counts if isinstance(value, float) and value > limit)
                found.slow[tally.segment, signal, limit] = events, over
            pack = in_force((tally.segment, signal), tally.at)
            if pack is not None:
                held = found.streams.setdefault(Stream(tally.segment, signal, pack.id), {})
                bins = held.get(hour)
                if bins is None:
                    bins = held[hour] = np.zeros(pack.bins)
                for value, count in counts:
                    place = pack.bin(value)
                    if place is not None:
                        bins[place] += count
    _close(found, period)
    return found


def of_profiles(
    profiles: Iterable[tuple[float, Stream, list[int]]],
    period: Period,
    pack_of: Callable[[str], Pack | None],
    is_wanted: Callable[[str], bool],
) -> tuple[Observed, int]:
    """
    What the store has: hour, stream and counts, in order of hours.

    :return: with how many streams' hours were left out, because their reference is not here any more
    """
    found, lost = Observed(source=STORE), 0
    calls: dict[tuple[str, int], dict[str, int]] = {}
    for hour, stream, counts in profiles:
        if not period.holds(hour) or not is_wanted(stream.segment):
            continue
        pack = pack_of(stream.reference)
        if pack is None or pack.bins != len(counts):
            lost += 1
            continue
        taken = np.asarray(counts, dtype=np.float64)
        held = found.streams.setdefault(stream, {})
        held[int(hour)] = held.get(int(hour), np.zeros(pack.bins)) + taken
        total = sum(counts)
        by_signal = calls.setdefault((stream.segment, int(hour)), {})
        by_signal[stream.signal] = by_signal.get(stream.signal, 0) + total
        if pack.kind is Kind.FLAG:
            answers, marked = found.flags.get((stream.segment, stream.signal), (0, 0))
            found.flags[stream.segment, stream.signal] = answers + total, marked + counts[-1]
    for (segment, hour), held_by in sorted(calls.items(), key=lambda one: one[0][1]):
        link = found.links.setdefault(segment, Link(last_at=period.since))
        _count(link, max(held_by.values()), hour, hour, HOUR_SECONDS)
    _close(found, period)
    return found, lost


def together(observed: Observed, stored: Observed) -> dict[Stream, tuple[dict[int, Floats], str]]:
    """
    Of each signal of a segment what holds more: what was observed here, or what the store has of all processes.

    :return: counts by hour, and where they are from
    """
    sizes: dict[tuple[str, str], list[float]] = {}
    for place, one in enumerate((observed, stored)):
        for stream, hours in one.streams.items():
            total = sizes.setdefault((stream.segment, stream.signal), [0.0, 0.0])
            total[place] += sum(float(counts.sum()) for counts in hours.values())
    chosen: dict[Stream, tuple[dict[int, Floats], str]] = {}
    for place, one in enumerate((observed, stored)):
        for stream, hours in one.streams.items():
            here, there = sizes[stream.segment, stream.signal]
            if (here >= there) == (place == 0):
                chosen[stream] = hours, one.source
    return chosen


def reference_counts(pack: Pack, hours: Mapping[int, Floats]) -> Floats:
    """What the reference expects in these hours: its counts, of each season as much as was observed in it."""
    if len(pack.strata) == 1:
        [only] = pack.strata.values()
        return np.asarray(only.counts, dtype=np.float64)
    seen: dict[str, float] = {}
    for hour, counts in hours.items():
        key = pack.stratum_at(hour)
        if key in pack.strata:
            seen[key] = seen.get(key, 0.0) + float(counts.sum())
    if not any(seen.values()):
        seen = {key: float(sum(one.counts)) for key, one in pack.strata.items()}
    total = sum(seen.values())
    shares = [
        part / total * np.asarray(pack.strata[key].counts, dtype=np.float64) / sum(pack.strata[key].counts)
        for key, part in seen.items()
    ]
    return np.asarray(np.sum(shares, axis=0) * pack.n)


def window_counts(pack: Pack, hours: Mapping[int, Floats]) -> Floats:
    """All hours of which the reference knows the season."""
    known = [counts for hour, counts in hours.items() if pack.stratum_at(hour) in pack.strata]
    return np.asarray(np.sum(known, axis=0)) if known else np.zeros(pack.bins)


def _link(found: Observed, tally: Tally, hour: int, period: Period) -> None:
    most = max((sum(count for _, count in counts) for counts in tally.counts.values()), default=0)
    if ERROR in tally.counts:
        most = sum(count for _, count in tally.counts[ERROR])
    link = found.links.setdefault(tally.segment, Link(last_at=period.since))
    _count(link, most, hour, tally.at, tally.seconds)


def _count(link: Link, calls: int, hour: int, at: float, seconds: float) -> None:
    link.calls += calls
    link.hours.add(hour)
    if at - link.last_at > link.silence[1] - link.silence[0]:
        link.silence = (link.last_at, at)
    link.last_at = max(link.last_at, at + seconds)


def _close(found: Observed, period: Period) -> None:
    for link in found.links.values():
        if period.until - link.last_at > link.silence[1] - link.silence[0]:
            link.silence = (link.last_at, period.until)
