"""Objectives attained, how often checks marked answers, and what came over each link: arithmetic over sums."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from dashboards.values import Slo
from detectors.drift.bands import clopper_pearson
from detectors.drift.kinds import Kind
from detectors.drift.packs import Pack
from watchkeeper.agent.drift.streams import ERROR
from watchkeeper.agent.report.counts import Observed
from watchkeeper.agent.report.period import Period
from watchkeeper.agent.report.record import DriftOfPeriod, LinkCompleteness, SafetyFigure, SloAttained
from watchkeeper.core.observed import Segment

SIGNALS: Final = {"ttft": "time_to_first_token", "tpot": "time_per_output_token"}
"""what a latency objective is of"""
_CONFIDENCE: Final = 0.95


def limits(slos: tuple[Slo, ...]) -> list[tuple[str, float]]:
    """Signals and the values above which they count as slow."""
    return [(SIGNALS[slo.sli], slo.seconds) for slo in slos if slo.sli in SIGNALS]


def objectives(slos: tuple[Slo, ...], observed: Observed, period: Period) -> Iterator[SloAttained]:
    """Of every segment that an objective selects and that has events of it."""
    for slo in slos:
        for text, link in sorted(observed.links.items()):
            segment = Segment.parse(text)
            if not _selects(slo, segment):
                continue
            if slo.sli == "availability":
                events, bad = observed.flags.get((text, ERROR), (0, 0))
            else:
                events, bad = observed.slow.get((text, SIGNALS[slo.sli], slo.seconds), (0, 0))
            if events:
                covered = len(link.hours) / period.hours
                promised = (slo.name, slo.sli, slo.seconds, slo.objective)
                yield attained(promised, segment, events, bad, observed.source, covered)


def attained(
    promised: tuple[str, str, float, float], segment: Segment, events: float, bad: float, source: str, covered: float
) -> SloAttained:
    """
    :param promised: name, indicator, limit in seconds, objective
    :param events: above 0
    """
    share = bad / events
    spent = share / (1 - promised[3])
    return SloAttained(*promised, *segment, float(events), float(bad), 1 - share, spent, source, covered)


def _selects(slo: Slo, segment: Segment) -> bool:
    asked = ((slo.namespace, segment.namespace), (slo.service, segment.service), (slo.model, segment.model))
    return all(not pattern or re.fullmatch(pattern, value) for pattern, value in asked)


def safety(
    observed: Observed, stored: Observed, in_force: Mapping[tuple[str, str], Pack], drift: tuple[DriftOfPeriod, ...]
) -> tuple[SafetyFigure, ...]:
    """
    Of each check and segment, from whichever has more answers; those that drifted first, then by share.

    :param in_force: references by segment and signal
    """
    listed = {(row.namespace, row.service, row.model, row.signal) for row in drift if row.is_listed}
    found = []
    for key in observed.flags.keys() | stored.flags.keys():
        text, check = key
        if check == ERROR:
            continue
        one = max((observed, stored), key=lambda held: held.flags.get(key, (0, 0))[0])
        answers, marked = one.flags[key]
        if not answers:
            continue
        low, high = clopper_pearson(marked, answers, _CONFIDENCE)
        segment = Segment.parse(text)
        pack = in_force.get(key)
        found.append(
            SafetyFigure(
                *segment,
                check,
                answers,
                marked,
                marked / answers,
                low,
                high,
                None if pack is None or pack.kind is not Kind.FLAG else _share(pack),
                one.source,
                (*segment, check) in listed,
            )
        )
    return tuple(sorted(found, key=lambda row: (not row.is_drifted, -row.share, row.model, row.check)))


def links(observed: Observed, stored: Observed) -> tuple[LinkCompleteness, ...]:
    """Of each segment, from whichever holds more calls."""
    found = []
    for text in sorted(observed.links.keys() | stored.links.keys()):
        one = max((observed, stored), key=lambda held: held.links[text].calls if text in held.links else -1)
        link = one.links[text]
        found.append(LinkCompleteness(*Segment.parse(text), link.calls, len(link.hours), *link.silence, one.source))
    return tuple(found)


def _share(pack: Pack) -> float:
    counts = [stratum.counts for stratum in pack.strata.values()]
    return sum(one[-1] for one in counts) / sum(map(sum, counts))
