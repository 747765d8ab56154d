"""Cambricon MLUs, through CNDev (`libcndev.so`, version 6 of its interface) with ctypes."""

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from collector.accelerators.driver import CountError, VendorPart
from watchkeeper.core.vocabulary import devices

if TYPE_CHECKING:
    from collector.accelerators.cambricon.driver import Cambricon


def make(count_error: CountError) -> "Cambricon":
    from collector.accelerators.cambricon.driver import Cambricon

    return Cambricon(count_error, (LIBRARY, *ELSEWHERE))


LIBRARY: Final = "libcndev.so"
ELSEWHERE: Final = (
    "/usr/local/neuware/lib64/libcndev.so", "/usr/lib64/libcndev.so", "/usr/lib/libcndev.so",
)  # fmt: skip
OBTAINED: Final = MappingProxyType(
    {
        devices.UTILIZATION: "cndevGetDeviceUtilizationInfo; coders: cndevGetVideoCodecUtilization",
        devices.MATRIX_ACTIVE: "cndevDeviceGetFieldValues 65",
        devices.MEMORY_LIMIT: "cndevGetMemoryUsageV2 or cndevGetMemoryUsage",
        devices.MEMORY_USAGE: "cndevGetMemoryUsageV2 or cndevGetMemoryUsage",
        devices.MEMORY_UTILIZATION: "cndevGetMemoryUsageV2 or cndevGetMemoryUsage",
        devices.TEMPERATURE: "cndevGetTemperatureInfo",
        devices.TEMPERATURE_LIMIT: "cndevDeviceGetFieldValues 52, 53, 68, 69",
        devices.POWER: "cndevGetDevicePowerInfo or cndevGetPowerInfoV2",
        devices.POWER_LIMIT: "cndevGetDevicePowerInfo or cndevGetPowerInfoV2",
        devices.ENERGY: "cndevDeviceGetFieldValues 71, or power over time",
        devices.CLOCK: "cndevGetFrequencyInfo",
        devices.CLOCK_LIMIT: "cndevGetFrequencyInfo",
        devices.THROTTLED: "cndevGetPerformanceThrottleReason",
        devices.THROTTLE_TIME: "cndevDeviceGetFieldValues 72 to 74",
        devices.ERRORS: "cndevGetMemEccCounter or cndevGetECCInfo",
        devices.REMAPPED: "cndevGetRemappedRowsV2 or cndevGetRemappedRows",
        devices.REPAIR_PENDING: "cndevGetRepairStatus or cndevGetRemappedRows",
        devices.REPAIR_FAILED: "cndevGetRepairStatus or cndevGetRemappedRows",
        devices.IO: "MLU-Link: cndevDeviceGetFieldValues 63, 64, or …MLULinkCounter; PCIe: cndevGetPCIethroughputV2",
        devices.LINK_ERRORS: "cndevGetMLULinkErrorCounter, …EventCounter, or …Counter; cndevGetPcieReplayCounter",
        devices.LINKS: "cndevGetMLULinkStatusV2",
        devices.LINK_WIDTH: "cndevGetCurrentPCIInfo",
        devices.LINK_WIDTH_LIMIT: "cndevGetMaxPCIInfo",
        devices.LINK_GENERATION: "cndevGetCurrentPCIInfo",
        devices.LINK_GENERATION_LIMIT: "cndevGetMaxPCIInfo",
        devices.FAULTS: "cndevEventWait: XIDs; cndevGetCardHealthStateV2: incidents, when one appears",
        devices.FAULT_CODES: "cndevEventWait; cndevGetCardHealthStateV2",
        devices.STATUS: "cndevGetCardHealthStateV2 or cndevGetCardHealthState",
        devices.PROCESSES: "cndevGetProcessInfo",
        devices.PROCESS_MEMORY: "cndevGetProcessInfo",
        devices.INFO: "cndevGetUUID, …CardNameStringByDevId, …CardSN, …VersionInfo, …PCIeInfoV2",
    }
)

PART: Final = VendorPart(
    name="cambricon",
    title="Cambricon (CNDev)",
    make=make,
    library=LIBRARY,
    obtained=OBTAINED,
    needs="/dev/cambricon_ctl and /dev/cambricon_dev*; read-only the host's libcndev.so, where the linker looks for it",
    device_file="/dev/cambricon_ctl",
    elsewhere=ELSEWHERE,
)
