"""
Hygon's dcu-exporter, cards and the virtual devices cut from them.

https://github.com/Project-HAMi/dcu-exporter v2: main.go. Error counts are gauges, one for each block of the chip;
a virtual device's temperature and clock are the card's.
"""

from typing import Final

from collector._pages.labels import Fold
from collector.vendor_exporter.identity import identify, known, with_parts
from collector.vendor_exporter.table import (
    CHIP,
    CORE_CLOCK,
    CORRECTED,
    GENERAL,
    MEGA,
    PERCENT,
    UNCORRECTED,
    From,
    Row,
    Table,
    either,
    starting,
)  # fmt: skip
from watchkeeper.core.vocabulary import devices

TABLE: Final = Table(
    name="dcu-exporter",
    title="dcu-exporter (Hygon)",
    vendors=("hygon",),
    matches=starting("dcu_", "vdcu_"),
    reference="https://github.com/Project-HAMi/dcu-exporter v2.0",
    port=16080,
    device=with_parts(
        identify("hygon", id=("device_id",), name=("minor_number",), model=("name",), pci=("pcieBus_number",)),
        lambda labels: f"vdcu{number}" if (number := known(labels, ("vdcu_minor_number",))) else "",
        profile=("vdcu_computer_unit",),
    ),
    part_labels=("vdcu_minor_number", "vdcu_computer_unit", "vdcu_memory_cap"),
    rows=(
        Row(devices.UTILIZATION, either("dcu_utilizationrate", "vdcu_utilizationrate", scale=PERCENT), GENERAL),
        Row(devices.MEMORY_LIMIT, either("dcu_memorycap_bytes")),
        Row(devices.MEMORY_USAGE, either("dcu_usedmemory_bytes", "vdcu_usedmemory_bytes")),
        Row(devices.TEMPERATURE, either("dcu_temp"), CHIP),
        Row(devices.POWER, either("dcu_power_usage")),
        Row(devices.POWER_LIMIT, either("dcu_powercap")),
        Row(devices.CLOCK, either("dcu_sclk", scale=MEGA), CORE_CLOCK),
        Row(devices.ERRORS, (From("dcu_ce_count", fold=Fold.SUM),), CORRECTED),
        Row(devices.ERRORS, (From("dcu_ue_count", fold=Fold.SUM),), UNCORRECTED),
    ),
)  # fmt: skip
