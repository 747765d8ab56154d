"""What devices said to samples in the vocabulary. Pure but for the totals it keeps."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from collector.accelerators.driver import Device, Fault, Measured, Sampled
from collector.accelerators.places import Place, Placement
from collector.accelerators.totals import Totals
from collector.accelerators.vendor import UNREADABLE, Vendor
from watchkeeper.core.metric import Kind, Metric
from watchkeeper.core.records import Gap, Labels, Reason, Sample
from watchkeeper.core.vocabulary import devices as vocabulary

_GAPS: Final = {
    "lost": Reason.LOST, "reset_required": Reason.LOST, "not_permitted": Reason.NOT_PERMITTED,
    "hung": Reason.TIMED_OUT, "failing": Reason.UNREACHABLE,
}  # fmt: skip
_OBTAINED: Final = "watchkeeper.obtained"
_FAULT_CLASSES: Final = (
    "application", "memory", "link", "bus", "engine", "firmware", "power", "security", "other",
)  # fmt: skip
_SEVERITIES: Final = ("informational", "warning", "critical")


class Readings:
    """Keeps running totals and the gauges each device has shown, so that a device that goes silent goes stale."""

    def __init__(self, placement: Placement, longest_gap_seconds: float) -> None:
        self._placement = placement
        self._longest_gap_seconds = longest_gap_seconds
        self._totals = Totals()
        self._shown: dict[str, frozenset[tuple[Metric, Labels]]] = {}
        self._known: dict[str, frozenset[str]] = {}
        self._read_at: dict[str, float] = {}

    def of(self, vendor: Vendor, now: float) -> tuple[list[Sample], list[Gap]]:
        """Everything of one vendor after its tick."""
        samples: list[Sample] = []
        gaps: list[Gap] = []
        label = (("hw.vendor", vendor.name),)
        if not vendor.is_absent:
            samples.append(Sample(vocabulary.DRIVER_UP, float(vendor.is_open), now, label))
        if vendor.is_open:
            samples.append(Sample(vocabulary.DEVICES, float(len(vendor.devices)), now, label))
        for device in vendor.devices.values():
            holders = self._placement.holders((device.id, device.name, device.pci_address, device.serial))
            who = labels_of(device, holders)
            sampled = vendor.samples.get(device.id)
            reason = vendor.unreadable.get(device.id, "" if sampled else "failing")
            brought = [*self._state(who, reason, now)]
            if sampled is not None:
                brought += self._numbers(device, who, sampled, now)
                brought += self._held(device, holders, now)
                brought += self._processes(who, sampled, now)
                gaps += [Gap(metric, why, _ordered(metric, who)) for metric, why in sampled.missing]
            samples += brought
            gaps += self._vanished(device.id, brought, _GAPS.get(reason, Reason.UNSUPPORTED))
            if sampled is not None:
                self._read_at[device.id] = now
        gaps += self._gone(vendor)
        return samples, gaps

    def of_faults(self, vendor: Vendor, faults: Sequence[Fault], now: float) -> Iterator[Sample]:
        """Events, counted by class and by code."""
        for fault in faults:
            device = vendor.devices.get(fault.device_id)
            if device is None:
                continue
            who = dict(labels_of(device, self._holders(device)))
            by_class = {**who, "fault.class": fault.fault_class, "severity": fault.severity}
            yield Sample(vocabulary.FAULTS, 1.0, now, _named(vocabulary.FAULTS, by_class))
            by_code = {**who, "fault.code": fault.code}
            yield Sample(vocabulary.FAULT_CODES, 1.0, now, _named(vocabulary.FAULT_CODES, by_code))

    def _holders(self, device: Device) -> tuple[Place, ...]:
        return self._placement.holders((device.id, device.name, device.pci_address, device.serial))

    def _state(self, who: Labels, reason: str, now: float) -> Iterator[Sample]:
        yield Sample(vocabulary.UP, 0.0 if reason else 1.0, now, who)
        for known in UNREADABLE:
            yield Sample(vocabulary.DEVICE_FAULT, float(reason == known), now, (*who, (vocabulary.REASON, known)))
        if not reason:
            yield Sample(vocabulary.SAMPLED_AT, now, now, who)

    def _numbers(self, device: Device, who: Labels, sampled: Sampled, now: float) -> Iterator[Sample]:
        own = dict(who)
        for measured in (*sampled.measured, *_derived(sampled.measured)):
            labels = _named(measured.metric, {**own, **dict(measured.labels)})
            value = measured.value
            if measured.metric.kind is Kind.COUNTER:
                value = self._totals.increment(device.id, measured.metric, measured.labels, measured.value)
            yield Sample(measured.metric, value, now, labels)
        power = _one(sampled.measured, vocabulary.POWER)
        if power is not None and _one(sampled.measured, vocabulary.ENERGY) is None:
            joules = self._totals.energy_joules(device.id, power, now, self._longest_gap_seconds)
            yield Sample(vocabulary.ENERGY, joules, now, (*who, (_OBTAINED, "integrated")))
        if device.id not in self._read_at:
            for fault_class in _FAULT_CLASSES:
                for severity in _SEVERITIES:
                    labels = (*who, ("fault.class", fault_class), ("severity", severity))
                    yield Sample(vocabulary.FAULTS, 0.0, now, labels)
        inventory = {
            **own, "hw.serial_number": device.serial, "hw.driver_version": device.driver_version,
            "hw.firmware_version": device.firmware_version, "pci.address": device.pci_address,
            "partition.profile": device.profile,
        }  # fmt: skip
        yield Sample(vocabulary.INFO, 1.0, now, _named(vocabulary.INFO, inventory))

    def _held(self, device: Device, holders: Sequence[Place], now: float) -> Iterator[Sample]:
        since = self._read_at.get(device.id)
        seconds = now - since if since is not None and 0 < now - since <= self._longest_gap_seconds else 0.0
        own = {"hw.id": device.id, "hw.name": device.name, "hw.vendor": device.vendor, "hw.model": device.model}
        for place in holders:
            whose = {**own, **dict(place.labels)}
            yield Sample(vocabulary.ALLOCATION, 1.0, now, _named(vocabulary.ALLOCATION, whose))
            share = seconds / len(holders)
            yield Sample(vocabulary.ALLOCATED_TIME, share, now, _named(vocabulary.ALLOCATED_TIME, whose))

    def _processes(self, who: Labels, sampled: Sampled, now: float) -> Iterator[Sample]:
        if sampled.processes is None:
            return
        yield Sample(vocabulary.PROCESSES, float(len(sampled.processes)), now, who)
        owners = self._placement.owners([process.pid for process in sampled.processes])
        memory: defaultdict[Labels, float] = defaultdict(float)
        for process in sampled.processes:
            if process.memory_bytes is not None:
                place = owners.get(process.pid, Place())
                named = {**dict(who), **dict(place.labels)}
                named |= {"systemd.unit": place.unit, "process.executable.name": place.program}
                memory[_named(vocabulary.PROCESS_MEMORY, named)] += process.memory_bytes
        for labels, held in memory.items():
            yield Sample(vocabulary.PROCESS_MEMORY, held, now, labels)

    def _vanished(self, device_id: str, brought: Sequence[Sample], reason: Reason) -> Iterator[Gap]:
        """Gauges shown before and not now: they go stale."""
        shown = frozenset((sample.metric, sample.labels) for sample in brought if sample.metric.kind is Kind.GAUGE)
        for metric, labels in self._shown.get(device_id, frozenset()) - shown:
            yield Gap(metric, reason, labels)
        self._shown[device_id] = shown

    def _gone(self, vendor: Vendor) -> Iterator[Gap]:
        """Devices that are listed no more."""
        listed = frozenset(vendor.devices)
        for device_id in self._known.get(vendor.name, frozenset()) - listed:
            yield from (Gap(metric, Reason.LOST, labels) for metric, labels in self._shown.pop(device_id, ()))
            self._totals.forget(device_id)
            self._read_at.pop(device_id, None)
        self._known[vendor.name] = listed


def labels_of(device: Device, holders: Sequence[Place]) -> Labels:
    """The labels of every metric of a device; its place only where one container alone has it."""
    named = {
        "hw.id": device.id, "hw.name": device.name, "hw.vendor": device.vendor, "hw.model": device.model,
        "hw.parent": device.parent, **(dict(holders[0].labels) if len(holders) == 1 else {}),
    }  # fmt: skip
    return tuple((name, named[name]) for name in vocabulary.DEVICE if named.get(name))


def _derived(measured: Sequence[Measured]) -> Iterator[Measured]:
    limit, usage = _one(measured, vocabulary.MEMORY_LIMIT), _one(measured, vocabulary.MEMORY_USAGE)
    if limit and usage is not None and _one(measured, vocabulary.MEMORY_UTILIZATION) is None:
        yield Measured(vocabulary.MEMORY_UTILIZATION, usage / limit)


def _one(measured: Sequence[Measured], metric: Metric) -> float | None:
    return next((one.value for one in measured if one.metric is metric), None)


def _named(metric: Metric, values: Mapping[str, str]) -> Labels:
    """The metric's labels in its order; those without a value are left out."""
    return tuple((name, values[name]) for name in metric.labels if values.get(name))


def _ordered(metric: Metric, who: Labels) -> Labels:
    return _named(metric, dict(who))
