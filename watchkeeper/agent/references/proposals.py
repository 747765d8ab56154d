"""Series of observations to references that somebody may approve."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec

from detectors.drift import packs
from detectors.drift.kinds import Kind
from detectors.drift.packs import Pack, Plan
from watchkeeper.agent.references.observations import Series
from watchkeeper.agent.references.store import Key
from watchkeeper.core.errors import ConfigError


class Outcome(NamedTuple):
    """Of one signal of one segment: a reference, or one line on why there is none."""

    key: Key
    kind: Kind
    observations: int
    made: Pack | str


def propose(
    series: Mapping[Key, Series], plan: Plan, tolerances: Mapping[str, Mapping[str, float]], now: float
) -> Iterator[Outcome]:
    """
    :param tolerances: by signal and score; those left out are found as docs/drift.md says
    :param now: unix seconds
    :raises ConfigError: a tolerance of a score that the signal does not have
    """
    for key, one in sorted(series.items()):
        segment, signal = key
        given = tolerances.get(signal, {})
        times, values = one.in_order()
        try:
            made: Pack | str = packs.build(
                signal,
                one.kind,
                values,
                made_at=now,
                times=times,
                segment=segment,
                plan=msgspec.structs.replace(plan, tolerance=given),
            )
        except ValueError as error:
            made = str(error)
        if isinstance(made, Pack):
            scores = next(iter(made.strata.values())).bands
            if unknown := given.keys() - scores.keys():
                raise ConfigError(
                    f"--tolerance {signal}.{min(unknown)}: the scores of {signal} are {', '.join(scores)}; name one"
                )
        yield Outcome(key, one.kind, len(one.values), made)
