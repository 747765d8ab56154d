"""Intel Gaudi, through HLML (`libhlml.so`, part of the driver's packages)."""

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from collector.accelerators.driver import CountError, VendorPart
from watchkeeper.core.vocabulary import devices

if TYPE_CHECKING:
    from collector.accelerators.gaudi.driver import Gaudi

NAME: Final = "libhlml.so"
NAMES: Final = (f"/usr/lib/habanalabs/{NAME}", NAME)
"""where it is looked for"""


def make(count_error: CountError) -> "Gaudi":
    from collector.accelerators.gaudi.driver import Gaudi

    return Gaudi(count_error)


OBTAINED: Final = MappingProxyType(
    {
        devices.UTILIZATION: "hlml_device_get_utilization_rates",
        devices.MEMORY_BUSY: "hlml_device_get_utilization_rates",
        devices.MEMORY_LIMIT: "hlml_device_get_memory_info",
        devices.MEMORY_USAGE: "hlml_device_get_memory_info",
        devices.MEMORY_UTILIZATION: "hlml_device_get_memory_info",
        devices.TEMPERATURE: "hlml_device_get_temperature: on chip, on board, memory",
        devices.TEMPERATURE_LIMIT: "hlml_device_get_temperature_threshold",
        devices.POWER: "hlml_device_get_power_usage",
        devices.POWER_LIMIT: "hlml_device_get_power_management_limit, or …default_limit",
        devices.ENERGY: "hlml_device_get_total_energy_consumption, or power over time",
        devices.CLOCK: "hlml_device_get_clock_info",
        devices.CLOCK_LIMIT: "hlml_device_get_max_clock_info",
        devices.THROTTLED: "hlml_device_get_current_clocks_throttle_reasons",
        devices.ERRORS: "hlml_device_get_total_ecc_errors",
        devices.REMAPPED: "hlml_device_get_replaced_rows",
        devices.REPAIR_PENDING: "hlml_device_get_replaced_rows_pending_status",
        devices.LINK_ERRORS: "PCIe: hlml_device_get_pcie_replay_counter",
        devices.LINKS: "hlml_get_mac_addr_info, hlml_nic_get_link",
        devices.LINK_WIDTH: "hlml_device_get_curr_pcie_link_width",
        devices.LINK_GENERATION: "hlml_device_get_curr_pcie_link_generation",
        devices.FAULTS: "event set: ECC, memory, critical",
        devices.FAULT_CODES: "event set",
        devices.STATUS: "rows that wait for a reset, whether it can be read",
        devices.INFO: "hlml_device_get_name, …serial, …pci_info, hlml_get_driver_version, hlml_get_fw_os_version",
    }
)

PART: Final = VendorPart(
    name="gaudi",
    title="Intel Gaudi (HLML)",
    make=make,
    library=NAME,
    obtained=OBTAINED,
    needs="the `habana` runtime class (or the device files /dev/accel) and the host's /usr/lib/habanalabs/libhlml.so",
    device_file="/dev/accel/accel0",
    paths=NAMES,
)
