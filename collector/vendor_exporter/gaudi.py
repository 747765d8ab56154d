"""
Intel's Gaudi exporters: the closed one of the Habana images, and Intel's later one with the same names.

https://docs.habana.ai/en/latest/Orchestration/Prometheus_Metric_Exporter.html (1.2x). Power is in mW, and energy in
mJ, as HLML gives it: the page does not say. `habanalabs_pcie_{rx,tx}` are rates and left out.
"""

from typing import Final

from collector.vendor_exporter.identity import identify
from collector.vendor_exporter.table import (
    BOARD,
    CHIP,
    CORE_CLOCK,
    GENERAL,
    MEGA,
    MEMORY,
    METER,
    MILLI,
    PCIE,
    PERCENT,
    Row,
    States,
    Table,
    either,
    starting,
)  # fmt: skip
from watchkeeper.core.vocabulary import devices

TABLE: Final = Table(
    name="gaudi-exporter",
    title="Gaudi exporter (Intel)",
    vendors=("gaudi",),
    matches=starting("habanalabs_"),
    reference="https://docs.habana.ai/en/latest/Orchestration/Prometheus_Metric_Exporter.html 1.2x",
    port=41611,
    device=identify(
        "gaudi", id=("UUID", "uuid"), name=("id", "index", "device_id"), model=("product_name", "product"),
        serial=("Serial", "serial", "device"), driver=("driver",), firmware=("fit", "spi"), pci=("pci_id", "bus_id"),
    ),
    rows=(
        Row(devices.UTILIZATION, either("habanalabs_utilization", scale=PERCENT), GENERAL),
        Row(devices.MEMORY_LIMIT, either("habanalabs_memory_total_bytes")),
        Row(devices.MEMORY_USAGE, either("habanalabs_memory_used_bytes")),
        Row(devices.TEMPERATURE, either("habanalabs_temperature_onchip"), CHIP),
        Row(devices.TEMPERATURE, either("habanalabs_temperature_onboard"), BOARD),
        Row(
            devices.TEMPERATURE_LIMIT,
            either("habanalabs_temperature_threshold_slowdown"),
            (*CHIP, ("hw.limit_type", "slowdown")),
        ),
        Row(
            devices.TEMPERATURE_LIMIT,
            either("habanalabs_temperature_threshold_shutdown"),
            (*CHIP, ("hw.limit_type", "shutdown")),
        ),
        Row(
            devices.TEMPERATURE_LIMIT,
            either("habanalabs_temperature_threshold_memory"),
            (*MEMORY, ("hw.limit_type", "slowdown")),
        ),
        Row(devices.POWER, either("habanalabs_power_mW", scale=MILLI)),
        Row(devices.POWER_LIMIT, either("habanalabs_power_default_limit_mW", scale=MILLI)),
        Row(devices.ENERGY, either("habanalabs_energy", scale=MILLI), METER),
        Row(devices.CLOCK, either("habanalabs_clock_soc_mhz", scale=MEGA), CORE_CLOCK),
        Row(devices.CLOCK_LIMIT, either("habanalabs_clock_soc_max_mhz", scale=MEGA), CORE_CLOCK),
        Row(devices.REPAIR_PENDING, either("habanalabs_pending_rows_state")),
        Row(devices.LINK_ERRORS, either("habanalabs_pcie_replay_count"), (*PCIE, ("error.type", "replay"))),
        Row(devices.LINK_WIDTH, either("habanalabs_pci_link_width"), PCIE),
    ),
    states=(
        States(
            devices.LINKS, "hw.state", ("up", "down"), ("habanalabs_nic_port_status",),
            lambda value: ("up",) if value == 1 else ("down",), (("link", "nic"),),
        ),
    ),
)  # fmt: skip
