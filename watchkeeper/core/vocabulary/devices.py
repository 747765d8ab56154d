"""What accelerators say of themselves, in one vocabulary over all vendors. Ratios are 0 to 1, units are base units."""

from typing import Final

from watchkeeper.core.metric import Kind, Metric

PLACE: Final = ("k8s.namespace.name", "k8s.pod.name", "k8s.container.name")
"""whose device it is; absent where nobody has it or several pods share it (then see watchkeeper.device.allocation)"""
DEVICE: Final = ("hw.id", "hw.name", "hw.vendor", "hw.model", "hw.parent", *PLACE)
"""`hw.id` is the UUID, `hw.name` the index on its host, `hw.parent` the device of which it is a partition"""
DIRECTION: Final = "network.io.direction"
LINK: Final = "link"
REASON: Final = "reason"

UTILIZATION: Final = Metric(
    "hw.gpu.utilization", Kind.GAUGE, "1",
    "Share of time in which the device ran anything at all; near 1 says nothing about how full it is.",
    (*DEVICE, "hw.gpu.task"),
)  # fmt: skip
COMPUTE_ACTIVE: Final = Metric(
    "watchkeeper.device.compute.active", Kind.GAUGE, "1",
    "Share of SM (vector unit) cycles with work resident.", DEVICE,
)  # fmt: skip
COMPUTE_OCCUPANCY: Final = Metric(
    "watchkeeper.device.compute.occupancy", Kind.GAUGE, "1", "Share of warps resident of those that fit.", DEVICE,
)  # fmt: skip
MATRIX_ACTIVE: Final = Metric(
    "watchkeeper.device.matrix.active", Kind.GAUGE, "1",
    "Share of cycles in which the tensor (cube, matrix) unit was busy.", DEVICE,
)  # fmt: skip
PIPE_ACTIVE: Final = Metric(
    "watchkeeper.device.pipe.active", Kind.GAUGE, "1",
    "Share of cycles in which an arithmetic pipe was busy: fp64, fp32, fp16, integer.", (*DEVICE, "pipe"),
)  # fmt: skip
MEMORY_BANDWIDTH: Final = Metric(
    "watchkeeper.device.memory.bandwidth.utilization", Kind.GAUGE, "1",
    "Share of the device memory's bandwidth in use.", DEVICE,
)  # fmt: skip
MEMORY_BUSY: Final = Metric(
    "watchkeeper.device.memory.busy", Kind.GAUGE, "1",
    "Share of time in which device memory was accessed at all; not how much of its bandwidth.", DEVICE,
)  # fmt: skip
MEMORY_LIMIT: Final = Metric("hw.gpu.memory.limit", Kind.GAUGE, "By", "Device memory there is.", DEVICE)
MEMORY_USAGE: Final = Metric("hw.gpu.memory.usage", Kind.GAUGE, "By", "Device memory in use.", DEVICE)
MEMORY_UTILIZATION: Final = Metric(
    "hw.gpu.memory.utilization", Kind.GAUGE, "1", "Share of device memory in use.", DEVICE,
)  # fmt: skip
TEMPERATURE: Final = Metric(
    "hw.temperature", Kind.GAUGE, "Cel", "Temperature by place: chip, memory, board.", (*DEVICE, "hw.sensor_location"),
)  # fmt: skip
TEMPERATURE_LIMIT: Final = Metric(
    "hw.temperature.limit", Kind.GAUGE, "Cel", "Temperature at which the device slows down or shuts down.",
    (*DEVICE, "hw.sensor_location", "hw.limit_type"),
)  # fmt: skip
POWER: Final = Metric("hw.power", Kind.GAUGE, "W", "Power drawn now.", DEVICE)
POWER_LIMIT: Final = Metric("watchkeeper.device.power.limit", Kind.GAUGE, "W", "Lowest power limit in force.", DEVICE)
ENERGY: Final = Metric(
    "hw.energy", Kind.COUNTER, "J", "Energy used, by the device's own meter or by power over time.",
    (*DEVICE, "watchkeeper.obtained"),
)  # fmt: skip
CLOCK: Final = Metric(
    "watchkeeper.device.clock", Kind.GAUGE, "Hz", "Clock now: core, memory, video.", (*DEVICE, "clock"),
)  # fmt: skip
CLOCK_LIMIT: Final = Metric(
    "watchkeeper.device.clock.limit", Kind.GAUGE, "Hz", "Highest clock: core, memory, video.", (*DEVICE, "clock"),
)  # fmt: skip
THROTTLED: Final = Metric(
    "watchkeeper.device.throttled", Kind.GAUGE, "",
    "1 while clocks are held back for a reason, else 0, at the moment of sampling.", (*DEVICE, REASON),
)  # fmt: skip
THROTTLE_TIME: Final = Metric(
    "watchkeeper.device.throttle.time", Kind.COUNTER, "s", "Time with clocks held back, by reason.", (*DEVICE, REASON),
)  # fmt: skip
ERRORS: Final = Metric(
    "hw.errors", Kind.COUNTER, "{error}", "Memory errors: corrected, uncorrected.",
    (*DEVICE, "hw.type", "error.type"),
)  # fmt: skip
REMAPPED: Final = Metric(
    "watchkeeper.device.memory.remapped", Kind.COUNTER, "{row}",
    "Memory rows or pages taken out of use, after corrected or uncorrected errors.", (*DEVICE, "error.type"),
)  # fmt: skip
REPAIR_PENDING: Final = Metric(
    "watchkeeper.device.memory.repair.pending", Kind.GAUGE, "", "1 when a memory repair waits for a reset.", DEVICE,
)  # fmt: skip
REPAIR_FAILED: Final = Metric(
    "watchkeeper.device.memory.repair.failed", Kind.GAUGE, "", "1 when a memory repair failed: replace it.", DEVICE,
)  # fmt: skip
IO: Final = Metric(
    "hw.gpu.io", Kind.COUNTER, "By", "Bytes sent and received by link: pcie, nvlink, hccs, xgmi, mlulink, nic.",
    (*DEVICE, LINK, DIRECTION),
)  # fmt: skip
LINK_ERRORS: Final = Metric(
    "watchkeeper.device.link.errors", Kind.COUNTER, "{error}",
    "Errors on a link: replay, recovery, crc, nak, correctable, nonfatal, fatal.", (*DEVICE, LINK, "error.type"),
)  # fmt: skip
LINKS: Final = Metric(
    "watchkeeper.device.links", Kind.GAUGE, "{link}", "Links by state: up, down.", (*DEVICE, LINK, "hw.state"),
)  # fmt: skip
LINK_WIDTH: Final = Metric(
    "watchkeeper.device.link.width", Kind.GAUGE, "{lane}", "Lanes of the PCIe link now.", (*DEVICE, LINK),
)  # fmt: skip
LINK_WIDTH_LIMIT: Final = Metric(
    "watchkeeper.device.link.width.limit", Kind.GAUGE, "{lane}", "Lanes that the PCIe link can have.", (*DEVICE, LINK),
)  # fmt: skip
LINK_GENERATION: Final = Metric(
    "watchkeeper.device.link.generation", Kind.GAUGE, "", "PCIe generation now; it falls while idle.", (*DEVICE, LINK),
)  # fmt: skip
LINK_GENERATION_LIMIT: Final = Metric(
    "watchkeeper.device.link.generation.limit", Kind.GAUGE, "", "Highest PCIe generation.", (*DEVICE, LINK),
)  # fmt: skip
FAULTS: Final = Metric(
    "watchkeeper.device.faults", Kind.COUNTER, "{fault}",
    "Faults the driver reported, by class: application, memory, link, bus, engine, firmware, power, security, other.",
    (*DEVICE, "fault.class", "severity"),
)  # fmt: skip
FAULT_CODES: Final = Metric(
    "watchkeeper.device.fault.codes", Kind.COUNTER, "{fault}",
    "Faults by the vendor's own code (XID, DCMI error code).", (*DEVICE, "fault.code"),
)  # fmt: skip
RECOVERY_ACTION: Final = Metric(
    "watchkeeper.device.recovery_action", Kind.GAUGE, "",
    "1 for what the driver asks for (reset, reboot, drain ...), 0 for the others; all 0: nothing.",
    (*DEVICE, "action"),
)  # fmt: skip
STATUS: Final = Metric(
    "hw.status", Kind.GAUGE, "", "1 for the state the device is in: ok, degraded, failed, predicted_failure; else 0.",
    (*DEVICE, "hw.type", "hw.state"),
)  # fmt: skip
PROCESSES: Final = Metric(
    "watchkeeper.device.processes", Kind.GAUGE, "{process}", "Processes that compute on the device.", DEVICE,
)  # fmt: skip
PROCESS_MEMORY: Final = Metric(
    "watchkeeper.device.process.memory", Kind.GAUGE, "By",
    "Device memory of processes, added up by who they are: pod and container, or systemd unit, or program.",
    (*DEVICE, "container.id", "systemd.unit", "process.executable.name"),
)  # fmt: skip
INFO: Final = Metric(
    "watchkeeper.device.info", Kind.GAUGE, "", "Always 1: the device's inventory as labels.",
    (*DEVICE, "hw.serial_number", "hw.driver_version", "hw.firmware_version", "pci.address", "partition.profile"),
)  # fmt: skip
ALLOCATION: Final = Metric(
    "watchkeeper.device.allocation", Kind.GAUGE, "", "1 for every container to which the device is given.",
    ("hw.id", "hw.name", "hw.vendor", *PLACE),
)  # fmt: skip
ALLOCATED_TIME: Final = Metric(
    "watchkeeper.device.allocated_time", Kind.COUNTER, "s",
    "Seconds for which a container had the device; the share of it where several have it.",
    ("hw.id", "hw.name", "hw.vendor", "hw.model", *PLACE),
)  # fmt: skip
UP: Final = Metric(
    "watchkeeper.device.up", Kind.GAUGE, "", "1 when the device was read at the last try, else 0.", DEVICE,
)  # fmt: skip
DEVICE_FAULT: Final = Metric(
    "watchkeeper.device.unreadable", Kind.GAUGE, "",
    "1 while the device cannot be read for this reason: lost, reset_required, hung, not_permitted, failing.",
    (*DEVICE, REASON),
)  # fmt: skip
SAMPLED_AT: Final = Metric(
    "watchkeeper.device.last_sample", Kind.GAUGE, "s", "Unix time of the last good sample.", DEVICE,
)  # fmt: skip
DRIVER_UP: Final = Metric(
    "watchkeeper.device.driver.up", Kind.GAUGE, "",
    "1 when a vendor's library was loaded and answers, 0 when it is or was there and does not.", ("hw.vendor",),
)  # fmt: skip
DEVICES: Final = Metric(
    "watchkeeper.devices", Kind.GAUGE, "{device}",
    "Devices that a vendor's library counts: addressable, unaddressable. One that was lost may be in neither.",
    ("hw.vendor", "hw.state"),
)  # fmt: skip
CALL_ERRORS: Final = Metric(
    "watchkeeper.device.call.errors", Kind.COUNTER, "{error}",
    "Calls into a vendor's library that failed, by call and the vendor's code.", ("hw.vendor", "call", "code"),
)  # fmt: skip
SAMPLE_TIME: Final = Metric(
    "watchkeeper.device.sample.time", Kind.COUNTER, "s", "Time spent on reading devices.", ("hw.vendor",),
)  # fmt: skip
PLACEMENT_UP: Final = Metric(
    "watchkeeper.device.placement.up", Kind.GAUGE, "",
    "1 when the kubelet last told which pods have which devices, 0 when it did not.",
)  # fmt: skip
PLACEMENT_ERRORS: Final = Metric(
    "watchkeeper.device.placement.errors", Kind.COUNTER, "{error}",
    "Questions to the kubelet without an answer: missing, not_permitted, not_a_socket, refused, timed_out,"
    " not_a_kubelet, too_large, malformed, failing.",
    (REASON,),
)  # fmt: skip

METRICS: Final = (
    UTILIZATION, COMPUTE_ACTIVE, COMPUTE_OCCUPANCY, MATRIX_ACTIVE, PIPE_ACTIVE, MEMORY_BANDWIDTH, MEMORY_BUSY,
    MEMORY_LIMIT, MEMORY_USAGE, MEMORY_UTILIZATION, TEMPERATURE, TEMPERATURE_LIMIT, POWER, POWER_LIMIT, ENERGY, CLOCK,
    CLOCK_LIMIT, THROTTLED, THROTTLE_TIME, ERRORS, REMAPPED, REPAIR_PENDING, REPAIR_FAILED, IO, LINK_ERRORS, LINKS,
    LINK_WIDTH, LINK_WIDTH_LIMIT, LINK_GENERATION, LINK_GENERATION_LIMIT, FAULTS, FAULT_CODES, RECOVERY_ACTION, STATUS,
    PROCESSES, PROCESS_MEMORY, INFO, ALLOCATION, ALLOCATED_TIME, UP, DEVICE_FAULT, SAMPLED_AT, DRIVER_UP, DEVICES,
    CALL_ERRORS, SAMPLE_TIME, PLACEMENT_UP, PLACEMENT_ERRORS,
)  # fmt: skip
