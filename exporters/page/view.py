"""What the page says, before any word or markup: typed, language-free, worked out by pure functions."""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from exporters.page.devices import Device, devices_of
from exporters.page.groups import Engine, Group, Latency, engines_of, latency, models_of, services_of
from exporters.page.history import STEP_SECONDS, Mark, Seen, Spreads, mark_of
from exporters.page.itself import (
    Destination,
    Itself,
    Source,
    destinations_of,
    itself_of,
    queues_of,
    sources_of,
)
from exporters.page.tally import Loss, Origin, Tally, combined, step_of, summed
from watchkeeper.core.records import Outcome
from watchkeeper.core.vocabulary import engines, requests

RECENT_STEPS: Final = 60
"""closed steps behind the error share that the status is judged by: five minutes"""


class View(msgspec.Struct, frozen=True):
    """Rates are per second over the last minute; None = nobody counts it, or nothing happened to take it from."""

    now: float
    at: float | None
    """unix seconds of the last batch; None before the first"""
    marks: tuple[Mark, ...]
    """the last one is the running step: every live number is its own, and the newest point of its chart"""
    last_index: int
    """the step at the right edge of the charts"""
    calls_counted: bool
    """calls were reported; else rates are the engines' own counts"""
    request_rate: float | None
    error_share: float | None
    input_rate: float | None
    output_rate: float | None
    first_token: Latency | None
    per_token: Latency | None
    charted_first_token: Origin | None
    charted_per_token: Origin | None
    running: float | None
    waiting: float | None
    outcomes: Mapping[str, float]
    """calls of the last quarter of an hour that were not `ok`, by outcome"""
    recent: Tally
    """outcomes of the last five minutes"""
    losses: Mapping[Loss, float]
    """what was refused or lost in the last quarter of an hour"""
    models: tuple[Group, ...]
    services: tuple[Group, ...]
    engines: tuple[Engine, ...]
    devices: tuple[Device, ...]
    sources: tuple[Source, ...]
    queues: Mapping[str, float]
    """fill of queues that belong to no source"""
    destinations: tuple[Destination, ...]
    itself: Itself


def view_of(seen: Seen, now: float) -> View:
    points, steps = seen.points, seen.steps
    last_index = int((now if seen.at is None else seen.at) // STEP_SECONDS)
    running = steps[-1] if steps else step_of(last_index, ())
    live = mark_of(running, combined(step.total for step in steps), seen.covered_seconds, points)
    marks = (*seen.marks, live)
    outcomes = summed(mark.outcomes for mark in marks)
    return View(
        now=now,
        at=seen.at,
        marks=marks,
        last_index=last_index,
        calls_counted=bool(points.get(requests.REQUESTS)) or not points.get(engines.FINISHED),
        request_rate=live.request_rate,
        error_share=live.error_share,
        input_rate=live.input_rate,
        output_rate=live.output_rate,
        first_token=latency(live.first_token),
        per_token=latency(live.per_token),
        charted_first_token=charted(live.first_token, (mark.first_token for mark in marks)),
        charted_per_token=charted(live.per_token, (mark.per_token for mark in marks)),
        running=live.running,
        waiting=live.waiting,
        outcomes={name: count for name, count in outcomes.items() if name != Outcome.OK and count},
        recent=Tally(outcomes=summed(mark.outcomes for mark in marks[-RECENT_STEPS - 1 :])),
        losses=summed(mark.losses for mark in marks),
        models=models_of(seen),
        services=services_of(seen),
        engines=engines_of(seen),
        devices=devices_of(points),
        sources=sources_of(points),
        queues=queues_of(points),
        destinations=destinations_of(points),
        itself=itself_of(points),
    )


def charted(minute: Spreads, marks: Iterable[Spreads]) -> Origin | None:
    """The place whose line the chart draws: the one behind the live number, else the best of the whole chart."""
    known = set(minute) or {origin for spread in marks for origin in spread}
    return next((origin for origin in Origin if origin in known), None)
