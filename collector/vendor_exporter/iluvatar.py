"""
Iluvatar CoreX' ix-exporter.

https://gitee.com/deep-spark/ix-exporter etc/metrics.yaml (7f169d7, v4.3). Memory is in MiB. ECC is told as a status,
not as a count, and PCIe throughput as a rate: both are left out.
"""

from typing import Final

from collector.vendor_exporter.identity import identify
from collector.vendor_exporter.table import (
    CHIP,
    CORE_CLOCK,
    GENERAL,
    MEGA,
    MEMORY,
    MEMORY_CLOCK,
    MIB,
    PCIE,
    PERCENT,
    Codes,
    From,
    Row,
    Table,
    any_of,
    either,
    unlisted,
)  # fmt: skip
from watchkeeper.core.vocabulary import devices

TABLE: Final = Table(
    name="ix-exporter",
    title="ix-exporter (Iluvatar)",
    vendors=("iluvatar",),
    matches=any_of("ix_gpu_utilization", "ix_mem_total", "ix_mem_used", "ix_power_usage", "ix_temperature"),
    reference="https://gitee.com/deep-spark/ix-exporter 7f169d7",
    port=32021,
    device=identify(
        "iluvatar", id=("uuid",), name=("gpu",), model=("name",), serial=("serial",), driver=("driver",),
        firmware=("ixml",),
    ),
    rows=(
        Row(devices.UTILIZATION, either("ix_gpu_utilization", scale=PERCENT), GENERAL),
        Row(devices.COMPUTE_ACTIVE, either("ix_sm_utilization", scale=PERCENT)),
        Row(
            devices.MEMORY_LIMIT,
            (From("ix_mem_total", MIB), From("ix_mem_used", MIB, plus=("ix_mem_free",))),
        ),
        Row(devices.MEMORY_USAGE, either("ix_mem_used", scale=MIB)),
        Row(devices.TEMPERATURE, either("ix_gpu_temperature", "ix_temperature"), CHIP),
        Row(devices.TEMPERATURE, either("ix_mem_temperature"), MEMORY),
        Row(devices.POWER, either("ix_power_usage")),
        Row(devices.CLOCK, either("ix_sm_clock", scale=MEGA), CORE_CLOCK),
        Row(devices.CLOCK, either("ix_mem_clock", scale=MEGA), MEMORY_CLOCK),
        Row(devices.LINK_ERRORS, either("ix_pcie_replay_counter"), (*PCIE, ("error.type", "replay"))),
    ),
    codes=(Codes(("ix_xid_errors",), unlisted),),
)  # fmt: skip
