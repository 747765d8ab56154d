"""What devices said to samples and gaps in the vocabulary."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from collector.accelerators.device_series import RENEW_SECONDS, DeviceSeries
from collector.accelerators.driver import Device, Fault, Measured, ProcessUse, Sampled
from collector.accelerators.places import Place, Placement, only_pod
from collector.accelerators.status import AMOUNTS, STANDING, STATES, derived, status
from collector.accelerators.vendor import FAILING, UNREADABLE, Vendor
from watchkeeper.core.labels import OTHER
from watchkeeper.core.metric import Metric
from watchkeeper.core.records import Gap, Labels, Reason, Sample, Severity
from watchkeeper.core.vocabulary import devices as vocabulary
from watchkeeper.core.vocabulary.faults import FaultClass

_GAPS: Final = {
    "lost": Reason.LOST, "reset_required": Reason.LOST, "not_permitted": Reason.NOT_PERMITTED,
    "hung": Reason.TIMED_OUT, "failing": Reason.UNREACHABLE,
}  # fmt: skip
_MOST_CODES: Final = 128
"""of one device, far more than any vendor has in use; what comes then is `other`"""
PROCESS_SECONDS: Final = 5.0
"""for how long owners of processes hold, while a driver lists the same ones with the same memory"""
_INTEGRATED: Final = (("watchkeeper.obtained", "integrated"),)
_READABLE: Final = {
    reason: (
        Measured(vocabulary.UP, 0.0 if reason else 1.0),
        *(
            Measured(vocabulary.DEVICE_FAULT, float(reason == known), ((vocabulary.REASON, known),))
            for known in UNREADABLE
        ),
    )
    for reason in ("", *UNREADABLE)
}
"""by why it cannot be read, empty when it is"""
_STATUS: Final = {
    state: tuple(
        Measured(vocabulary.STATUS, float(state == known), (("hw.type", "gpu"), ("hw.state", known)))
        for known in (STATES if state else ())
    )
    for state in ("", *STATES)
}
_FAULTS: Final = tuple(
    (("fault.class", kind.value), ("severity", severity.value)) for kind in FaultClass for severity in Severity
)


class Readings:
    """Keeps for every device its running totals and what it has shown, so that one that goes silent goes stale."""

    def __init__(self, placement: Placement, longest_gap_seconds: float) -> None:
        """:param longest_gap_seconds: time between two samples over which energy and holding are still added up"""
        self._placement = placement
        self._longest_gap_seconds = longest_gap_seconds
        self._devices: dict[str, dict[str, _Kept]] = {}

    def of(self, vendor: Vendor, faults: Sequence[Fault], now: float) -> tuple[list[Sample], list[Gap]]:
        """Everything of one vendor after its tick."""
        samples = list(_library(vendor, now))
        gaps: list[Gap] = []
        known = self._devices.setdefault(vendor.name, {})
        for device in vendor.devices.values():
            holders = self._placement.holders(device)
            kept = known.get(device.id)
            if kept is None:
                kept = known[device.id] = _Kept(device, holders)
            kept.identify(device, holders)
            moved = kept.series.begin(kept.who)
            if moved:
                kept.faults_at = float("-inf")
            gaps += moved
            reason = vendor.unreadable.get(device.id, "" if device.id in vendor.samples else FAILING)
            sampled = vendor.samples.get(device.id)
            self._state(kept, sampled, reason, now)
            if not device.parent and not 0 <= now - kept.faults_at < RENEW_SECONDS:
                kept.faults_at = now
                for labels in _FAULTS:
                    kept.series.add(vocabulary.FAULTS, 0.0, now, labels)
            if sampled is not None:
                gaps += self._sampled(kept, sampled, now)
            if faults:
                _count_faults(kept.series, [fault for fault in faults if fault.device_id == device.id], now)
            gaps += kept.series.end(_GAPS.get(reason, Reason.UNSUPPORTED))
            samples += kept.series.samples
        for gone in known.keys() - vendor.devices.keys():
            gaps += known.pop(gone).series.forget(Reason.LOST)
        return samples, gaps

    def _state(self, kept: "_Kept", sampled: Sampled | None, reason: str, now: float) -> None:
        series = kept.series
        series.put_all("readable", _READABLE[reason], now)
        missing = sampled.missing if sampled else ()
        kept.look_at(
            sampled.measured if sampled else (),
            are_in_place=sampled is not None and series.put_all("measured", sampled.measured, now),
        )
        if not kept.tells_status and all(metric is not vocabulary.STATUS for metric, _ in missing):
            series.put_all("status", _STATUS[kept.status(reason)], now)
        said = {(one.metric, one.labels): one.value for one in kept.amounts}
        for one in derived(said):
            series.put(one.metric, one.value, now, one.labels)
        power = said.get((vocabulary.POWER, ()))
        if power is not None and not kept.tells_energy:
            series.add(vocabulary.ENERGY, series.integrate(power, now, self._longest_gap_seconds), now, _INTEGRATED)

    def _sampled(self, kept: "_Kept", sampled: Sampled, now: float) -> list[Gap]:
        series = kept.series
        series.put(vocabulary.SAMPLED_AT, now, now)
        series.put_all("lasting", kept.lasting, now)
        self._held(kept, now)
        kept.read_at = now
        if sampled.processes is not None:
            if not kept.knows_processes(sampled.processes, now):
                kept.know_processes(sampled.processes, self._processes(sampled.processes, kept.holders), now)
            series.put_all("processes", kept.processes, now)
        if not sampled.missing and not kept.missing:
            return []
        told = {one.metric for one in sampled.measured if not one.labels}  # by another call
        missing = [(metric, why) for metric, why in sampled.missing if metric not in told]
        new = [(metric, why) for metric, why in missing if metric not in kept.missing]
        kept.missing = frozenset(metric for metric, _ in missing)
        return [series.gap(metric, why) for metric, why in new]

    def _held(self, kept: "_Kept", now: float) -> None:
        since = kept.read_at
        seconds = now - since if since is not None and 0 < now - since <= self._longest_gap_seconds else 0.0
        for labels in kept.places:
            kept.series.add(vocabulary.ALLOCATED_TIME, seconds / len(kept.places), now, labels)

    def _processes(self, processes: Sequence[ProcessUse], holders: Sequence[Place]) -> Iterator[Measured]:
        yield Measured(vocabulary.PROCESSES, float(len(processes)))
        if not processes:
            return
        owners = self._placement.owners([process.pid for process in processes], holders)
        memory: defaultdict[Labels, float] = defaultdict(float)
        for process in processes:
            if process.memory_bytes is not None:
                owner = owners.get(process.pid)
                memory[owner.process_labels if owner else ()] += process.memory_bytes
        for labels, held in memory.items():
            yield Measured(vocabulary.PROCESS_MEMORY, held, labels)


class _Kept:
    """What is remembered of one device."""

    __slots__ = (
        "_amounts_at", "_device", "_listed", "_listed_at", "_looked_at", "_standing", "_standing_at", "_status",
        "amounts", "faults_at", "holders", "lasting", "missing", "places", "processes", "read_at", "series",
        "tells_energy", "tells_status", "who",
    )  # fmt: skip

    def __init__(self, device: Device, holders: Sequence[Place]) -> None:
        self._remember(device, holders)
        self._looked_at = 0
        self._standing_at: list[int] = []
        self._amounts_at: list[int] = []
        self._standing: list[Measured] = []
        self._status: dict[str, str] = {}
        self.amounts: list[Measured] = []
        """what was measured of AMOUNTS"""
        self.tells_status = self.tells_energy = False
        self.series = DeviceSeries(self.who)
        self.read_at: float | None = None
        self.faults_at = float("-inf")
        """when the fault series that stay at their number were told last"""
        self.missing: frozenset[Metric] = frozenset()

    def identify(self, device: Device, holders: Sequence[Place]) -> None:
        """Who it is and who has it now."""
        if device is not self._device or holders != self.holders:
            self._remember(device, holders)

    def _remember(self, device: Device, holders: Sequence[Place]) -> None:
        self._device = device
        self.holders = holders
        self.who = labels_of(device, holders)
        self.places = tuple(place.labels for place in holders)
        self.lasting = (
            Measured(vocabulary.INFO, 1.0, _inventory(device)),
            *(Measured(vocabulary.ALLOCATION, 1.0, labels) for labels in self.places),
        )
        self._listed: Sequence[ProcessUse] | None = None
        self._listed_at = 0.0
        self.processes: tuple[Measured, ...] = ()
        """those on it, and their memory by owner"""

    def look_at(self, measured: Sequence[Measured], *, are_in_place: bool) -> None:
        """
        Pick those from which something follows.

        :param are_in_place: they come in the places of last time
        """
        if not are_in_place or len(measured) != self._looked_at:
            self._looked_at = len(measured)
            metrics = [one.metric for one in measured]
            self.tells_status, self.tells_energy = vocabulary.STATUS in metrics, vocabulary.ENERGY in metrics
            self._standing_at = [place for place, metric in enumerate(metrics) if metric in STANDING]
            self._amounts_at = [place for place, metric in enumerate(metrics) if metric in AMOUNTS]
        standing = [measured[place] for place in self._standing_at]
        if standing != self._standing:
            self._standing = standing
            self._status.clear()
        self.amounts = [measured[place] for place in self._amounts_at]

    def status(self, unreadable: str) -> str:
        """As `status` has it, of what was measured last."""
        found = self._status.get(unreadable)
        if found is None:
            said = {(one.metric, one.labels): one.value for one in self._standing}
            found = self._status[unreadable] = status(said, unreadable)
        return found

    def knows_processes(self, listed: Sequence[ProcessUse], now: float) -> bool:
        """The same ones as a moment ago, whose owners were looked up then."""
        return listed is self._listed and 0 <= now - self._listed_at < PROCESS_SECONDS

    def know_processes(self, listed: Sequence[ProcessUse], measured: Iterable[Measured], now: float) -> None:
        self._listed, self._listed_at, self.processes = listed, now, tuple(measured)


def labels_of(device: Device, holders: Sequence[Place]) -> Labels:
    """The labels of every metric of a device; its place only where one pod alone has it."""
    named = (
        ("hw.id", device.id), ("hw.name", device.name), ("hw.vendor", device.vendor), ("hw.model", device.model),
        ("hw.parent", device.parent), *only_pod(holders).labels,
    )  # fmt: skip
    return tuple(pair for pair in named if pair[1])


def _library(vendor: Vendor, now: float) -> list[Sample]:
    if vendor.is_absent:
        return []
    label = (("hw.vendor", vendor.name),)
    samples = [Sample(vocabulary.DRIVER_UP, float(vendor.answers), now, label)]
    if vendor.is_open:
        addressable = float(sum(1 for key in vendor.devices if vendor.unreadable.get(key) != "lost"))
        for state, count in (("addressable", addressable), ("unaddressable", float(vendor.unaddressable))):
            samples.append(Sample(vocabulary.DEVICES, count, now, (*label, ("hw.state", state))))
    return samples


def _count_faults(series: DeviceSeries, faults: Sequence[Fault], now: float) -> None:
    for fault in faults:
        kind = (("fault.class", fault.fault_class.value), ("severity", fault.severity.value))
        series.add(vocabulary.FAULTS, 1.0, now, kind)
        code = (("fault.code", fault.code),)
        if not series.has(vocabulary.FAULT_CODES, code) and series.count(vocabulary.FAULT_CODES) >= _MOST_CODES:
            code = (("fault.code", OTHER),)
        series.add(vocabulary.FAULT_CODES, 1.0, now, code)


def _inventory(device: Device) -> Labels:
    return (
        ("hw.serial_number", device.serial), ("hw.driver_version", device.driver_version),
        ("hw.firmware_version", device.firmware_version), ("pci.address", device.pci_address),
        ("partition.profile", device.profile),
    )  # fmt: skip
