"""
A queue that fills faster than it is read, or whose reader is behind.

Of each queue that tells its size or age: how full it is over `full_ratio`, or how long its oldest item has waited over
`age_seconds`, for a minute, warns; so does one sender that is refused for want of room. It holds until it has been
below 80 % of that for 5 minutes.

Catches: too little processor time, a burst larger than the queue, a stuck pipeline, a consumer behind its topic (a
source that reads a log sets `watchkeeper.queue.age` too). Misses: what waits at the sender; see `lateness`.
"""

from typing import Annotated, Final

import msgspec

from detectors.signals._levels import Level
from detectors.signals._spans import Increments, number
from watchkeeper.core.interfaces import Plugin
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.metric import Metric
from watchkeeper.core.records import Assessment, Batch, State, Verdict
from watchkeeper.core.vocabulary import health

_RAISE_SECONDS: Final = 60.0
_CLEAR_SECONDS: Final = 300.0
_REFUSED_SECONDS: Final = 120.0
"""longer than what is asked for before it is raised: one refusal is enough"""
_NO_ROOM: Final = frozenset(("queue_full", "overloaded"))


class LagConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Queues that fill faster than they are read."""

    enabled: bool = True
    """False: queues are measured and not judged"""
    interval_seconds: Annotated[float, msgspec.Meta(ge=1, le=60)] = 10.0
    """how often it is judged"""
    full_ratio: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.5
    """warn: so much of the queue's capacity is used"""
    age_seconds: Annotated[float, msgspec.Meta(gt=0)] = 60.0
    """warn: the oldest item has waited so long"""


class _Queue:
    __slots__ = ("behind", "gauges", "refused", "refused_at")

    def __init__(self) -> None:
        self.gauges: dict[Metric, float] = {}
        self.refused = 0.0
        self.refused_at = float("-inf")
        self.behind = Level(1.0, _RAISE_SECONDS, _CLEAR_SECONDS)


class Lag:
    def __init__(self, config: LagConfig, ledger: Ledger) -> None:
        self._config = config
        self._increments = Increments()
        self._queues: dict[str, _Queue] = {}

    def update(self, batch: Batch) -> None:
        for point in batch.points:
            own = dict(point.labels)
            name = own.get("queue") or own.get("source", "")
            if point.metric.labels == health.QUEUE_SIZE.labels:
                self._queues.setdefault(name, _Queue()).gauges[point.metric] = number(point)
            elif (added := self._increments.of(point)) and own.get("reason") in _NO_ROOM:
                queue = self._queues.setdefault(name, _Queue())
                queue.refused = added + (queue.refused if batch.at - queue.refused_at < _REFUSED_SECONDS else 0.0)
                queue.refused_at = batch.at
        self._increments.forget(batch)
        for metric, labels in batch.gone:
            name = dict(labels).get("queue", "")
            if name in self._queues:
                self._queues[name].gauges.pop(metric, None)
                if not self._queues[name].gauges:
                    del self._queues[name]

    def assess(self, now: float) -> list[Assessment]:
        return [self._judge(name, queue, now) for name, queue in self._queues.items()]

    def _judge(self, name: str, queue: _Queue, now: float) -> Assessment:
        size, room = (queue.gauges.get(metric, 0.0) for metric in (health.QUEUE_SIZE, health.QUEUE_CAPACITY))
        full = size / room if room else 0.0
        age = queue.gauges.get(health.QUEUE_AGE, 0.0)
        refused = queue.refused if 0 <= now - queue.refused_at <= _REFUSED_SECONDS else 0.0
        score = max(full / self._config.full_ratio, age / self._config.age_seconds, float(bool(refused)))
        is_on = queue.behind.update(score, now)
        verdict = Verdict(State.WARN if is_on else State.OK, score, 1.0)
        subject = (("link", name),)
        if not is_on:
            return Assessment(subject=subject, verdict=verdict)
        said = f", {refused:.0f} refused for want of room" if refused else ""
        return Assessment(
            subject=subject,
            verdict=verdict,
            summary=f"the queue {name} is {full:.0%} full, its oldest item has waited {age:.0f} s{said}",
            action="give watchkeeper more processor time, or share its senders among more of them; senders that are "
            "refused keep their data and try again, until their own queues are full",
            evidence=(
                f"{size:.0f} of {room:.0f} bytes, {queue.gauges.get(health.QUEUE_LENGTH, 0.0):.0f} items",
                f"{self._config.full_ratio:.0%} and {self._config.age_seconds:g} s are let pass",
            ),
            since=queue.behind.since,
        )


PLUGIN: Final = Plugin(
    name="lag",
    summary="A queue that fills faster than it is read, or whose reader is behind.",
    config=LagConfig,
    build=Lag,
    reads=(
        health.QUEUE_SIZE, health.QUEUE_CAPACITY, health.QUEUE_LENGTH, health.QUEUE_AGE, health.REFUSED_REQUESTS,
        health.REJECTED,
    ),
    roles=("run", "sidecar", "gateway", "detector"),
    interval_seconds=lambda config: config.interval_seconds,
)  # fmt: skip
