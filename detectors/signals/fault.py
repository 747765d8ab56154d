"""
Faults that a device reports, and the state that its driver gives it.

Per device and class of fault (subject label `reason`): an event of severity critical is an alarm, of severity warning
a warning, at once, and for `hold_seconds` after the last one. Application faults (a workload's own mistakes, most of
them) warn when `application_faults` of them came within `application_seconds`. Uncorrected memory errors that came
without an event warn as class memory. Of severity info, all other classes say nothing. Per device besides, as reason
`condition`: what `hw.status` says, after `failed_seconds` or `degraded_seconds`: failed and predicted_failure are
alarms.

Catches: every event that a source counts, at the next question (5 s). Misses: events before watchkeeper ran or of a
device already lost; a fault that comes again while the same class is raised changes evidence, not state. A driver
that is loaded anew in less than `degraded_seconds` raises nothing. Keeps 32 codes per device and 64 times per class
and severity.
"""

from collections import deque
from collections.abc import Mapping
from typing import Annotated, Final

import msgspec

from detectors.signals._devices import Device, Known, Roster
from detectors.signals._labels import named
from detectors.signals._levels import Ladder
from detectors.signals._spans import Increments, number
from watchkeeper.core.interfaces import Plugin
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Assessment, Batch, Severity, State, Verdict
from watchkeeper.core.vocabulary import devices
from watchkeeper.core.vocabulary.faults import FaultClass, KnownFault, known_fault

_CODES: Final = 32
_EVENTS: Final = 64
_CLEAR_SECONDS: Final = 300.0
_APPLICATION: Final = FaultClass.APPLICATION.value
_MEMORY: Final = FaultClass.MEMORY.value
_SEVERITIES: Final = {Severity.WARNING.value: 1.0, Severity.CRITICAL.value: 2.0}
_CONDITIONS: Final = {"degraded": 1.0, "failed": 2.0, "predicted_failure": 2.0}
_STATES: Final = {0.0: State.OK, 1.0: State.WARN, 2.0: State.ALARM}
_ACTIONS: Final = {
    FaultClass.APPLICATION.value: "hand it to the owner of the workload and restart its engine; the same on several "
    "hosts after a release is software",
    FaultClass.MEMORY.value: "drain the device, look at row remapping or page isolation, and test its memory before it "
    "returns to service",
    FaultClass.LINK.value: "ask whether a service spans several devices here, look for the same fault at the other "
    "end, then run the vendor's link diagnostics",
    FaultClass.BUS.value: "cordon and drain the node, look for PCIe errors in the kernel log, then reboot it cold",
    FaultClass.POWER.value: "check power cables and supplies of this host",
}
_ANY_ACTION: Final = "cordon the node, drain the device, and look the code up in the vendor's catalogue"
_CONDITION_ACTIONS: Final = {
    "gpu_reset": "drain the pods of this device, then reset it",
    "node_reboot": "cordon and drain the node, then reboot it",
    "system_reboot": "cordon and drain the node, then power-cycle it",
    "drain_p2p": "move multi-device work off this device: its links to its peers are to be drained",
    "drain_and_reset": "let the work on this device end, start no more on it, then reset it",
    "recover_imex_domain": "recover the IMEX domain that this device is in",
    "bus_reset": "drain the node, then reset the device's bus",
    "lost": "look in the kernel log for `fallen off the bus` and PCIe errors; cordon, drain, reboot cold; still gone: "
    "reseat or replace it",
    "hung": "look for processes stuck in the driver; drain the node and reset the device",
    "predicted_failure": "cordon it and open a replacement case: a memory repair failed",
    "failed": "cordon the node, drain the device, reset it; again within a day: replace it",
    "degraded": "plan a drain and a reset in the next maintenance window",
}
"""by what the driver asks for, why it cannot be read, or else by state"""


class FaultConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Faults that devices report, and their condition."""

    enabled: bool = True
    """False: faults are counted and not judged"""
    interval_seconds: Annotated[float, msgspec.Meta(ge=1)] = 5.0
    """how often it is judged"""
    hold_seconds: Annotated[float, msgspec.Meta(ge=60)] = 1800.0
    """a fault stays raised for so long after its last event"""
    application_faults: Annotated[int, msgspec.Meta(ge=1, le=64)] = 3
    """application faults that make a warning, when so many came within"""
    application_seconds: Annotated[float, msgspec.Meta(ge=60)] = 3600.0
    """this time"""
    failed_seconds: Annotated[float, msgspec.Meta(ge=0)] = 60.0
    """alarm when a device has been failed for so long"""
    degraded_seconds: Annotated[float, msgspec.Meta(ge=0)] = 300.0
    """warn when it has been degraded for so long; so long too until a predicted failure alarms"""


class _Events:
    """Events of one class and one severity, by time."""

    __slots__ = ("at",)

    def __init__(self) -> None:
        self.at: deque[tuple[float, float]] = deque(maxlen=_EVENTS)

    def forget(self, now: float, seconds: float) -> None:
        """Those older than `seconds`."""
        while self.at and not 0 <= now - self.at[0][0] <= seconds:
            self.at.popleft()


class _Kept:
    __slots__ = ("codes", "condition", "events", "failed", "states", "uncorrected")

    def __init__(self, config: FaultConfig) -> None:
        self.events: dict[str, dict[str, _Events]] = {}
        self.codes: dict[str, tuple[float, float]] = {}
        self.uncorrected = _Events()
        """uncorrected memory errors counted, which may come with no code"""
        self.states: dict[tuple[str, str], float] = {}
        self.condition = Ladder(1.0, 2.0, config.degraded_seconds, _CLEAR_SECONDS)
        self.failed = Ladder(1.0, None, config.failed_seconds, _CLEAR_SECONDS)

    def happened(self, kind: str, severity: str, count: float, at: float) -> None:
        self.events.setdefault(kind, {}).setdefault(severity, _Events()).at.append((at, count))

    def saw_code(self, code: str, count: float, at: float) -> None:
        if code not in self.codes and len(self.codes) >= _CODES:
            del self.codes[min(self.codes, key=lambda known: self.codes[known][0])]
        self.codes[code] = (at, self.codes.get(code, (at, 0.0))[1] + count)


class Fault:
    def __init__(self, config: FaultConfig, ledger: Ledger) -> None:
        self._config = config
        self._roster: Roster[_Kept] = Roster(lambda: _Kept(config))
        self._increments = Increments()

    def update(self, batch: Batch) -> None:
        for metric, labels in batch.gone:
            own = named(labels)
            known = self._roster.find(own.get("hw.id", ""))
            if known is not None:
                known.kept.states.pop((metric.name, _said(own)), None)
        for point in batch.points:
            own = named(point.labels)
            known = self._roster.see(own, batch.at)
            if known is None:
                continue
            kept = known.kept
            if point.metric not in _COUNTERS:
                kept.states[(point.metric.name, _said(own))] = number(point)
            elif count := self._increments.of(point):
                if point.metric is devices.FAULTS:
                    kept.happened(own.get("fault.class", ""), own.get("severity", ""), count, batch.at)
                elif point.metric is devices.FAULT_CODES:
                    kept.saw_code(own.get("fault.code", ""), count, batch.at)
                elif own.get("error.type") == "uncorrected":
                    kept.happened(_MEMORY, Severity.WARNING.value, count, batch.at)
                    kept.uncorrected.at.append((batch.at, count))
        self._increments.forget(batch)

    def assess(self, now: float) -> list[Assessment]:
        assessments = []
        for known in self._roster.present(now):
            assessments += [self._class(known, kind, now) for kind in known.kept.events]
            if any(name == devices.STATUS.name for name, _ in known.kept.states):
                assessments.append(self._condition(known.device, known.kept, now))
        return assessments

    def _class(self, known: Known[_Kept], kind: str, now: float) -> Assessment:
        device, kept, config = known.device, known.kept, self._config
        subject = (*device.subject, (devices.REASON, kind))
        longest = max(config.hold_seconds, config.application_seconds)
        events = kept.events[kind]
        for held in events.values():
            held.forget(now, longest)
        counts = {
            severity: sum(count for at, count in held.at if now - at <= config.hold_seconds)
            for severity, held in events.items()
        }
        score = max((_SEVERITIES.get(severity, 0.0) for severity, count in counts.items() if count), default=0.0)
        if kind == _APPLICATION:
            recent = [
                entry for held in events.values() for entry in held.at if now - entry[0] <= config.application_seconds
            ]
            many = sum(count for _, count in recent) / config.application_faults
            score = max(score, 1.0 if many >= 1 else 0.9 * many)
        state = _STATES[float(int(score))]
        if state is State.OK:
            return Assessment(subject=subject, verdict=Verdict(state, score, 1.0))
        rows = _rows(device, kept, kind, now, longest)
        first = next((row for row, _ in rows if row.action), None)
        kept.uncorrected.forget(now, longest)
        uncorrected = sum(count for _, count in kept.uncorrected.at) if kind == _MEMORY else 0.0
        said = f": {first.text} ({first.code})" if first else ": uncorrected memory errors" if uncorrected else ""
        times = [at for held in events.values() for at, _ in held.at]
        return Assessment(
            subject=subject,
            verdict=Verdict(state, score, 1.0),
            summary=f"{device} reported a fault of class {kind}{said}",
            action=first.action if first else _ACTIONS.get(kind, _ANY_ACTION),
            evidence=(
                *(f"{count:g} of severity {severity}" for severity, count in sorted(counts.items()) if count),
                *(f"code {row.code}: {row.text}, {count:g} times" for row, count in rows),
                *((f"uncorrected memory errors: {uncorrected:g}",) if uncorrected else ()),
            ),
            since=min(times),
        )

    def _condition(self, device: Device, kept: _Kept, now: float) -> Assessment:
        said = {value for (name, value), on in kept.states.items() if on and name == devices.STATUS.name}
        worst = max(said, key=lambda state: _CONDITIONS.get(state, 0.0), default="ok")
        score = _CONDITIONS.get(worst, 0.0)
        failed = kept.failed.update(float(worst == "failed"), now)
        state = kept.condition.update(score, now)
        if failed is not State.OK:
            state = State.ALARM
        subject = (*device.subject, (devices.REASON, "condition"))
        if state is State.OK:
            return Assessment(subject=subject, verdict=Verdict(state, score, 1.0))
        asked = sorted(value for (name, value), on in kept.states.items() if on and name != devices.STATUS.name)
        action = next((_CONDITION_ACTIONS[value] for value in asked if value in _CONDITION_ACTIONS), None)
        shown = worst if worst in _CONDITIONS else "recovering"
        return Assessment(
            subject=subject,
            verdict=Verdict(state, score, 1.0),
            summary=f"{device} is {shown.replace('_', ' ')}{': ' if asked else ''}{', '.join(asked)}",
            action=action or _CONDITION_ACTIONS.get(worst, _CONDITION_ACTIONS["degraded"]),
            evidence=tuple(f"{name}: {value}" for (name, value), on in sorted(kept.states.items()) if on),
            since=kept.failed.since or kept.condition.since,
        )


def _said(own: Mapping[str, str]) -> str:
    """The value of the label that a state is told by; empty for one that is a plain flag."""
    return own.get("hw.state") or own.get("action") or own.get(devices.REASON) or ""


def _rows(device: Device, kept: _Kept, kind: str, now: float, seconds: float) -> list[tuple[KnownFault, float]]:
    """Recent codes of the class, newest and most serious first; codes that no table knows belong to every class."""
    rows = []
    for code, (at, count) in kept.codes.items():
        row = known_fault(device.vendor, code)
        if 0 <= now - at <= seconds and (row is None or row.fault_class.value == kind):
            rows.append((_SEVERITIES.get(row.severity.value, 0.0) if row else 0.0, at, row or _unknown(code), count))
    rows.sort(key=lambda entry: entry[:2], reverse=True)
    return [(row, count) for _, _, row, count in rows]


def _unknown(code: str) -> KnownFault:
    return KnownFault(code, "a code that is in no table", FaultClass.OTHER, Severity.WARNING, "")


_COUNTERS: Final = (devices.FAULTS, devices.FAULT_CODES, devices.ERRORS)

PLUGIN: Final = Plugin(
    name="fault",
    summary="Faults that a device reports, and a device that is failed, degraded or about to fail.",
    config=FaultConfig,
    build=Fault,
    reads=(*_COUNTERS, devices.STATUS, devices.RECOVERY_ACTION, devices.DEVICE_FAULT),
    roles=("run", "node"),
    interval_seconds=lambda config: config.interval_seconds,
)
