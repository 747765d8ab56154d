"""
all-smi's API server: GPUs and NPUs of many vendors.

https://github.com/lablup/all-smi src/api/metrics/{gpu,mig}.rs (11ccefa, v0.2x). Versions before wrote 0 where there is
no sensor of temperature or clock, and the labels `uuid` and `index`.
"""

from typing import Final

from collector.vendor_exporter.identity import identify, known, maker_of, with_parts
from collector.vendor_exporter.table import (
    CHIP,
    CORE_CLOCK,
    GENERAL,
    MEGA,
    MEMORY_CLOCK,
    PCIE,
    PERCENT,
    From,
    Row,
    Table,
    either,
    starting,
    unless_zero,
)  # fmt: skip
from watchkeeper.core.vocabulary import devices

TABLE: Final = Table(
    name="all-smi",
    title="all-smi",
    vendors=("nvidia", "amd", "gaudi", "google", "intel", "apple"),
    matches=starting("all_smi_gpu_", "all_smi_mig_"),
    reference="https://github.com/lablup/all-smi 11ccefa",
    port=9090,
    device=with_parts(
        identify(
            maker_of, id=("gpu_uuid", "uuid", "UUID"), name=("gpu_index", "index", "gpu_id"), model=("gpu", "gpu_name"),
            driver=("driver_version",), pci=("pci_bus_id",),
        ),
        lambda labels: f"mig{instance}" if (instance := known(labels, ("mig_instance",))) else "",
        profile=("mig_profile",),
        id=("mig_uuid",),
    ),
    part_labels=("mig_instance", "mig_uuid", "mig_profile", "gpu_instance_id", "compute_instance_id"),
    rows=(
        Row(
            devices.UTILIZATION,
            either("all_smi_gpu_utilization", "all_smi_mig_instance_utilization_gpu", scale=PERCENT),
            GENERAL,
        ),
        Row(devices.MEMORY_LIMIT, either("all_smi_gpu_memory_total_bytes", "all_smi_mig_instance_memory_total_bytes")),
        Row(devices.MEMORY_USAGE, either("all_smi_gpu_memory_used_bytes", "all_smi_mig_instance_memory_used_bytes")),
        Row(devices.MEMORY_BANDWIDTH, either("all_smi_mig_instance_utilization_memory", scale=PERCENT)),
        Row(devices.TEMPERATURE, (From("all_smi_gpu_temperature_celsius", value=unless_zero),), CHIP),
        *(
            Row(
                devices.TEMPERATURE_LIMIT,
                either(f"all_smi_gpu_temperature_threshold_{kind}_celsius"),
                (*CHIP, ("hw.limit_type", kind)),
            )
            for kind in ("slowdown", "shutdown")
        ),
        Row(devices.POWER, either("all_smi_gpu_power_consumption_watts")),
        Row(devices.POWER_LIMIT, either("all_smi_gpu_power_limit_current_watts")),
        Row(devices.CLOCK, (From("all_smi_gpu_frequency_mhz", MEGA, value=unless_zero),), CORE_CLOCK),
        Row(devices.CLOCK_LIMIT, either("all_smi_gpu_clock_graphics_max_mhz", scale=MEGA), CORE_CLOCK),
        Row(devices.CLOCK_LIMIT, either("all_smi_gpu_clock_memory_max_mhz", scale=MEGA), MEMORY_CLOCK),
        Row(devices.LINK_WIDTH, either("all_smi_gpu_pcie_width_current"), PCIE),
        Row(devices.LINK_GENERATION, either("all_smi_gpu_pcie_gen_current"), PCIE),
    ),
)  # fmt: skip
