"""NVIDIA GPUs and their MIG instances, through NVML (`libnvidia-ml.so.1`) and its binding nvidia-ml-py."""

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from collector.accelerators.driver import CountError, VendorPart
from watchkeeper.core.vocabulary import devices

if TYPE_CHECKING:
    from collector.accelerators.nvidia.driver import Nvidia


def make(count_error: CountError) -> "Nvidia":
    from collector.accelerators.nvidia.driver import Nvidia

    return Nvidia(count_error)


OBTAINED: Final = MappingProxyType(
    {
        devices.UTILIZATION: "nvmlDeviceGetUtilizationRates, …EncoderUtilization, …DecoderUtilization; MIG: GPM 1",
        devices.COMPUTE_ACTIVE: "GPM 2 (Hopper and later)",
        devices.COMPUTE_OCCUPANCY: "GPM 3 (Hopper and later)",
        devices.MATRIX_ACTIVE: "GPM 5 (Hopper and later)",
        devices.PIPE_ACTIVE: "GPM 4, 11, 12, 13 (Hopper and later)",
        devices.MEMORY_BANDWIDTH: "GPM 10 (Hopper and later)",
        devices.MEMORY_BUSY: "nvmlDeviceGetUtilizationRates",
        devices.MEMORY_LIMIT: "nvmlDeviceGetMemoryInfo",
        devices.MEMORY_USAGE: "nvmlDeviceGetMemoryInfo",
        devices.MEMORY_UTILIZATION: "nvmlDeviceGetMemoryInfo",
        devices.TEMPERATURE: "nvmlDeviceGetTemperatureV or nvmlDeviceGetTemperature; memory: field 82",
        devices.TEMPERATURE_LIMIT: "nvmlDeviceGetTemperatureThreshold",
        devices.POWER: "field 186 or nvmlDeviceGetPowerUsage",
        devices.POWER_LIMIT: "nvmlDeviceGetEnforcedPowerLimit",
        devices.ENERGY: "field 83, nvmlDeviceGetTotalEnergyConsumption, or power over time",
        devices.CLOCK: "nvmlDeviceGetClockInfo",
        devices.CLOCK_LIMIT: "nvmlDeviceGetMaxClockInfo",
        devices.THROTTLED: "nvmlDeviceGetCurrentClocksEventReasons or …ThrottleReasons",
        devices.THROTTLE_TIME: "fields 74, 76, 269 to 271",
        devices.ERRORS: "fields 3, 4",
        devices.REMAPPED: "fields 142, 143",
        devices.REPAIR_PENDING: "field 144",
        devices.REPAIR_FAILED: "field 145",
        devices.IO: "PCIe: fields 197, 198; NVLink: 202, 204 or 138, 139",
        devices.LINK_ERRORS: "PCIe: fields 94, 173 to 183; NVLink: 161 to 163, 206 to 209, 211, 213, 214",
        devices.LINKS: "fields 91, 165",
        devices.LINK_WIDTH: "nvmlDeviceGetCurrPcieLinkWidth",
        devices.LINK_WIDTH_LIMIT: "nvmlDeviceGetMaxPcieLinkWidth",
        devices.LINK_GENERATION: "nvmlDeviceGetCurrPcieLinkGeneration",
        devices.LINK_GENERATION_LIMIT: "nvmlDeviceGetMaxPcieLinkGeneration",
        devices.FAULTS: "event set: XID, SBE storm, poison, GPU unavailable",
        devices.FAULT_CODES: "event set",
        devices.RECOVERY_ACTION: "field 230",
        devices.STATUS: "recovery action, memory repair, whether it can be read",
        devices.PROCESSES: "nvmlDeviceGetComputeRunningProcesses_v3",
        devices.PROCESS_MEMORY: "nvmlDeviceGetComputeRunningProcesses_v3",
        devices.INFO: "nvmlDeviceGetName, …Serial, …VbiosVersion, …PciInfo_v3, nvmlSystemGetDriverVersion",
    }
)

PART: Final = VendorPart(
    name="nvidia",
    title="NVIDIA (NVML)",
    make=make,
    library="libnvidia-ml.so.1",
    obtained=OBTAINED,
    needs="the `nvidia` runtime class (or CDI) with NVIDIA_VISIBLE_DEVICES=all and NVIDIA_DRIVER_CAPABILITIES=utility",
    device_file="/dev/nvidiactl",
)
