"""
NVIDIA's dcgm-exporter: names of the DCGM fields up to 4.5, those of 4.6, and those of 4.7 with other units.

https://github.com/NVIDIA/dcgm-exporter/blob/4.6.0-4.8.3/etc/default-counters.csv, default-counters.csv of 4.9.0,
https://github.com/NVIDIA/DCGM/blob/v4.6.0/dcgmlib/dcgm_fields.h. Fields of the older list may be asked for under any of
their names. `DCGM_FI_PROF_PCIE_*_BYTES`, `*_NVLINK_BANDWIDTH_TOTAL` and `*_PCIE_*_THROUGHPUT` are rates whatever TYPE
says; no metric here takes a rate, so they are left out.
"""

from collections.abc import Collection
from typing import Final

from collector._pages.page import Page
from collector.vendor_exporter.identity import identify, known, with_parts
from collector.vendor_exporter.table import (
    CHIP,
    CORE_CLOCK,
    CORRECTED,
    GENERAL,
    MEGA,
    MEMORY,
    MEMORY_CLOCK,
    METER,
    MIB,
    MILLI,
    NANO,
    PCIE,
    PERCENT,
    UNCORRECTED,
    Codes,
    From,
    Row,
    States,
    Table,
    either,
    starting,
)  # fmt: skip
from watchkeeper.core.records import Labels
from watchkeeper.core.vocabulary import devices
from watchkeeper.core.vocabulary.faults import xid

_BASE_UNITS: Final = ("DCGM_FI_DEV_FB_USED_BYTES", "DCGM_FI_DEV_FB_CAPACITY_BYTES", "DCGM_FI_DEV_SM_CLOCK_HERTZ")
"""names that exist since 4.7"""
_THROTTLES: Final = {
    0x4: "sw_power_cap", 0x8: "hw_slowdown", 0x10: "sync_boost", 0x20: "sw_thermal_slowdown",
    0x40: "hw_thermal_slowdown", 0x80: "hw_power_brake_slowdown",
}  # fmt: skip


def _gpu_util_ratio(value: float, page: Page) -> float:
    """DCGM 4.6 gave the percentage this name; since 4.7 it is a ratio, of a field of its own."""
    return value if any(page.find(name) for name in _BASE_UNITS) else value / 100


def _held_back(mask: float) -> Collection[str]:
    return [reason for bit, reason in _THROTTLES.items() if int(mask) & bit]


def _old_or_new(old: str, factor: float, new: str, *legacy: str) -> tuple[From, ...]:
    return (From(new), *(From(name, factor) for name in (old, *legacy)))


def _throttle(reason: str, old: str, new: str) -> Row:
    return Row(devices.THROTTLE_TIME, (From(new), From(old, NANO)), (("reason", reason),), of_card=True)


def _link_errors(kind: str, *names: str) -> Row:
    return Row(devices.LINK_ERRORS, either(*names), (("link", "nvlink"), ("error.type", kind)), of_card=True)


def _task(name: str) -> Labels:
    return (("hw.gpu.task", name),)


TABLE: Final = Table(
    name="dcgm-exporter",
    title="dcgm-exporter (NVIDIA)",
    vendors=("nvidia",),
    matches=starting("DCGM_FI_", "DCGM_EXP_", "dcgm_gpu_temp", "dcgm_fb_used"),
    reference="https://github.com/NVIDIA/dcgm-exporter, 2.3 to 4.9.0",
    port=9400,
    device=with_parts(
        identify(
            "nvidia",
            id=("UUID", "uuid", "gpu_uuid"),
            name=("gpu", "device"),
            model=("modelName", "model_name"),
            serial=("DCGM_FI_DEV_SERIAL", "DCGM_FI_DEV_GPU_SERIAL"),
            driver=("DCGM_FI_DRIVER_VERSION", "DCGM_FI_SYSTEM_DRIVER_VERSION"),
            firmware=("DCGM_FI_DEV_VBIOS_VERSION",),
            pci=("pci_bus_id",),
        ),
        lambda labels: f"gi{instance}" if (instance := known(labels, ("GPU_I_ID",))) else "",
        profile=("GPU_I_PROFILE",),
    ),
    part_labels=("GPU_I_ID", "GPU_I_PROFILE", "vgpu"),
    rows=(
        Row(
            devices.UTILIZATION,
            (
                From("DCGM_FI_DEV_GPU_UTIL_RATIO", value=_gpu_util_ratio),
                *either("DCGM_FI_DEV_GPU_UTIL", "dcgm_gpu_utilization", scale=PERCENT),
            ),
            GENERAL,
        ),
        Row(
            devices.UTILIZATION,
            _old_or_new("DCGM_FI_DEV_ENC_UTIL", PERCENT, "DCGM_FI_DEV_ENC_UTIL_RATIO", "dcgm_enc_utilization"),
            _task("encoder"),
            of_card=True,
        ),
        Row(
            devices.UTILIZATION,
            _old_or_new("DCGM_FI_DEV_DEC_UTIL", PERCENT, "DCGM_FI_DEV_DEC_UTIL_RATIO", "dcgm_dec_utilization"),
            _task("decoder"),
            of_card=True,
        ),
        Row(devices.COMPUTE_ACTIVE, either("DCGM_FI_PROF_SM_UTIL_RATIO", "DCGM_FI_PROF_SM_ACTIVE")),
        Row(devices.COMPUTE_OCCUPANCY, either("DCGM_FI_PROF_SM_OCCUPANCY_RATIO", "DCGM_FI_PROF_SM_OCCUPANCY")),
        Row(devices.MATRIX_ACTIVE, either("DCGM_FI_PROF_TENSOR_UTIL_RATIO", "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE")),
        *(
            Row(
                devices.PIPE_ACTIVE,
                either(f"DCGM_FI_PROF_{pipe.upper()}_UTIL_RATIO", f"DCGM_FI_PROF_PIPE_{pipe.upper()}_ACTIVE"),
                (("pipe", pipe),),
            )
            for pipe in ("fp64", "fp32", "fp16")
        ),
        Row(devices.MEMORY_BANDWIDTH, either("DCGM_FI_PROF_DRAM_UTIL_RATIO", "DCGM_FI_PROF_DRAM_ACTIVE")),
        Row(
            devices.MEMORY_BUSY,
            _old_or_new(
                "DCGM_FI_DEV_MEM_COPY_UTIL", PERCENT, "DCGM_FI_DEV_MEMORY_UTIL_RATIO", "dcgm_mem_copy_utilization"
            ),
            of_card=True,
        ),
        Row(
            devices.MEMORY_LIMIT,
            (
                From("DCGM_FI_DEV_FB_CAPACITY_BYTES"),
                From("DCGM_FI_DEV_FB_TOTAL", MIB),
                From(
                    "DCGM_FI_DEV_FB_USED_BYTES",
                    plus=("DCGM_FI_DEV_FB_FREE_BYTES",),
                    perhaps=("DCGM_FI_DEV_FB_RESERVED_BYTES",),
                ),
                From("DCGM_FI_DEV_FB_USED", MIB, plus=("DCGM_FI_DEV_FB_FREE",), perhaps=("DCGM_FI_DEV_FB_RESERVED",)),
                From("dcgm_fb_used", MIB, plus=("dcgm_fb_free",)),
            ),
        ),
        Row(
            devices.MEMORY_USAGE,
            _old_or_new("DCGM_FI_DEV_FB_USED", MIB, "DCGM_FI_DEV_FB_USED_BYTES", "dcgm_fb_used"),
        ),
        Row(
            devices.TEMPERATURE,
            either("DCGM_FI_DEV_GPU_TEMP_CELSIUS", "DCGM_FI_DEV_GPU_TEMP", "dcgm_gpu_temp"),
            CHIP,
            of_card=True,
        ),
        Row(
            devices.TEMPERATURE,
            either("DCGM_FI_DEV_MEMORY_TEMP_CELSIUS", "DCGM_FI_DEV_MEMORY_TEMP", "dcgm_memory_temp"),
            MEMORY,
            of_card=True,
        ),
        *(
            Row(
                devices.TEMPERATURE_LIMIT,
                either(f"DCGM_FI_DEV_GPU_TEMP_{kind.upper()}_CELSIUS", f"DCGM_FI_DEV_{kind.upper()}_TEMP"),
                (*CHIP, ("hw.limit_type", kind)),
                of_card=True,
            )
            for kind in ("slowdown", "shutdown")
        ),
        Row(
            devices.POWER,
            either("DCGM_FI_DEV_BOARD_POWER_WATTS", "DCGM_FI_DEV_POWER_USAGE", "dcgm_power_usage"),
            of_card=True,
        ),
        Row(
            devices.POWER_LIMIT,
            either("DCGM_FI_DEV_BOARD_POWER_LIMIT_ENFORCED_WATTS", "DCGM_FI_DEV_ENFORCED_POWER_LIMIT"),
            of_card=True,
        ),
        Row(
            devices.ENERGY,
            _old_or_new(
                "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", MILLI, "DCGM_FI_DEV_GPU_ENERGY_JOULES_TOTAL",
                "dcgm_total_energy_consumption",
            ),
            METER,
            of_card=True,
        ),
        Row(
            devices.CLOCK,
            _old_or_new("DCGM_FI_DEV_SM_CLOCK", MEGA, "DCGM_FI_DEV_SM_CLOCK_HERTZ", "dcgm_sm_clock"),
            CORE_CLOCK,
            of_card=True,
        ),
        Row(
            devices.CLOCK,
            _old_or_new("DCGM_FI_DEV_MEM_CLOCK", MEGA, "DCGM_FI_DEV_MEMORY_CLOCK_HERTZ", "dcgm_memory_clock"),
            MEMORY_CLOCK,
            of_card=True,
        ),
        Row(
            devices.CLOCK_LIMIT,
            _old_or_new("DCGM_FI_DEV_MAX_SM_CLOCK", MEGA, "DCGM_FI_DEV_MAX_SM_CLOCK_HERTZ"),
            CORE_CLOCK,
            of_card=True,
        ),
        _throttle("sw_power_cap", "DCGM_FI_DEV_POWER_VIOLATION", "DCGM_FI_DEV_GPU_POWER_THROTTLE_SECONDS_TOTAL"),
        _throttle("thermal", "DCGM_FI_DEV_THERMAL_VIOLATION", "DCGM_FI_DEV_GPU_THERMAL_THROTTLE_SECONDS_TOTAL"),
        _throttle(
            "sync_boost", "DCGM_FI_DEV_SYNC_BOOST_VIOLATION", "DCGM_FI_DEV_GPU_SYNC_BOOST_THROTTLE_SECONDS_TOTAL"
        ),
        Row(
            devices.ERRORS,
            either("DCGM_FI_DEV_ECC_SBE_VOL_TOTAL", "DCGM_FI_DEV_ECC_SBE_AGG_TOTAL"),
            CORRECTED,
            of_card=True,
        ),
        Row(
            devices.ERRORS,
            either("DCGM_FI_DEV_ECC_DBE_VOL_TOTAL", "DCGM_FI_DEV_ECC_DBE_AGG_TOTAL"),
            UNCORRECTED,
            of_card=True,
        ),
        Row(
            devices.REMAPPED,
            either(
                "DCGM_FI_DEV_ROW_REMAP_CORRECTABLE_TOTAL", "DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS",
                "DCGM_FI_DEV_PAGE_RETIRED_SBE_TOTAL", "DCGM_FI_DEV_RETIRED_SBE",
            ),
            (("error.type", "corrected"),),
            of_card=True,
        ),
        Row(
            devices.REMAPPED,
            either(
                "DCGM_FI_DEV_ROW_REMAP_UNCORRECTABLE_TOTAL", "DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS",
                "DCGM_FI_DEV_PAGE_RETIRED_DBE_TOTAL", "DCGM_FI_DEV_RETIRED_DBE",
            ),
            (("error.type", "uncorrected"),),
            of_card=True,
        ),
        Row(devices.REPAIR_PENDING, either("DCGM_FI_DEV_ROW_REMAP_PENDING"), of_card=True),
        Row(
            devices.REPAIR_FAILED,
            either("DCGM_FI_DEV_ROW_REMAP_FAILED", "DCGM_FI_DEV_ROW_REMAP_FAILURE"),
            of_card=True,
        ),
        Row(
            devices.IO,
            either("DCGM_FI_PROF_PCIE_TX_BYTES_TOTAL"),
            (*PCIE, (devices.DIRECTION, "transmit")),
            of_card=True,
        ),
        Row(
            devices.IO,
            either("DCGM_FI_PROF_PCIE_RX_BYTES_TOTAL"),
            (*PCIE, (devices.DIRECTION, "receive")),
            of_card=True,
        ),
        Row(
            devices.LINK_ERRORS,
            either("DCGM_FI_DEV_PCIE_REPLAY_TOTAL", "DCGM_FI_DEV_PCIE_REPLAY_COUNTER", "dcgm_pcie_replay_counter"),
            (*PCIE, ("error.type", "replay")),
            of_card=True,
        ),
        _link_errors("crc", "DCGM_FI_DEV_NVLINK_CRC_DATA_ERROR_TOTAL", "DCGM_FI_DEV_NVLINK_CRC_DATA_ERROR_COUNT_TOTAL"),
        _link_errors("replay", "DCGM_FI_DEV_NVLINK_REPLAY_ERROR_TOTAL", "DCGM_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL"),
        _link_errors(
            "recovery", "DCGM_FI_DEV_NVLINK_RECOVERY_ERROR_TOTAL", "DCGM_FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_TOTAL"
        ),
        Row(devices.LINK_WIDTH, either("DCGM_FI_DEV_PCIE_LINK_WIDTH"), PCIE, of_card=True),
        Row(devices.LINK_WIDTH_LIMIT, either("DCGM_FI_DEV_PCIE_MAX_LINK_WIDTH"), PCIE, of_card=True),
        Row(devices.LINK_GENERATION, either("DCGM_FI_DEV_PCIE_LINK_GEN"), PCIE, of_card=True),
        Row(devices.LINK_GENERATION_LIMIT, either("DCGM_FI_DEV_PCIE_MAX_LINK_GEN"), PCIE, of_card=True),
    ),
    states=(
        States(
            devices.THROTTLED, devices.REASON, tuple(_THROTTLES.values()),
            ("DCGM_FI_DEV_CLOCKS_EVENT_REASONS", "DCGM_FI_DEV_CLOCK_THROTTLE_REASONS"), _held_back, of_card=True,
        ),
    ),
    codes=(
        Codes(("DCGM_EXP_XID_ERRORS_TOTAL",), xid, total_by=("xid",)),
        Codes(("DCGM_FI_DEV_XID_ERROR", "DCGM_FI_DEV_XID_ERRORS", "dcgm_xid_errors"), xid),
    ),
)  # fmt: skip
