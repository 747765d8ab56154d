"""
Devices that a pod has and does not use.

A minute is idle when the device's mean activity (utilisation of any kind, SM, tensor unit: the highest told) was
below `idle_ratio` and its pods worked off no token. The device is idle when all minutes of the last `idle_seconds`
were; it is in use again when a fifth of them were busy, so that one question does not hide an idle afternoon. A
minute without a number is neither. A pod that has had the device for less than `idle_seconds` is given time to start.

What is judged is the pod, with the number of its devices that are idle: one that has eight is one finding. A pod is
not told before those of its devices that will be idle within two minutes are. A device that several pods share is
judged by itself.

Catches: forgotten and oversized deployments, pods that hang before they load, after `idle_seconds` (30 minutes) and
at most a minute. Misses: devices that spin without work (utilisation is high), partitions whose activity the driver
does not tell, devices without placement. Mistakes for idle: warm standby; name it in `standby`. Where the tokens of a
pod are counted in another process (sidecar), activity alone speaks. Keeps a number for each minute of `idle_seconds`
per device.
"""

from collections import defaultdict, deque
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Final

import msgspec

from detectors.signals._devices import Device, Roster
from detectors.signals._labels import named
from detectors.signals._levels import Ladder
from detectors.signals._spans import Increments, number
from watchkeeper.core.interfaces import Plugin
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Assessment, Batch, Labels, SeriesKey, State, Verdict
from watchkeeper.core.vocabulary import devices, engines, requests

_MINUTE: Final = 60.0
_SOON_MINUTES: Final = 2
"""a device that will be idle in so many minutes is waited for before its pod is told"""
_MOST_NAMES: Final = 16
_ACTIVITIES: Final = (devices.UTILIZATION, devices.COMPUTE_ACTIVE, devices.MATRIX_ACTIVE)
_TOKENS: Final = (requests.TOKENS, engines.TOKENS)

Place = tuple[str, str]
"""namespace and pod"""


class AllocatedIdleConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Devices that a pod has and does not use."""

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

    __slots__ = ("_allocated", "_held", "activity", "busy_until", "holders", "ladder", "minute", "minutes", "worked")

    def __init__(self, minutes: int) -> None:
        self._allocated: dict[SeriesKey, Place] = {}
        self._held: Device | None = None
        """as it was when its holders were looked at"""
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

    def allocate(self, key: SeriesKey, place: Place | None) -> None:
        """What a series says of whose it is; None: it is gone."""
        if self._allocated.get(key) != place:
            self._held = None
        if place is None:
            self._allocated.pop(key, None)
        else:
            self._allocated[key] = place

    def hold(self, device: Device, now: float) -> None:
        """Whose it is now; whoever is new gets time to start."""
        if device is self._held:
            return
        self._held = device
        alone = {(device.namespace, device.pod)} if device.pod else set()
        holders = frozenset(self._allocated.values()) or frozenset(alone)
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
        self._raised: set[Labels] = set()
        self._minute: float | None = None

    def update(self, batch: Batch) -> None:
        minute, self._minute = self._minute, batch.at // _MINUTE
        if not (batch.points or batch.gone) and minute == self._minute:
            return
        self._increments.forget(batch)
        for key in batch.gone:
            if (known := self._roster.find(dict(key[1]).get("hw.id", ""))) is not None:
                known.kept.allocate(key, None)
        activity: dict[str, float] = {}
        worked: set[Place] = set()
        for point in batch.points:
            own = named(point.labels)
            place = own.get("k8s.namespace.name", ""), own.get("k8s.pod.name", "")
            if point.metric in _TOKENS:
                if self._increments.of(point) > 0:
                    worked.add(place)
            elif point.metric is devices.ALLOCATION:
                if place[1] and (known := self._roster.find(own.get("hw.id", ""))) is not None:
                    known.kept.allocate((point.metric, point.labels), place)
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
        groups: defaultdict[Labels, list[_Judged]] = defaultdict(list)
        for known in self._roster.present(now):
            if known.kept.holders:
                groups[_subject(known.device, known.kept)].append(self._judge(known.device, known.kept, now))
        assessments = [self._told(subject, devices, now) for subject, devices in groups.items()]
        self._raised = {one.subject for one in assessments if one.verdict.state is State.WARN}
        return assessments

    def _judge(self, device: Device, kept: _Kept, now: float) -> "_Judged":
        minutes = kept.minutes.maxlen or 1
        if len(kept.minutes) < minutes and kept.ladder.state is State.OK:
            return _Judged(device, kept, State.WARMING, 0, sum(1 for minute in kept.minutes if minute))
        idle = 0 if self._is_standby(kept) else sum(1 for minute in kept.minutes if minute)
        return _Judged(device, kept, kept.ladder.update(float(idle), now), idle, idle)

    def _is_standby(self, kept: _Kept) -> bool:
        places = [_text(holder) for holder in kept.holders]
        return all(any(fnmatchcase(place, pattern) for pattern in self._config.standby) for place in places)

    def _told(self, subject: Labels, judged: "Sequence[_Judged]", now: float) -> Assessment:
        threshold = judged[0].kept.minutes.maxlen or 1
        idle = [one for one in judged if one.state is State.WARN]
        is_soon = any(threshold > one.so_far >= threshold - _SOON_MINUTES for one in judged if one not in idle)
        if not idle or (is_soon and subject not in self._raised):
            state = State.WARMING if any(one.state is State.WARMING for one in judged) else State.OK
            score = 0 if state is State.WARMING else min(max(one.idle for one in judged), threshold - 1)
            return Assessment(subject=subject, verdict=Verdict(state, float(score), float(threshold)))
        hours = sum(max(0.0, now - one.kept.busy_until) for one in idle) / 3600
        last = "since it last worked" if len(idle) == 1 else "since they last worked"
        return Assessment(
            subject=subject,
            verdict=Verdict(State.WARN, float(max(one.idle for one in idle)), float(threshold)),
            summary=f"{_named(idle, len(judged))} stood idle for {min(one.idle for one in idle)} of the last "
            f"{threshold} minutes",
            action="ask the owner to scale down or to share the devices; a standby that is meant goes into "
            "signals.allocated_idle.standby",
            evidence=(
                *_listed(idle),
                f"activity under {self._config.idle_ratio:.1%} and no tokens, minute by minute",
                f"{hours:.1f} device-hours paid for and not used {last}",
            ),
            since=min(one.kept.busy_until for one in idle),
        )


class _Judged(msgspec.Struct, frozen=True):
    """One device. `idle` minutes count; `so_far` are those of one that has not had time to start, too."""

    device: Device
    kept: _Kept
    state: State
    idle: int
    so_far: int


def _subject(device: Device, kept: _Kept) -> Labels:
    """The pod that has the device; the device, where several have it."""
    if len(kept.holders) > 1:
        return device.subject
    [(namespace, pod)] = kept.holders
    said = (("k8s.namespace.name", namespace), ("k8s.pod.name", pod))
    return tuple((label, value) for label, value in said if value)


def _named(idle: Sequence[_Judged], of: int) -> str:
    """Who, and `has` or `have`."""
    holders = sorted(_text(holder) for holder in idle[0].kept.holders)
    models = " and ".join(sorted({one.device.model for one in idle if one.device.model}))
    model = f" ({models})" if models else ""
    if of == 1:
        device = idle[0].device
        held = f" of pod {holders[0]}" if len(holders) == 1 else f", given to {', '.join(holders)},"
        return f"device {device.name or device.id}{model}{held} has"
    number = f"all {of} devices" if len(idle) == of else f"{len(idle)} of {of} devices"
    return f"{number}{model} of pod {holders[0]} {'has' if len(idle) == 1 else 'have'}"


def _listed(idle: Sequence[_Judged]) -> tuple[str, ...]:
    """The names of several devices."""
    if len(idle) == 1:
        return ()
    names = [one.device.name or one.device.id for one in idle]
    names.sort(key=lambda name: (len(name), name))
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return (f"devices {', '.join(names[:_MOST_NAMES])}{more}",)


def _text(holder: Place) -> str:
    return "/".join(part for part in holder if part)


PLUGIN: Final = Plugin(
    name="allocated_idle",
    summary="Devices that a pod has and does not use.",
    config=AllocatedIdleConfig,
    build=AllocatedIdle,
    reads=(*_ACTIVITIES, *_TOKENS, devices.ALLOCATION),
    roles=("run", "node"),
    interval_seconds=lambda config: config.interval_seconds,
)
