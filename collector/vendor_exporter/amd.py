"""
AMD's device-metrics-exporter, without a prefix or with `amd_`.

https://github.com/ROCm/device-metrics-exporter v1.5: docs/configuration/metricslist.md. Everything is a gauge, "MB" is
binary. Of a card in partitions only the first reports power, temperature and activity, and the others 0: the largest
number is the card's.
"""

from collections.abc import Mapping
from typing import Final

from collector._pages.labels import Fold, Label, words
from collector.vendor_exporter.identity import identify, known, with_parts
from collector.vendor_exporter.table import (
    CHIP,
    CORRECTED,
    GENERAL,
    KIB,
    MEGA,
    MEMORY,
    METER,
    MIB,
    MICRO,
    PCIE,
    PERCENT,
    UNCORRECTED,
    From,
    Row,
    Table,
    any_of,
    either,
    health,
)  # fmt: skip
from watchkeeper.core.vocabulary import devices

_MARKS: Final = (
    "gpu_gfx_activity", "gpu_umc_activity", "gpu_package_power", "gpu_average_package_power", "gpu_used_vram",
    "gpu_total_vram", "gpu_junction_temperature", "gpu_edge_temperature", "gpu_nodes_total",
)  # fmt: skip
_CLOCKS: Final = {"system": "core", "memory": "memory", "video": "video"}
_CLOCK_WORDS: Final = words(
    _CLOCKS | {f"GPU_CLOCK_TYPE_{theirs.upper()}": ours for theirs, ours in _CLOCKS.items()}, None
)


def _part(labels: Mapping[str, str]) -> str:
    """Which partition, on a card that is divided."""
    partition = known(labels, ("gpu_partition_id",))
    divided = known(labels, ("gpu_compute_partition_type",)).lower() not in ("", "spx")
    return f"part{partition}" if partition and divided else ""


TABLE: Final = Table(
    name="device-metrics-exporter",
    title="device-metrics-exporter (AMD)",
    vendors=("amd",),
    matches=any_of(*_MARKS, *(f"amd_{mark}" for mark in _MARKS)),
    reference="https://github.com/ROCm/device-metrics-exporter v1.5.3",
    port=5000,
    prefixes=("amd_",),
    device=with_parts(
        identify(
            "amd", id=("gpu_uuid",), name=("gpu_id",), model=("card_model", "card_series"), serial=("serial_number",),
            driver=("driver_version",), firmware=("vbios_version", "card_vbios"), pci=("pcie_bus_id",),
        ),
        _part,
        profile=("gpu_compute_partition_type",),
    ),
    part_labels=("gpu_partition_id", "gpu_id"),
    rows=(
        Row(devices.UTILIZATION, either("gpu_gfx_activity", scale=PERCENT), GENERAL, of_card=True),
        Row(devices.MEMORY_BUSY, either("gpu_umc_activity", scale=PERCENT), of_card=True),
        Row(devices.MATRIX_ACTIVE, either("gpu_prof_tensor_active_percent", scale=PERCENT)),
        Row(devices.COMPUTE_ACTIVE, either("gpu_prof_sm_active", scale=PERCENT)),
        Row(devices.COMPUTE_OCCUPANCY, either("gpu_prof_occupancy_percent", scale=PERCENT)),
        Row(devices.MEMORY_LIMIT, either("gpu_total_vram", scale=MIB)),
        Row(devices.MEMORY_USAGE, either("gpu_used_vram", scale=MIB)),
        Row(devices.TEMPERATURE, either("gpu_junction_temperature", "gpu_edge_temperature"), CHIP, of_card=True),
        Row(devices.TEMPERATURE, either("gpu_memory_temperature", "gpu_hbm_temperature"), MEMORY, of_card=True),
        Row(
            devices.POWER,
            either("gpu_package_power", "gpu_average_package_power", "gpu_power_usage"),
            of_card=True,
        ),
        Row(devices.ENERGY, either("gpu_energy_consumed", scale=MICRO), METER, of_card=True),
        Row(
            devices.CLOCK,
            (From("gpu_clock", MEGA, labels=(Label("clock_type", "clock", _CLOCK_WORDS),)),),
            of_card=True,
        ),
        Row(
            devices.CLOCK_LIMIT,
            (From("gpu_max_clock", MEGA, labels=(Label("clock_type", "clock", _CLOCK_WORDS),)),),
            of_card=True,
        ),
        Row(devices.ERRORS, either("gpu_ecc_correct_total"), CORRECTED, of_card=True),
        Row(devices.ERRORS, either("gpu_ecc_uncorrect_total"), UNCORRECTED, of_card=True),
        Row(
            devices.LINK_ERRORS,
            either("pcie_replay_count", "pcie_replay_rollover_count"),
            (*PCIE, ("error.type", "replay")),
            of_card=True,
        ),
        Row(devices.LINK_ERRORS, either("pcie_recovery_count"), (*PCIE, ("error.type", "recovery")), of_card=True),
        *(
            Row(
                devices.LINK_ERRORS,
                either(f"pcie_nack_{what}_count"),
                (*PCIE, ("error.type", f"nak_{what}")),
                of_card=True,
            )
            for what in ("sent", "received")
        ),
        *(
            Row(
                devices.IO,
                (From(f"gpu_xgmi_link_{short}", KIB, fold=Fold.SUM),),
                (("link", "xgmi"), (devices.DIRECTION, direction)),
                of_card=True,
            )
            for short, direction in (("tx", "transmit"), ("rx", "receive"))
        ),
    ),
    states=(health("gpu_health", states={1: "ok", 0: "failed"}),),
)  # fmt: skip
