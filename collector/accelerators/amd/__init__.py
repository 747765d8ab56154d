"""AMD Instinct and Radeon GPUs and their partitions, through AMD SMI (`libamd_smi.so` of ROCm)."""

import os
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from collector.accelerators.driver import CountError, VendorPart
from watchkeeper.core.vocabulary import devices

if TYPE_CHECKING:
    from collector.accelerators.amd.driver import Amd

NAME: Final = "libamd_smi.so"
_ROCM: Final = os.environ.get("ROCM_PATH", "/opt/rocm")
NAMES: Final = (f"{_ROCM}/lib/{NAME}", f"/opt/rocm/lib/{NAME}", NAME, f"{NAME}.26", f"{NAME}.25", f"{NAME}.24")
"""where it is looked for; an image without development files has it under the name with a number alone"""


def make(count_error: CountError) -> "Amd":
    from collector.accelerators.amd.driver import Amd

    return Amd(count_error)


OBTAINED: Final = MappingProxyType(
    {
        devices.UTILIZATION: "amdsmi_get_gpu_activity",
        devices.MEMORY_BUSY: "amdsmi_get_gpu_activity",
        devices.MEMORY_LIMIT: "amdsmi_get_gpu_vram_usage",
        devices.MEMORY_USAGE: "amdsmi_get_gpu_vram_usage",
        devices.MEMORY_UTILIZATION: "amdsmi_get_gpu_vram_usage",
        devices.TEMPERATURE: "amdsmi_get_temp_metric: hotspot or edge; memory, or its hottest stack",
        devices.TEMPERATURE_LIMIT: "amdsmi_get_temp_metric: critical, emergency",
        devices.POWER: "amdsmi_get_power_info: current, or average before MI300",
        devices.POWER_LIMIT: "amdsmi_get_power_cap_info",
        devices.ENERGY: "amdsmi_get_energy_count, or power over time",
        devices.CLOCK: "amdsmi_get_clock_info",
        devices.CLOCK_LIMIT: "amdsmi_get_clock_info",
        devices.THROTTLED: "amdsmi_get_violation_status (MI300 and later, ROCm 6.3 and later)",
        devices.THROTTLE_TIME: "amdsmi_get_violation_status (MI300 and later, ROCm 6.3 and later)",
        devices.ERRORS: "amdsmi_get_gpu_total_ecc_count",
        devices.REMAPPED: "amdsmi_get_gpu_bad_page_info",
        devices.REPAIR_PENDING: "amdsmi_get_gpu_bad_page_info",
        devices.REPAIR_FAILED: "amdsmi_get_gpu_bad_page_info",
        devices.IO: "xGMI: amdsmi_get_link_metrics",
        devices.LINK_ERRORS: "PCIe: amdsmi_get_pcie_info",
        devices.LINK_WIDTH: "amdsmi_get_pcie_info",
        devices.LINK_WIDTH_LIMIT: "amdsmi_get_pcie_info",
        devices.LINK_GENERATION: "amdsmi_get_pcie_info",
        devices.LINK_GENERATION_LIMIT: "amdsmi_get_pcie_info",
        devices.FAULTS: "events: page fault, thermal throttling, reset",
        devices.FAULT_CODES: "events",
        devices.STATUS: "bad pages, whether it can be read",
        devices.PROCESSES: "amdsmi_get_gpu_process_list (ROCm 6.1 and later)",
        devices.PROCESS_MEMORY: "amdsmi_get_gpu_process_list (ROCm 6.1 and later)",
        devices.INFO: "amdsmi_get_gpu_asic_info, …vbios_info, …driver_info, …device_bdf, …device_uuid",
    }
)

PART: Final = VendorPart(
    name="amd",
    title="AMD (AMD SMI)",
    make=make,
    library=NAME,
    obtained=OBTAINED,
    needs="/dev/kfd and /dev/dri with the groups `render` and `video`, and ROCm's libamd_smi.so (host's /opt/rocm/lib)",
    device_file="/dev/kfd",
    paths=NAMES,
)
