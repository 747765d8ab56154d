"""
MetaX' mx-exporter, with the names of MXMACA 2.25 and later, and of its older versions without `mx_`.

Its manual is not public; names as users of it read them: HAMi-WebUI server/internal/exporter/exporter.go (mx_memory_*
in KB, mx_board_power in mW). `mx_gpu_state` has no published meaning and is left out, as are power of the older version
(`bway_power`, unit not told) and what sGPU slices tell.
"""

from typing import Final

from collector.vendor_exporter.identity import identify
from collector.vendor_exporter.table import (
    BOARD,
    CHIP,
    CORE_CLOCK,
    GENERAL,
    KIB,
    MEGA,
    MEMORY,
    MEMORY_CLOCK,
    MILLI,
    PERCENT,
    From,
    Row,
    Table,
    any_of,
    either,
)  # fmt: skip
from watchkeeper.core.vocabulary import devices

_VRAM: Final = (("type", ("vram",)), ("memType", ("vram",)))

TABLE: Final = Table(
    name="mx-exporter",
    title="mx-exporter (MetaX)",
    vendors=("metax",),
    matches=any_of(
        "mx_gpu_usage", "mx_memory_total", "mx_chip_hotspot_temp", "mx_board_power", "bway_power", "core_temp",
    ),
    reference="mx-exporter of MXMACA 2.25 and later, by the queries of https://github.com/Project-HAMi/HAMi-WebUI",
    port=8000,
    device=identify(
        "metax", id=("uuid",), name=("deviceId", "device_id", "gpuId"), model=("modelName",), serial=("sn",),
        driver=("driver_version",), firmware=("bios_version",), pci=("bdf", "pci_bus_id"),
    ),
    rows=(
        Row(devices.UTILIZATION, either("mx_gpu_usage", "gpu_usage", scale=PERCENT), GENERAL),
        Row(
            devices.MEMORY_LIMIT,
            (From("mx_memory_total", KIB, having=_VRAM), From("memory_total", KIB, having=_VRAM)),
        ),
        Row(
            devices.MEMORY_USAGE,
            (From("mx_memory_used", KIB, having=_VRAM), From("memory_used", KIB, having=_VRAM)),
        ),
        Row(devices.TEMPERATURE, either("mx_chip_hotspot_temp", "core_temp"), CHIP),
        Row(devices.TEMPERATURE, either("mx_chip_hbm_temp"), MEMORY),
        Row(devices.TEMPERATURE, either("mx_board_temp", "mx_board_temperature"), BOARD),
        Row(devices.POWER, either("mx_board_power", scale=MILLI)),
        Row(devices.CLOCK, either("mx_gpu_clock", scale=MEGA), CORE_CLOCK),
        Row(devices.CLOCK, either("mx_mem_clock", scale=MEGA), MEMORY_CLOCK),
    ),
)  # fmt: skip
