"""
A device that a pod has and does not use.

A minute is idle when the device's mean activity (utilisation of any kind, SM, tensor unit: the highest told) was
below `idle_ratio` and its pods worked off no token. The device is idle when all minutes of the last `idle_seconds`
were; it is in use again when a fifth of them were busy, so that one question does not hide an idle afternoon. A
minute without a number is neither. A pod that has had the device for less than `idle_seconds` is given time to start.

Catches: forgotten and oversized deployments, pods that hang before they load, after `idle_seconds` (30 minutes) and
at most a minute. Misses: devices that spin without work (utilisation is high), partitions whose activity the driver
does not tell, devices without placement. Mistakes for idle: warm standby; name it in `standby`. Where the tokens of a
pod are counted in another process (sidecar), activity alone speaks. Keeps a number for each minute of `idle_seconds`
per device.
"""

from collections import deque
from fnmatch import fnmatchcase
from typing import Annotated, Final

import msgspec

from detectors.signals._devices import Device, Roster
from detectors.signals._levels import Ladder
from detectors.signals._spans import Increments, number
from watchkeeper.core.interfaces import Plugin
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Assessment, Batch, SeriesKey, State, Verdict
from watchkeeper.core.vocabulary import devices, engines, requests

_MINUTE: Final = 60.0
_ACTIVITIES: Final = (devices.UTILIZATION, devices.COMPUTE_ACTIVE, devices.MATRIX_ACTIVE)
_TOKENS: Final = (requests.TOKENS, engines.TOKENS)

Place = tuple[str, str]
"""namespace and pod"""


class AllocatedIdleConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A device that a pod has and does not use."""

    enabled: bool = True
    """False: idle devices are not told"""
    interval_seconds: Annotated[float, msgspec.Meta(ge=1, le=60)] = 30.0
    """how often it is judged"""
    idle_seconds: Annotated[float, msgspec.Meta(ge=300, le=604800)] = 1800.0
    """warn after so long without work"""
    idle_ratio: Annotated[float, msgspec.Meta(gt=0, le=0.5)] = 0.01
    """a minute with less activity than this is idle"""
    standby: tuple[str, ...] = ()
    """pods that may be idle, as `namespace/pod`, with `*` for anything"""


class _Kept:
    """Minutes of one device: True idle, False busy, None not told."""

    __slots__ = ("activity", "allocated", "busy_until", "holders", "ladder", "minute", "minutes", "worked")

    def __init__(self, minutes: int) -> None:
        self.allocated: dict[SeriesKey, Place] = {}
        self.holders: frozenset[Place] = frozenset()
        self.minutes: deque[bool | None] = deque(maxlen=minutes)
        self.begin(0.0)

    def begin(self, now: float) -> None:
        """In other hands, or the clock was set back."""
        self.minute = now // _MINUTE
        self.busy_until = now
        self.activity: list[float] = []
        self.worked = False
        self.minutes.clear()
        self.ladder = Ladder(float(self.minutes.maxlen or 1), None, 0.0, 0.0)

    def hold(self, device: Device, now: float) -> None:
        """Whose it is now; whoever is new gets time to start."""
        alone = {(device.namespace, device.pod)} if device.pod else set()
        holders = frozenset(self.allocated.values()) or frozenset(alone)
        if not holders <= self.holders:
            self.begin(now)
        self.holders = holders

    def close_minutes(self, now: float, idle_ratio: float) -> None:
        """Every minute that has ended since the last time; those in which nothing came are not told."""
        current = now // _MINUTE
        if current < self.minute:
            self.begin(now)
        if current == self.minute:
            return
        mean = sum(self.activity) / len(self.activity) if self.activity else None
        is_busy = self.worked or (mean is not None and mean >= idle_ratio)
        self.minutes.append(False if is_busy else None if mean is None else True)
        for _ in range(min(int(current - self.minute) - 1, self.minutes.maxlen or 1)):
            self.minutes.append(None)
        if self.minutes[-1] is not True:
            self.busy_until = current * _MINUTE
        self.minute, self.worked = current, False
        self.activity.clear()


class AllocatedIdle:
    def __init__(self, config: AllocatedIdleConfig, ledger: Ledger) -> None:
        self._config = config
        minutes = int(config.idle_seconds // _MINUTE)
        self._roster: Roster[_Kept] = Roster(lambda: _Kept(minutes))
        self._increments = Increments()

    def update(self, batch: Batch) -> None:
        self._increments.forget(batch)
        for key in batch.gone:
            if (known := self._roster.find(dict(key[1]).get("hw.id", ""))) is not None:
                known.kept.allocated.pop(key, None)
        activity: dict[str, float] = {}
        worked: set[Place] = set()
        for point in batch.points:
            own = dict(point.labels)
            place = own.get("k8s.namespace.name", ""), own.get("k8s.pod.name", "")
            if point.metric in _TOKENS:
                if self._increments.of(point) > 0:
                    worked.add(place)
            elif point.metric is devices.ALLOCATION:
                if place[1] and (known := self._roster.find(own.get("hw.id", ""))) is not None:
                    known.kept.allocated[(point.metric, point.labels)] = place
            elif (known := self._roster.see(own, batch.at)) is not None:
                activity[known.device.id] = max(activity.get(known.device.id, 0.0), number(point))
        for known in self._roster.present(batch.at):
            kept = known.kept
            kept.hold(known.device, batch.at)
            kept.close_minutes(batch.at, self._config.idle_ratio)
            if (value := activity.get(known.device.id)) is not None:
                kept.activity.append(value)
            kept.worked = kept.worked or not worked.isdisjoint(kept.holders)

    def assess(self, now: float) -> list[Assessment]:
        return [self._judge(known.device, known.kept, now) for known in self._roster.present(now) if known.kept.holders]

    def _judge(self, device: Device, kept: _Kept, now: float) -> Assessment:
        subject, threshold = device.placed_subject, float(kept.minutes.maxlen or 1)
        places = sorted("/".join(part for part in holder if part) for holder in kept.holders)
        if len(kept.minutes) < threshold and kept.ladder.state is State.OK:
            return Assessment(subject=subject, verdict=Verdict(State.WARMING, 0.0, threshold))
        idle = float(sum(1 for minute in kept.minutes if minute))
        if all(any(fnmatchcase(place, pattern) for pattern in self._config.standby) for place in places):
            idle = 0.0
        state = kept.ladder.update(idle, now)
        verdict = Verdict(state, idle, threshold)
        if state is State.OK:
            return Assessment(subject=subject, verdict=verdict)
        hours = max(0.0, now - kept.busy_until) / 3600
        held = "" if device.pod else f", given to {', '.join(places)},"
        return Assessment(
            subject=subject,
            verdict=verdict,
            summary=f"{device}{held} has stood idle for {idle:.0f} of the last {threshold:.0f} minutes",
            action="ask the owner to scale down or to share the device; a standby that is meant goes into "
            "signals.allocated_idle.standby",
            evidence=(
                f"activity under {self._config.idle_ratio:.1%} and no tokens, minute by minute",
                f"{hours:.1f} device-hours paid for and not used since it last worked",
            ),
            since=kept.busy_until,
        )


PLUGIN: Final = Plugin(
    name="allocated_idle",
    summary="A device that a pod has and does not use.",
    config=AllocatedIdleConfig,
    build=AllocatedIdle,
    reads=(*_ACTIVITIES, *_TOKENS, devices.ALLOCATION),
    roles=("run", "node"),
    interval_seconds=lambda config: config.interval_seconds,
)
