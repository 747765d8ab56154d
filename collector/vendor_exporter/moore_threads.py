"""
Moore Threads' mtgpu-exporter.

Not public; names as users of an MTT S5000 list them. Its labels are not documented: the usual ones are tried.
"""

from typing import Final

from collector.vendor_exporter.identity import identify
from collector.vendor_exporter.table import CHIP, GENERAL, MILLI, PERCENT, Row, Table, either, starting
from watchkeeper.core.vocabulary import devices

TABLE: Final = Table(
    name="mtgpu-exporter",
    title="mtgpu-exporter (Moore Threads)",
    vendors=("moore_threads",),
    matches=starting("mtgpu_"),
    reference="mtgpu-exporter for the MTT S5000, by the names its users list",
    port=21001,
    device=identify(
        "moore_threads", id=("uuid", "UUID", "gpu_uuid", "device_uuid"),
        name=("index", "gpu", "gpu_index", "minor_number", "device", "id"), model=("name", "model", "modelName"),
        serial=("serial", "serial_number", "sn"), driver=("driver", "driver_version"),
        pci=("pci_bus_id", "busid", "bdf"),
    ),
    rows=(
        Row(devices.UTILIZATION, either("mtgpu_gpu_utilization", scale=PERCENT), GENERAL),
        Row(devices.MEMORY_LIMIT, either("mtgpu_memory_total_bytes")),
        Row(devices.MEMORY_USAGE, either("mtgpu_memory_used_bytes")),
        Row(devices.TEMPERATURE, either("mtgpu_gpu_temp"), CHIP),
        Row(devices.POWER, either("mtgpu_power_usage_milliwatts", scale=MILLI)),
    ),
)  # fmt: skip
