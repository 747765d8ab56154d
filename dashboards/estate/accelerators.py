"""Series of the nodes: eight cards on two nodes, each as a node's watchkeeper reads it, and what its signals say."""

from typing import Final

import numpy as np

from dashboards.estate.conditions import Conditions, node_of, replica_of
from dashboards.estate.load import CLOCK_HERTZ, MEMORY_BYTES, POWER_LIMIT_WATTS, SLOWDOWN_CELSIUS, Device
from dashboards.estate.series import Numbers, Observer
from dashboards.estate.services import NAMESPACE
from watchkeeper.core.metric import Metric
from watchkeeper.core.vocabulary import devices, signals

VENDOR: Final = "nvidia"
MODEL: Final = "NVIDIA H100 80GB HBM3"
REASONS: Final = ("sw_power_cap", "hw_thermal_slowdown", "hw_power_brake_slowdown")
FAULT_CLASSES: Final = ("application", "memory", "link", "bus", "engine")
SEVERITIES: Final = {"application": "info", "memory": "warning", "link": "warning", "bus": "critical",
                     "engine": "critical"}  # fmt: skip
LOCAL: Final = {"hw_sensor_location": "chip"}


def identity(index: int) -> dict[str, str]:
    return {"hw_id": f"GPU-{0x51C0 + index * 7:04x}{index}", "hw_name": str(index % 4), "hw_vendor": VENDOR}


def pod_of(index: int) -> str:
    return f"chat-{replica_of(index)}"


def card(observer: Observer, index: int, it: Device, conditions: Conditions) -> None:
    clock = conditions.clock
    place = {"k8s_namespace_name": NAMESPACE, "k8s_pod_name": pod_of(index), "k8s_container_name": "vllm"}
    labels = {**identity(index), "hw_model": MODEL, **place}
    lost = conditions.lost[index]
    there = np.where(lost > 0, np.nan, 1.0)
    gauges: tuple[tuple[Metric, Numbers | float, dict[str, str]], ...] = (
        (devices.UTILIZATION, it.utilization, {}), (devices.MATRIX_ACTIVE, it.matrix, {}),
        (devices.MEMORY_BANDWIDTH, it.bandwidth, {}), (devices.MEMORY_USAGE, it.memory_used, {}),
        (devices.MEMORY_LIMIT, MEMORY_BYTES, {}), (devices.MEMORY_UTILIZATION, it.memory_used / MEMORY_BYTES, {}),
        (devices.TEMPERATURE, it.temperature, LOCAL),
        (devices.TEMPERATURE, it.temperature + 9, {"hw_sensor_location": "memory"}),
        (devices.TEMPERATURE_LIMIT, SLOWDOWN_CELSIUS, {**LOCAL, "hw_limit_type": "slowdown"}),
        (devices.POWER, it.power, {}), (devices.POWER_LIMIT, POWER_LIMIT_WATTS, {}),
        (devices.CLOCK, it.clock, {"clock": "core"}), (devices.CLOCK_LIMIT, CLOCK_HERTZ, {"clock": "core"}),
        (devices.LINKS, 18.0, {"link": "nvlink", "hw_state": "up"}),
        (devices.LINK_WIDTH, 16.0, {"link": "pcie"}),
        (devices.REPAIR_PENDING, (np.cumsum(conditions.uncorrected[index]) > 0).astype(float), {}),
        (devices.REPAIR_FAILED, 0.0, {}),
    )  # fmt: skip
    for metric, values, own in gauges:
        observer.gauge(metric, values * there, **labels, **own)
    observer.counter(devices.ENERGY, it.power * (lost == 0), watchkeeper_obtained="measured", **labels)
    for kind, rate in (("corrected", clock.level(2e-5)), ("uncorrected", conditions.uncorrected[index])):
        observer.counter(devices.ERRORS, rate, hw_type="gpu", error_type=kind, **labels)
    for reason in REASONS:
        held = conditions.held[index].get(reason, clock.level(0.04 if reason == "sw_power_cap" else 0.0))
        observer.counter(devices.THROTTLE_TIME, held, reason=reason, **labels)
        observer.gauge(devices.THROTTLED, (held > 0.5) * 1.0 * there, reason=reason, **labels)
    observer.counter(devices.LINK_ERRORS, conditions.link_errors[index], link="nvlink", error_type="crc", **labels)
    for direction in ("receive", "transmit"):
        observer.counter(devices.IO, it.utilization * 6e9, link="nvlink", network_io_direction=direction, **labels)
    _state(observer, index, labels, lost)
    _faults(observer, index, labels, conditions)


def _state(observer: Observer, index: int, labels: dict[str, str], lost: Numbers) -> None:
    there = np.where(lost > 0, np.nan, 1.0)
    observer.gauge(devices.UP, 1 - lost, **labels)
    observer.gauge(devices.DEVICE_FAULT, lost, reason="lost", **labels)
    observer.gauge(devices.SAMPLED_AT, np.maximum.accumulate(np.where(lost > 0, 0, observer.clock.times)), **labels)
    for state in ("ok", "degraded", "failed"):
        is_it = {"ok": 1 - lost, "degraded": lost * 0, "failed": lost}[state]
        observer.gauge(devices.STATUS, is_it, hw_type="gpu", hw_state=state, **labels)
    observer.gauge(devices.INFO, there, hw_serial_number=f"16524230{index:05d}", hw_driver_version="580.95.05",
                   pci_address=f"0000:{0x18 + index * 17:02x}:00.0", **labels)  # fmt: skip
    given = {key: value for key, value in labels.items() if key not in ("hw_model", "hw_parent")}
    observer.gauge(devices.ALLOCATION, 1.0, **given)
    observer.counter(devices.ALLOCATED_TIME, 1.0, hw_model=MODEL, **given)


def _faults(observer: Observer, index: int, labels: dict[str, str], conditions: Conditions) -> None:
    """Every class exists from the start; a fault's own code from its first time on."""
    clock = conditions.clock
    mine = [one for one in conditions.reported if one.device == index]
    for kind in FAULT_CLASSES:
        counted = sum((clock.since(one.seconds) for one in mine if one.fault_class == kind), clock.level(0.0))
        observer.level(devices.FAULTS, counted, fault_class=kind, severity=SEVERITIES[kind], **labels)
    for one in mine:
        counted = clock.since(one.seconds)
        observer.level(devices.FAULT_CODES, np.where(counted > 0, counted, np.nan), fault_code=one.code, **labels)


def judged(observer: Observer, index: int, it: Device, conditions: Conditions) -> None:
    """What the signals of devices say: some minutes after the numbers do."""
    clock = conditions.clock
    labels = {**identity(index), "k8s_namespace_name": NAMESPACE, "k8s_pod_name": pod_of(index)}
    there = np.where(conditions.lost[index] > 0, np.nan, 1.0)
    for reason in REASONS:
        held = conditions.held[index].get(reason, clock.level(0.0))
        signal(observer, "throttling", lagged(held, clock.step, 270) * 2.2, there, reason=reason, **labels)
    slower = 1 - it.clock / CLOCK_HERTZ
    signal(observer, "straggler", lagged(slower, clock.step, 360) * 4, there, **labels)
    raised = sum((clock.since(one.seconds) for one in conditions.reported if one.device == index), clock.level(0.0))
    signal(observer, "fault", np.minimum(raised, 1) * 2, None, reason="fault", **labels)
    bad = (conditions.link_errors[index] > 0) + 0.0
    signal(observer, "link", lagged(bad * 1.6, clock.step, 60), there, link="nvlink", **labels)
    signal(observer, "memory_leak", 0.05 + conditions.leaked[index] / MEMORY_BYTES, there, **labels)
    signal(observer, "allocated_idle", np.where(it.utilization > 0, 0.02, 0.6), there, **labels)


def signal(observer: Observer, name: str, score: Numbers, there: Numbers | None = None, /, **labels: str) -> None:
    """Score and state of one signal of one subject: warn from 1, alarm from 1.5."""
    seen = 1.0 if there is None else there
    observer.gauge(signals.SCORE, score * seen, signal=name, **labels)
    observer.gauge(signals.STATE, ((score >= 1) + 0.0 + (score >= 1.5)) * seen, signal=name, **labels)


def lagged(values: Numbers, step: float, seconds: float) -> Numbers:
    late = int(seconds / step)
    return np.concatenate((np.full(late, values[0]), values[: len(values) - late])) if late else values


def node(observer: Observer, index: int, conditions: Conditions) -> None:
    mine = [lost for device, lost in enumerate(conditions.lost) if node_of(device) == index]
    lost = sum(mine, conditions.clock.level(0.0))
    for state, count in (("addressable", len(mine) - lost), ("unaddressable", lost * 0)):
        observer.gauge(devices.DEVICES, count, hw_vendor=VENDOR, hw_state=state)
    observer.gauge(devices.DRIVER_UP, 1.0, hw_vendor=VENDOR)
    observer.gauge(devices.PLACEMENT_UP, 1.0)
    observer.counter(devices.SAMPLE_TIME, 0.006, hw_vendor=VENDOR)
