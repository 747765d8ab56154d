"""
Kunlunxin's xpu-exporter, which puts `node_xpu_` before every name.

Not public; names as its deployment notes and users of a P800 list them (xpu-exporter for XRE 4.0.25 and later). Memory
is taken for bytes and power for watts, as users of it do; state 207 is its error state. `node_xpu_xidCount` tells no
code and is left out.
"""

from typing import Final

from collector.vendor_exporter.identity import identify
from collector.vendor_exporter.table import (
    CHIP,
    CORE_CLOCK,
    CORRECTED,
    GENERAL,
    MEGA,
    PERCENT,
    UNCORRECTED,
    Row,
    States,
    Table,
    either,
    starting,
)  # fmt: skip
from watchkeeper.core.vocabulary import devices

_ERROR_STATE: Final = 207

TABLE: Final = Table(
    name="xpu-exporter",
    title="xpu-exporter (Kunlunxin)",
    vendors=("kunlunxin",),
    matches=starting("node_xpu_"),
    reference="xpu-exporter for XRE 4.0.25 and later, by its deployment notes",
    port=9507,
    device=identify(
        "kunlunxin", id=("uuid", "UUID", "device_uuid"),
        name=("minor_number", "minor", "devId", "dev_id", "device", "index", "id", "xpu"),
        model=("model", "modelName", "name", "type"), serial=("sn", "serial", "serial_number"),
        driver=("driver", "driver_version"), pci=("bdf", "busid", "pci_bus_id"),
    ),
    rows=(
        Row(devices.UTILIZATION, either("node_xpu_utilization", scale=PERCENT), GENERAL),
        Row(devices.MEMORY_LIMIT, either("node_xpu_memtotal")),
        Row(devices.MEMORY_USAGE, either("node_xpu_memused")),
        Row(devices.TEMPERATURE, either("node_xpu_temp"), CHIP),
        Row(devices.POWER, either("node_xpu_powerUsage")),
        Row(devices.CLOCK, either("node_xpu_clock", scale=MEGA), CORE_CLOCK),
        Row(devices.ERRORS, either("node_xpu_totalEccCorrectedErrors"), CORRECTED),
        Row(devices.ERRORS, either("node_xpu_totalEccUncorrectedErrors"), UNCORRECTED),
        Row(devices.PROCESSES, either("node_xpu_computeRunningProcesses")),
    ),
    states=(
        States(
            devices.STATUS, "hw.state", ("ok", "failed"), ("node_xpu_state",),
            lambda value: ("failed",) if value == _ERROR_STATE else ("ok",), (("hw.type", "gpu"),),
        ),
    ),
)  # fmt: skip
