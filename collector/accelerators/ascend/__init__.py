"""Huawei Ascend NPUs (310P, 910A, 910B, 910C), through DCMI (`libdcmi.so`) with ctypes."""

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from collector.accelerators.driver import CountError, VendorPart
from watchkeeper.core.vocabulary import devices

if TYPE_CHECKING:
    from collector.accelerators.ascend.driver import Ascend


def make(count_error: CountError) -> "Ascend":
    from collector.accelerators.ascend.driver import Ascend

    return Ascend(count_error, (LIBRARY, *ELSEWHERE))


LIBRARY: Final = "libdcmi.so"
ELSEWHERE: Final = (
    "/usr/local/dcmi/libdcmi.so", "/usr/local/Ascend/driver/lib64/driver/libdcmi.so", "/usr/lib64/libdcmi.so",
)  # fmt: skip
OBTAINED: Final = MappingProxyType(
    {
        devices.UTILIZATION: "dcmi_get_device_multi_utilization_rate, or …utilization_rate 2, 13",
        devices.COMPUTE_ACTIVE: "aiv_util of …multi_utilization_rate, or …utilization_rate 12",
        devices.MATRIX_ACTIVE: "aic_util of …multi_utilization_rate, or …utilization_rate 14",
        devices.MEMORY_BANDWIDTH: "dcmi_get_device_hbm_info, or …utilization_rate 5",
        devices.MEMORY_LIMIT: "dcmi_get_device_hbm_info or …memory_info_v3",
        devices.MEMORY_USAGE: "dcmi_get_device_hbm_info or …memory_info_v3",
        devices.MEMORY_UTILIZATION: "dcmi_get_device_hbm_info or …memory_info_v3",
        devices.TEMPERATURE: "dcmi_get_device_temperature; memory: …hbm_info",
        devices.POWER: "dcmi_get_device_power_info; 310P: dcmi_mcu_get_power_info, shared by the chips of a card",
        devices.ENERGY: "power over time",
        devices.CLOCK: "dcmi_get_device_frequency 7; memory: …hbm_info or …memory_info_v3",
        devices.CLOCK_LIMIT: "dcmi_get_device_frequency 9",
        devices.ERRORS: "dcmi_get_device_ecc_info",
        devices.REMAPPED: "dcmi_get_device_ecc_info: isolated pages",
        devices.REPAIR_PENDING: "dcmi_get_device_ecc_info: pages isolated at the next start",
        devices.LINK_ERRORS: "dcmi_get_device_info: HCCS statistics",
        devices.LINKS: "dcmi_get_device_network_health (910)",
        devices.FAULTS: "dcmi_get_device_errorcode_v2, when a code appears",
        devices.FAULT_CODES: "dcmi_get_device_errorcode_v2",
        devices.STATUS: "dcmi_get_device_health",
        devices.PROCESSES: "dcmi_get_device_resource_info",
        devices.PROCESS_MEMORY: "dcmi_get_device_resource_info",
        devices.INFO: "dcmi_get_device_die_v2, …chip_info_v2, …pcie_info_v2, dcmi_get_card_elabel_v2, …driver_version",
    }
)

PART: Final = VendorPart(
    name="ascend",
    title="Huawei Ascend (DCMI)",
    make=make,
    library=LIBRARY,
    obtained=OBTAINED,
    needs="/dev/davinci*, /dev/davinci_manager, /dev/hisi_hdc, /dev/devmm_svm; read-only /usr/local/Ascend/driver and"
    " /usr/local/dcmi, and LD_LIBRARY_PATH with driver/lib64, its common and driver; privileged for other pods' chips",
    device_file="/dev/davinci_manager",
    elsewhere=ELSEWHERE,
)
