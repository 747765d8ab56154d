"""
A device whose clocks are held back, by reason, for a share of the time that its kind of reason does not excuse.

The share is the throttle time that the driver counts over `window_seconds`; where it counts none for a reason, the
share of samples at which the reason was on. It must be so over the whole window and over its last fifth, so that a
spike that has ended raises nothing; what is raised is held by the whole window, so that bursts are one finding. Power
brake and hardware heat are serious after seconds a minute; a power cap is how a device works at full load, so it warns
only when it holds nearly always and the clock is far below its limit. Sync boost and clocks that somebody set are
nobody's trouble.

Catches: at the defaults a full power brake within 4 minutes, heat and slowdowns for half of the time within 5, a
power cap after 12; a source that samples seldom adds two of its intervals. Misses: what lasts a few seconds, a power
cap where clock or its limit are not told, clocks lowered without a reason (see straggler). Keeps at most 64 spans for
each reason that a device ever told.
"""

from typing import Annotated, Final

import msgspec

from detectors.signals._devices import Device, Known, Roster
from detectors.signals._labels import named
from detectors.signals._levels import Ladder
from detectors.signals._spans import Increments, Spans, number
from watchkeeper.core.interfaces import Plugin
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Assessment, Batch, State, Verdict
from watchkeeper.core.vocabulary import devices

Ratio = Annotated[float, msgspec.Meta(gt=0, le=1)]

_SPANS: Final = 60
_RAISE_SECONDS: Final = 30.0
"""beside the short window: what is in that only because of one spike has left it by then"""
_CLEAR_SECONDS: Final = 300.0

_POWER_CAP, _HEAT, _HOT, _BRAKE, _SLOWDOWN = "power cap", "heat", "hardware heat", "power brake", "slowdown"
_KINDS: Final = (
    ("sync", ""), ("idle", ""), ("setting", ""), ("display", ""), ("locked", ""),
    ("brake", _BRAKE), ("hw_therm", _HOT), ("hardware_therm", _HOT), ("therm", _HEAT), ("thrm", _HEAT), ("temp", _HEAT),
    ("prochot", _HOT), ("slowdown", _SLOWDOWN), ("power", _POWER_CAP), ("ppt", _POWER_CAP), ("tdp", _POWER_CAP),
)  # fmt: skip
"""what a part of a reason's name says of its kind; the first that is in it holds, '' is no trouble"""
_ACTIONS: Final = {
    _POWER_CAP: "compare its power limit with that of its neighbours; raise the limit, or lower the load on it",
    _HEAT: "compare inlet air and neighbours: one device hot is its fan, paste or dust, a whole rack is the cooling; "
    "move load away if users feel it",
    _HOT: "move its load away now; then check fan, airflow and cooling of this host before it shuts down",
    _BRAKE: "call facilities: the brake comes from outside (power supply, PDU, rack limit); spread load over racks",
    _SLOWDOWN: "look for hardware heat or power brake beside it; neither: drain it and run the vendor's diagnostics",
}


class ThrottlingConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Clocks held back, by reason. Ratios are shares of time."""

    enabled: bool = True
    """False: throttling is not judged"""
    interval_seconds: Annotated[float, msgspec.Meta(ge=1)] = 10.0
    """how often it is judged"""
    window_seconds: Annotated[float, msgspec.Meta(ge=60)] = 600.0
    """time over which the share is taken"""
    heat_warn_ratio: Ratio = 0.1
    """warn: the driver slows the device for its temperature"""
    hardware_heat_warn_ratio: Ratio = 0.02
    """warn: the hardware slows itself for its temperature"""
    hardware_heat_alarm_ratio: Ratio = 0.1
    """alarm"""
    power_brake_warn_ratio: Ratio = 0.01
    """warn: a brake from outside the device"""
    power_brake_alarm_ratio: Ratio = 0.1
    """alarm"""
    slowdown_warn_ratio: Ratio = 0.05
    """warn: the hardware slows itself and does not say why"""
    slowdown_alarm_ratio: Ratio = 0.2
    """alarm"""
    power_cap_warn_ratio: Ratio = 0.9
    """warn: the power limit holds, which is normal at full load, and"""
    power_cap_clock_ratio: Ratio = 0.6
    """the core clock is below this share of its limit"""


class _Reason:
    """One reason of one device."""

    __slots__ = ("counted", "kind", "ladder", "sampled", "since")

    def __init__(self, kind: str, config: ThrottlingConfig, now: float) -> None:
        warn, alarm = _limits(kind, config)
        span_seconds = config.window_seconds / _SPANS
        self.kind = kind
        self.since = now
        self.counted: Spans | None = None
        self.sampled = Spans(span_seconds, _SPANS + 4)
        self.ladder = Ladder(warn, alarm, config.window_seconds / 5 + _RAISE_SECONDS, _CLEAR_SECONDS)

    def share(self, now: float, seconds: float) -> float | None:
        """Share of the last `seconds` in which it held, as far as it was watched."""
        if self.counted is None:
            return self.sampled.mean(now, seconds)
        share = self.counted.per_second(now, seconds, self.since)
        return None if share is None else min(1.0, share)


class _Kept:
    __slots__ = ("gauges", "reasons")

    def __init__(self) -> None:
        self.reasons: dict[str, _Reason] = {}
        self.gauges: dict[tuple[str, str], float] = {}


def kind_of(reason: str) -> str:
    """What kind of trouble a vendor's reason is; empty for none."""
    return next((kind for part, kind in _KINDS if part in reason.lower()), "")


def _limits(kind: str, config: ThrottlingConfig) -> tuple[float, float | None]:
    return {
        _POWER_CAP: (config.power_cap_warn_ratio, None),
        _HEAT: (config.heat_warn_ratio, None),
        _HOT: (config.hardware_heat_warn_ratio, config.hardware_heat_alarm_ratio),
        _BRAKE: (config.power_brake_warn_ratio, config.power_brake_alarm_ratio),
        _SLOWDOWN: (config.slowdown_warn_ratio, config.slowdown_alarm_ratio),
    }[kind]


class Throttling:
    def __init__(self, config: ThrottlingConfig, ledger: Ledger) -> None:
        self._config = config
        self._roster: Roster[_Kept] = Roster(_Kept)
        self._increments = Increments()

    def update(self, batch: Batch) -> None:
        for point in batch.points:
            own = named(point.labels)
            known = self._roster.see(own, batch.at)
            if known is None:
                continue
            if point.metric is devices.THROTTLED or point.metric is devices.THROTTLE_TIME:
                reason = self._reason(known, own.get(devices.REASON, ""), batch.at)
                if reason is None:
                    continue
                if point.metric is devices.THROTTLED:
                    reason.sampled.add(number(point), batch.at)
                    continue
                if reason.counted is None:
                    reason.counted = Spans(reason.sampled.span_seconds, _SPANS + 4)
                    reason.since = batch.at
                reason.counted.add(self._increments.of(point), batch.at)
            elif own.get("clock", "core") == "core" and own.get("hw.sensor_location", "chip") == "chip":
                known.kept.gauges[(point.metric.name, own.get("hw.limit_type", ""))] = number(point)
        self._increments.forget(batch)

    def _reason(self, known: Known[_Kept], name: str, now: float) -> _Reason | None:
        reason = known.kept.reasons.get(name)
        if reason is None and (kind := kind_of(name)):
            reason = known.kept.reasons[name] = _Reason(kind, self._config, now)
        return reason

    def assess(self, now: float) -> list[Assessment]:
        return [
            self._judge(known.device, name, reason, known.kept, now)
            for known in self._roster.present(now)
            for name, reason in known.kept.reasons.items()
        ]

    def _judge(self, device: Device, name: str, reason: _Reason, kept: _Kept, now: float) -> Assessment:
        window = self._config.window_seconds
        warn, _ = _limits(reason.kind, self._config)
        subject = (*device.subject, (devices.REASON, name))
        if now < reason.since:  # the clock was set back
            reason.since = now
        if now - reason.since < window / 5:
            return Assessment(subject=subject, verdict=Verdict(State.WARMING, 0.0, warn))
        long, short = reason.share(now, window), reason.share(now, window / 5)
        share = min(long, short) if long is not None and short is not None else 0.0
        held = long or 0.0
        clock = kept.gauges.get((devices.CLOCK.name, ""))
        highest = kept.gauges.get((devices.CLOCK_LIMIT.name, ""))
        if reason.kind == _POWER_CAP and not (
            clock is not None and highest and clock < self._config.power_cap_clock_ratio * highest
        ):
            share = held = 0.0
        state = reason.ladder.update(share, now, held=held)
        verdict = Verdict(state, share, warn)
        if state is State.OK:
            return Assessment(subject=subject, verdict=verdict)
        return Assessment(
            subject=subject,
            verdict=verdict,
            summary=f"{device} is held back by {reason.kind} ({name}) for {long or 0.0:.0%} of the time",
            action=_ACTIONS[reason.kind],
            evidence=tuple(_evidence(reason, kept, long or 0.0, window)),
            since=reason.ladder.since,
        )


def _evidence(reason: _Reason, kept: _Kept, share: float, window_seconds: float) -> list[str]:
    how = "counted by the driver" if reason.counted is not None else "of the samples"
    lines = [f"{share:.1%} of the last {window_seconds / 60:.0f} minutes, {how}"]
    for metric, limit, kind, unit, scale in (
        (devices.TEMPERATURE, devices.TEMPERATURE_LIMIT, "slowdown", "Cel", 1.0),
        (devices.POWER, devices.POWER_LIMIT, "", "W", 1.0),
        (devices.CLOCK, devices.CLOCK_LIMIT, "", "MHz", 1e-6),
    ):
        value, highest = kept.gauges.get((metric.name, "")), kept.gauges.get((limit.name, kind))
        if value is not None:
            of = f", limit {highest * scale:.0f} {unit}" if highest is not None else ""
            lines.append(f"{metric.name.rpartition('.')[2]} {value * scale:.0f} {unit}{of}")
    return lines


PLUGIN: Final = Plugin(
    name="throttling",
    summary="Clocks held back by heat, power or hardware for longer than is normal.",
    config=ThrottlingConfig,
    build=Throttling,
    reads=(
        devices.THROTTLE_TIME, devices.THROTTLED, devices.TEMPERATURE, devices.TEMPERATURE_LIMIT, devices.POWER,
        devices.POWER_LIMIT, devices.CLOCK, devices.CLOCK_LIMIT,
    ),
    roles=("run", "node"),
    interval_seconds=lambda config: config.interval_seconds,
)  # fmt: skip
