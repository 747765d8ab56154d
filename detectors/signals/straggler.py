"""
A device that is slower than its peers at the same work.

Peers are devices of one model in one pod, or, where pods have few, in the pods of one workload (known by the stem of
the pod's name); without placement, all of one model: four of them at least. Every `interval_seconds` the mean core
clock of each busy peer is compared with the peers' median of the same seconds, so that whatever changes for all of
them (load, power cap, hour of the day) cancels. A device is slow when half of its last 60 comparisons found it slower
than the median by `slower_ratio`, and by more than peers differ anyway (`spreads` times 1.4826 MAD, which is taken as
2 % at least). Two slow out of eight move neither median nor MAD.

Compared are only devices that do the same work: activity (tensor unit, else SM, else utilisation) or activity times
clock within `load_ratio` of the peers' median. The first is so for replicas, the second where the fast ones wait for
the slow one, whose units are then busier.

Catches: a device held at a lower clock by heat, power, a clock setting or a fault, within 5 to 7 minutes at a sample
a second (30 comparisons, so later for a slower source). Misses: a device slow at full clock (memory, PCIe, host),
half or more of the peers slow, fewer than four peers, sources that tell no clock. Keeps 60 comparisons per device.
"""

import re
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Sequence, Set
from statistics import median
from typing import Annotated, Final

import msgspec

from detectors.signals._devices import Known, Roster
from detectors.signals._labels import named
from detectors.signals._levels import Ladder
from detectors.signals._spans import number
from watchkeeper.core.interfaces import Plugin
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.metric import Metric
from watchkeeper.core.records import Assessment, Batch, State, Verdict
from watchkeeper.core.vocabulary import devices

Ratio = Annotated[float, msgspec.Meta(gt=0, le=1)]

_COMPARISONS: Final = 60
_STALE_SECONDS: Final = 6 * 3600.0
"""a comparison older than this says nothing of today"""
_FLOOR: Final = 0.02
_RAISE_SECONDS: Final = 60.0
_CLEAR_SECONDS: Final = 300.0
_TELLING: Final = 0.05
"""activity below which a measure is too near to its own noise to compare work by"""
_ACTIVITIES: Final = (devices.MATRIX_ACTIVE, devices.COMPUTE_ACTIVE, devices.UTILIZATION)
"""best first"""
_TASK: Final = {"general", ""}
_HASH: Final = "[bcdfghjklmnpqrstvwxz2456789]"
_STEM: Final = re.compile(rf"(?:-{_HASH}{{6,10}}-{_HASH}{{5}}|-\d+-{_HASH}{{5}}|-\d+(?:-\d+)?|-{_HASH}{{5}})$")


class StragglerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A device slower than its peers at the same work."""

    enabled: bool = True
    """False: devices are not compared"""
    interval_seconds: Annotated[float, msgspec.Meta(ge=1)] = 10.0
    """time between two comparisons; the last 60 are judged"""
    slower_ratio: Ratio = 0.1
    """warn when a device's core clock is below its peers' median by this share"""
    much_slower_ratio: Ratio = 0.3
    """alarm when by this share"""
    spreads: Annotated[float, msgspec.Meta(ge=1)] = 4.0
    """and by so many times the spread among the peers (1.4826 MAD, at least 2 %)"""
    busy_ratio: Ratio = 0.3
    """a device less active than this is not compared"""
    load_ratio: Ratio = 0.3
    """peers whose activity differs from their median by more do other work"""
    peers: Annotated[int, msgspec.Meta(ge=3)] = 4
    """fewer devices than this are not compared"""

    def __post_init__(self) -> None:
        """:raises ValueError: the alarm would come before the warning"""
        if self.much_slower_ratio < self.slower_ratio:
            raise ValueError("much_slower_ratio must not be less than slower_ratio")


class Compared(msgspec.Struct, frozen=True):
    """One comparison: by which share of the peers' median the device's clock was lower, and their spread."""

    at: float
    slower: float
    spread: float
    clock_hertz: float
    median_hertz: float


class Look(msgspec.Struct, frozen=True):
    """A device's means since the last comparison; None = not told."""

    clock_hertz: float
    activity: tuple[float | None, ...]
    """as _ACTIVITIES"""


def compare(looks: Sequence[Look], config: StragglerConfig, at: float) -> list[Compared | None]:
    """Each peer beside the median of those that did the same work; None for the others. Pure."""
    nothing: list[Compared | None] = [None] * len(looks)
    busy = [
        place
        for place, look in enumerate(looks)
        if max((value for value in look.activity if value is not None), default=0.0) >= config.busy_ratio
    ]
    if len(busy) < config.peers:
        return nothing
    activity = _activity([looks[place] for place in busy])
    if activity is None:
        return nothing
    works = [value * looks[place].clock_hertz for place, value in zip(busy, activity, strict=True)]
    usual, usual_work = median(activity), median(works)
    same = [
        place
        for place, value, work in zip(busy, activity, works, strict=True)
        if abs(value - usual) <= config.load_ratio * usual or abs(work - usual_work) <= config.load_ratio * usual_work
    ]
    if len(same) < config.peers:
        return nothing
    clocks = [looks[place].clock_hertz for place in same]
    middle = median(clocks)
    spread = max(1.4826 * median(abs(clock - middle) for clock in clocks) / middle, _FLOOR)
    for place, clock in zip(same, clocks, strict=True):
        nothing[place] = Compared(at, (middle - clock) / middle, spread, clock, middle)
    return nothing


def _activity(looks: Sequence[Look]) -> list[float] | None:
    """By the best measure that all of them tell."""
    for column in zip(*(look.activity for look in looks), strict=True):
        values = [value for value in column if value is not None]
        if len(values) == len(looks) and median(values) >= _TELLING:
            return values
    return None


def stem(pod: str) -> str:
    """The workload's name: a pod's without the ordinals and hashes that Kubernetes appends."""
    return _STEM.sub("", pod)


class _Kept:
    """Of one device: means since the last comparison, and its comparisons."""

    __slots__ = ("compared", "ladder", "limit", "means", "power", "reasons", "slow_since")

    def __init__(self, config: StragglerConfig) -> None:
        self.means: dict[Metric, list[float]] = {}
        self.power: float | None = None
        self.reasons: dict[str, float] = {}
        self.compared: deque[Compared] = deque(maxlen=_COMPARISONS)
        self.limit = config.slower_ratio
        self.ladder = Ladder(1.0, 1.0, _RAISE_SECONDS, _CLEAR_SECONDS)
        self.slow_since = 0.0

    @property
    def reasons_now(self) -> list[str]:
        """Why its clocks are held back."""
        return sorted(reason for reason, on in self.reasons.items() if on)

    def judge(self, slower: float, alarm: float, now: float) -> None:
        """When it is found slow, remember since when: that began half of the comparisons before the median told."""
        was = self.ladder.since
        self.ladder.update(slower / self.limit, now, slower / alarm)
        if self.ladder.since and not was:
            self.slow_since = _began([(entry.at, entry.slower >= self.limit) for entry in self.compared])

    def add(self, metric: Metric, value: float) -> None:
        mean = self.means.setdefault(metric, [0.0, 0.0])
        mean[0] += value
        mean[1] += 1

    def look(self) -> Look | None:
        means = {metric: total / count for metric, (total, count) in self.means.items()}
        clock = means.get(devices.CLOCK, 0.0)
        return Look(clock, tuple(means.get(metric) for metric in _ACTIVITIES)) if clock > 0 else None


class Straggler:
    def __init__(self, config: StragglerConfig, ledger: Ledger) -> None:
        self._config = config
        self._roster: Roster[_Kept] = Roster(lambda: _Kept(config))

    def update(self, batch: Batch) -> None:
        for point in batch.points:
            own = named(point.labels)
            if own.get("clock", "core") != "core" or own.get("hw.gpu.task", "") not in _TASK:
                continue
            known = self._roster.see(own, batch.at)
            if known is None:
                continue
            if point.metric is devices.THROTTLED:
                known.kept.reasons[own.get(devices.REASON, "")] = number(point)
            elif point.metric is devices.POWER:
                known.kept.power = number(point)
            else:
                known.kept.add(point.metric, number(point))

    def assess(self, now: float) -> list[Assessment]:
        present = list(self._roster.present(now))
        assessments = []
        for group in _peers(present, self._config.peers):
            self._compare(group, now)
            powers = [one.kept.power for one in group if one.kept.power is not None]
            usual = {reason for reason, count in Counter(_reasons_of(group)).items() if 2 * count > len(group)}
            assessments += [self._judge(one, powers, usual) for one in group]
        for one in present:
            one.kept.means.clear()
        return assessments

    def _compare(self, group: Sequence[Known[_Kept]], now: float) -> None:
        looks = [(one, look) for one in group if (look := one.kept.look()) is not None]
        found = compare([look for _, look in looks], self._config, now)
        for (one, _), compared in zip(looks, found, strict=True):
            kept = one.kept
            while kept.compared and not 0 <= now - kept.compared[0].at <= _STALE_SECONDS:
                kept.compared.popleft()
            if compared is None:
                continue
            kept.compared.append(compared)
            if len(kept.compared) >= _COMPARISONS // 2:
                spread = median(entry.spread for entry in kept.compared)
                kept.limit = max(self._config.slower_ratio, self._config.spreads * spread)
                slower = median(entry.slower for entry in kept.compared)
                alarm = max(self._config.much_slower_ratio, kept.limit)
                kept.judge(slower, alarm, now)

    def _judge(self, one: Known[_Kept], powers: Sequence[float], usual: Set[str]) -> Assessment:
        """:param usual: why clocks of most of its peers are held back too"""
        kept, device = one.kept, one.device
        if len(kept.compared) < _COMPARISONS // 2:
            return Assessment(subject=device.subject, verdict=Verdict(State.WARMING, 0.0, kept.limit))
        slower = max(0.0, median(entry.slower for entry in kept.compared))
        verdict = Verdict(kept.ladder.state, slower, kept.limit)
        if verdict.state is State.OK:
            return Assessment(subject=device.subject, verdict=verdict)
        clock = median(entry.clock_hertz for entry in kept.compared) / 1e6
        peers = median(entry.median_hertz for entry in kept.compared) / 1e6
        reasons = kept.reasons_now
        evidence = [
            f"core clock {clock:.0f} MHz, median of its peers {peers:.0f} MHz",
            f"limit {kept.limit:.0%} below the median, {len(kept.compared)} comparisons while it did the same work",
        ]
        if kept.power is not None and powers:
            evidence.append(f"power {kept.power:.0f} W, median of its peers {median(powers):.0f} W")
        said = ", ".join(f"{reason}, as its peers" if reason in usual else reason for reason in reasons)
        evidence.append(f"clocks held back now by: {said}" if reasons else "no reason for it is told now")
        return Assessment(
            subject=device.subject,
            verdict=verdict,
            summary=f"{device} runs {slower:.0%} slower than its peers at the same work",
            action=_action([reason for reason in reasons if reason not in usual]),
            evidence=tuple(evidence),
            since=kept.slow_since,
        )


def _began(compared: Sequence[tuple[float, bool]]) -> float:
    """When the newest run of slow comparisons began; one that was not slow does not end it, two do."""
    began, misses = compared[-1][0], 0
    for at, is_slow in reversed(compared):
        misses = 0 if is_slow else misses + 1
        if misses == 2:
            break
        began = at if is_slow else began
    return began


def _reasons_of(group: Sequence[Known[_Kept]]) -> Iterator[str]:
    for one in group:
        yield from one.kept.reasons_now


def _action(reasons: Sequence[str]) -> str:
    """:param reasons: why its clocks are held back, and those of most of its peers not"""
    if any("cap" not in reason for reason in reasons):  # a power cap is normal, and not judged at these clocks
        return "see the signal `throttling` of this device: cool it or restore its power; until then move its work away"
    return (
        "compare its power limit, clock settings, temperature and PCIe width with its neighbours; reset its "
        "application clocks, then take it out of the group"
    )


def _peers(present: Sequence[Known[_Kept]], enough: int) -> Iterator[list[Known[_Kept]]]:
    """Groups of devices that may do the same work: of one pod, or of the small pods of one workload."""
    by_pod: defaultdict[tuple[str, ...], list[Known[_Kept]]] = defaultdict(list)
    by_workload: defaultdict[tuple[str, ...], list[Known[_Kept]]] = defaultdict(list)
    for one in present:
        device = one.device
        by_pod[(device.vendor, device.model, device.namespace, device.pod)].append(one)
    for (vendor, model, namespace, pod), group in by_pod.items():
        if len(group) >= enough:
            yield group
        elif pod:
            by_workload[(vendor, model, namespace, stem(pod))] += group
    yield from (group for group in by_workload.values() if len(group) >= enough)


PLUGIN: Final = Plugin(
    name="straggler",
    summary="A device slower than its peers at the same work.",
    config=StragglerConfig,
    build=Straggler,
    reads=(
        devices.CLOCK, devices.MATRIX_ACTIVE, devices.COMPUTE_ACTIVE, devices.UTILIZATION, devices.POWER,
        devices.THROTTLED,
    ),
    roles=("run", "node"),
    interval_seconds=lambda config: config.interval_seconds,
)  # fmt: skip
