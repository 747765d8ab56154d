"""Accelerators as they are now: whose, how busy, how hot, and what is wrong with them. Pure."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Final

import msgspec

from exporters.page.history import Points
from exporters.page.tally import value_of
from watchkeeper.core.metric import Metric
from watchkeeper.core.records import Labels, Severity
from watchkeeper.core.vocabulary import devices

FINE: Final = ("", "ok")
"""values of `hw.state` with which a device does its work, and of none"""
_Told = Mapping[Metric, Mapping[Labels, float]]


class Device(msgspec.Struct, frozen=True):
    """One accelerator or one partition of one. None = it does not tell. Ratios are 0 to 1, units base units."""

    id: str
    name: str
    vendor: str
    model: str
    is_part: bool
    pods: tuple[str, ...]
    """that have it, as `namespace/pod`"""
    up: bool
    reason: str
    """why it cannot be read"""
    status: str
    """`hw.state` that it is in; empty when not known"""
    busy: float | None
    compute: float | None
    """share of the compute units' cycles with work"""
    memory_used: float | None
    memory_limit: float | None
    temperature: float | None
    memory_temperature: float | None
    power: float | None
    power_limit: float | None
    held_back: tuple[str, ...]
    """reasons for which its clocks are held back now"""
    faults: Mapping[str, float]
    """warnings and critical ones since the start, by class"""

    @property
    def is_fine(self) -> bool:
        return self.up and self.status in FINE


def devices_of(points: Points) -> tuple[Device, ...]:
    """Those in trouble first, then by vendor and index, a partition after its parent."""
    told: defaultdict[str, dict[Metric, dict[Labels, float]]] = defaultdict(dict)
    for metric in devices.METRICS:
        for labels, value in points.get(metric, {}).items():
            told[dict(labels).get("hw.id", "")].setdefault(metric, {})[labels] = value_of(value)
    found = (_device(key, said) for key, said in told.items() if key and devices.UP in said)
    return tuple(sorted(found, key=lambda device: (device.is_fine, device.vendor, _natural(device.name), device.id)))


def _device(key: str, said: _Told) -> Device:
    labels, up = next(iter(said[devices.UP].items()))
    named = dict(labels)
    return Device(
        id=key,
        name=named.get("hw.name", ""),
        vendor=named.get("hw.vendor", ""),
        model=named.get("hw.model", ""),
        is_part="hw.parent" in named,
        pods=_pods(named, said),
        up=up >= 1,
        reason=next(iter(_on(said, devices.DEVICE_FAULT, devices.REASON)), ""),
        status=next(iter(_on(said, devices.STATUS, "hw.state")), ""),
        busy=_highest(said, devices.UTILIZATION),
        compute=_highest(said, devices.COMPUTE_ACTIVE),
        memory_used=_highest(said, devices.MEMORY_USAGE),
        memory_limit=_highest(said, devices.MEMORY_LIMIT),
        temperature=_highest(said, devices.TEMPERATURE, ("hw.sensor_location", "chip")),
        memory_temperature=_highest(said, devices.TEMPERATURE, ("hw.sensor_location", "memory")),
        power=_highest(said, devices.POWER),
        power_limit=_highest(said, devices.POWER_LIMIT),
        held_back=_on(said, devices.THROTTLED, devices.REASON),
        faults=_faults(said),
    )


def _pods(named: Mapping[str, str], said: _Told) -> tuple[str, ...]:
    """The one that the device's own labels name, else all to which it is given."""
    given = [named] if "k8s.pod.name" in named else [dict(labels) for labels in said.get(devices.ALLOCATION, {})]
    places = {(each.get("k8s.namespace.name", ""), each.get("k8s.pod.name", "")) for each in given}
    return tuple(sorted("/".join(filter(None, place)) for place in places if place[1]))


def _highest(said: _Told, metric: Metric, label: tuple[str, str] | None = None) -> float | None:
    """Of the series of this metric that have the label."""
    return max((value for labels, value in said.get(metric, {}).items() if not label or label in labels), default=None)


def _on(said: _Told, metric: Metric, label: str) -> tuple[str, ...]:
    """Values of the label whose series are not 0."""
    return tuple(sorted(dict(labels).get(label, "") for labels, value in said.get(metric, {}).items() if value))


def _faults(said: _Told) -> Mapping[str, float]:
    counts: defaultdict[str, float] = defaultdict(float)
    for labels, value in said.get(devices.FAULTS, {}).items():
        named = dict(labels)
        if value and named.get("severity") != Severity.INFO:
            counts[named.get("fault.class", "")] += value
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def _natural(name: str) -> tuple[tuple[int, str], ...]:
    """`2` before `10`, `2:1` after `2`."""
    return tuple((len(part), part) for part in name.split(":"))
