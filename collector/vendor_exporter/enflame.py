"""
Enflame's gcu-exporter.

https://github.com/EnflameTechnology/gcu-exporter 1.5 and the manual of its metrics. `enflame_gcu_power_usage` is a
share of the power that there is, not watts; -1 is "not supported"; while virtual devices exist, cards say nothing.
"""

from typing import Final

from collector.vendor_exporter.identity import identify
from collector.vendor_exporter.table import (
    CHIP,
    CORE_CLOCK,
    CORRECTED,
    GENERAL,
    MEGA,
    PCIE,
    PERCENT,
    UNCORRECTED,
    Row,
    Table,
    either,
    health,
    starting,
)  # fmt: skip
from watchkeeper.core.vocabulary import devices

TABLE: Final = Table(
    name="gcu-exporter",
    title="gcu-exporter (Enflame)",
    vendors=("enflame",),
    matches=starting("enflame_gcu_"),
    reference="https://github.com/EnflameTechnology/gcu-exporter 1.5",
    port=9400,
    device=identify(
        "enflame", id=("uuid",), name=("minor_number", "ID"), model=("name", "Name"), pci=("busid",),
    ),
    rows=(
        Row(devices.UTILIZATION, either("enflame_gcu_usage", scale=PERCENT), GENERAL),
        Row(devices.MEMORY_LIMIT, either("enflame_gcu_memory_total_bytes")),
        Row(devices.MEMORY_USAGE, either("enflame_gcu_memory_used_bytes")),
        Row(devices.TEMPERATURE, either("enflame_gcu_temperatures"), CHIP),
        Row(devices.POWER, either("enflame_gcu_power_consumption")),
        Row(devices.POWER_LIMIT, either("enflame_gcu_power_capability")),
        Row(devices.CLOCK, either("enflame_gcu_clock", scale=MEGA), CORE_CLOCK),
        Row(devices.ERRORS, either("enflame_gcu_ecc_single_bit_error_total_count"), CORRECTED),
        Row(devices.ERRORS, either("enflame_gcu_ecc_double_bit_error_total_count"), UNCORRECTED),
        Row(devices.LINK_WIDTH, either("enflame_gcu_pcie_link_width"), PCIE),
        Row(devices.LINK_WIDTH_LIMIT, either("enflame_gcu_pcie_max_link_width"), PCIE),
    ),
    states=(health("enflame_gcu_health", states={2: "ok", 1: "failed"}),),
)  # fmt: skip
