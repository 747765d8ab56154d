"""What an exporter says of its devices to samples and gaps in the vocabulary."""

from collections.abc import Iterable, Sequence
from typing import Final

from collector.accelerators.device_series import DeviceSeries
from collector.accelerators.driver import Device
from collector.accelerators.held import Held
from collector.accelerators.readings import labels_of
from collector.accelerators.status import STATES, derived, status
from collector.vendor_exporter.faults import Faults
from collector.vendor_exporter.observe import Sighting
from watchkeeper.core.metric import Kind, Metric
from watchkeeper.core.records import Gap, Labels, Reason, Sample, Severity
from watchkeeper.core.vocabulary import devices as vocabulary
from watchkeeper.core.vocabulary.faults import FaultClass

_INTEGRATED: Final = (("watchkeeper.obtained", "integrated"),)
_STATES: Final = tuple((state, (("hw.type", "gpu"), ("hw.state", state))) for state in STATES)
_FAULTS: Final = tuple(
    (("fault.class", kind.value), ("severity", severity.value)) for kind in FaultClass for severity in Severity
)


class Readings:
    """
    Keeps for every device of one exporter its running totals and what it has shown. What `accelerators` reads of a
    device through its vendor's library is left to it.
    """

    def __init__(self, held: Held, longest_gap_seconds: float) -> None:
        """:param longest_gap_seconds: time between two pages over which energy and holding are still added up"""
        self._held = held
        self._longest_gap_seconds = longest_gap_seconds
        self._faults = Faults()
        self._devices: dict[str, _Kept] = {}

    def of(self, sightings: Iterable[Sighting], silent: Iterable[Device], now: float) -> tuple[list[Sample], list[Gap]]:
        """
        A page.

        :param silent: devices of which the page has only numbers that are too old
        """
        samples: list[Sample] = []
        gaps: list[Gap] = []
        present = set()
        for sighting in sightings:
            device = sighting.device
            present.add(device.id)
            who = labels_of(device, sighting.places)
            kept = self._kept(device, who)
            gaps += kept.begin(who, device)
            self._put_all(kept, sighting, now)
            gaps += kept.series.end(Reason.LOST)
            samples += kept.series.samples
        for device in silent:
            present.add(device.id)
            kept = self._kept(device, labels_of(device, ()))
            samples += self._unread(kept, now)
            gaps += kept.series.end(Reason.TIMED_OUT)
        for gone in self._devices.keys() - present:
            gaps += self._devices[gone].series.forget(Reason.LOST)
            self._faults.forget(gone)
            del self._devices[gone]
        return self._ours(samples, now), self._gaps(gaps, now)

    def failed(self, reason: Reason, now: float) -> tuple[list[Sample], list[Gap]]:
        """No page: the devices that were on the last one are not read, and their totals wait."""
        samples: list[Sample] = []
        gaps: list[Gap] = []
        for kept in self._devices.values():
            samples += self._unread(kept, now)
            gaps += kept.series.end(reason)
        return self._ours(samples, now), self._gaps(gaps, now)

    def __len__(self) -> int:
        return len(self._devices)

    def _kept(self, device: Device, who: Labels) -> "_Kept":
        kept = self._devices.get(device.id)
        if kept is None:
            kept = self._devices[device.id] = _Kept(device, who, self._held)
        return kept

    def _unread(self, kept: "_Kept", now: float) -> list[Sample]:
        kept.begin(kept.who, kept.device)
        kept.put(vocabulary.UP, 0.0, now)
        return kept.series.samples

    def _put_all(self, kept: "_Kept", sighting: Sighting, now: float) -> None:
        series, device = kept.series, sighting.device
        kept.put(vocabulary.UP, 1.0, now)
        kept.put(vocabulary.SAMPLED_AT, now, now)
        said = {(one.metric, one.labels): one.value for one in sighting.measured}
        for measured in (*sighting.measured, *derived(said)):
            kept.put(measured.metric, measured.value, now, measured.labels)
        if not any(metric is vocabulary.STATUS for metric, _ in said) and not device.parent:
            state = status(said, "")
            for known, labels in _STATES:
                kept.put(vocabulary.STATUS, float(state == known), now, labels)
        power = said.get((vocabulary.POWER, ()))
        if power is not None and not any(metric is vocabulary.ENERGY for metric, _ in said):
            joules = series.integrate(power, now, self._longest_gap_seconds)
            series.add(vocabulary.ENERGY, joules, now, _INTEGRATED)
        kept.put(vocabulary.INFO, 1.0, now, _inventory(device))
        self._put_holders(kept, sighting, now)
        self._put_faults(kept, sighting, now)

    def _put_holders(self, kept: "_Kept", sighting: Sighting, now: float) -> None:
        since, kept.read_at = kept.read_at, now
        seconds = now - since if since is not None and 0 < now - since <= self._longest_gap_seconds else 0.0
        for place in sighting.places:
            kept.put(vocabulary.ALLOCATION, 1.0, now, place.labels)
            kept.series.add(vocabulary.ALLOCATED_TIME, seconds / len(sighting.places), now, place.labels)
        for one in sighting.held:
            labels = (*one.measured.labels, *one.place.process_labels)
            kept.put(one.measured.metric, one.measured.value, now, labels)

    def _put_faults(self, kept: "_Kept", sighting: Sighting, now: float) -> None:
        if sighting.totals is None and sighting.codes is None:
            return
        for labels in _FAULTS:
            kept.series.add(vocabulary.FAULTS, 0.0, now, labels)
        for code, count in self._faults.events(sighting).items():
            known = sighting.look_up(code)
            kind = (("fault.class", known.fault_class.value), ("severity", known.severity.value))
            kept.series.add(vocabulary.FAULTS, count, now, kind)
            kept.series.add(vocabulary.FAULT_CODES, count, now, (("fault.code", code),))

    def _ours(self, samples: Sequence[Sample], now: float) -> list[Sample]:
        return [sample for sample in samples if not self._is_held(sample.metric, sample.labels, now)]

    def _gaps(self, gaps: Sequence[Gap], now: float) -> list[Gap]:
        """A gauge that the library tells now must not go stale because we do not; ours beside it must."""
        return [
            gap
            for gap in gaps
            if not (self._held.tells(gap.metric, gap.labels) and self._is_held(gap.metric, gap.labels, now))
        ]

    def _is_held(self, metric: Metric, labels: Labels, now: float) -> bool:
        own = dict(labels)
        return self._held.has(own.get("hw.id", ""), own.get("hw.parent", ""), metric, now)


class _Kept:
    """What is remembered of one device."""

    __slots__ = ("_held", "device", "read_at", "series", "who")

    def __init__(self, device: Device, who: Labels, held: Held) -> None:
        self.series = DeviceSeries(who)
        self.read_at: float | None = None
        self.who = who
        self.device = device
        self._held = held

    def put(self, metric: Metric, value: float, at: float, extra: Labels = ()) -> None:
        """A gauge that the library tells is not put at all; of a total that it tells we follow where it stands."""
        if metric.kind is Kind.COUNTER or not self._held.has(self.device.id, self.device.parent, metric, at):
            self.series.put(metric, value, at, extra)

    def begin(self, who: Labels, device: Device) -> list[Gap]:
        self.who, self.device = who, device
        return self.series.begin(who)


def _inventory(device: Device) -> Labels:
    return (
        ("hw.serial_number", device.serial), ("hw.driver_version", device.driver_version),
        ("hw.firmware_version", device.firmware_version), ("pci.address", device.pci_address),
        ("partition.profile", device.profile),
    )  # fmt: skip
