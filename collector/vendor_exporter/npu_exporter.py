"""
Huawei's npu-exporter (MindCluster), Ascend 310P, 910 and their successors.

https://gitee.com/ascend/mind-cluster component/npu-exporter, v6 and v7: collector/metrics/collector_for_{npu,hbm,ddr,
hccs,network,vnpu}.go. Everything is a gauge there, also what only grows; every sample has a time of its own. A number
that could not be read is -1 or left out. "MB" is binary; vNPU memory is in KB.
"""

from typing import Final

from collector.vendor_exporter.identity import identify
from collector.vendor_exporter.table import (
    CHIP,
    CORE_CLOCK,
    CORRECTED,
    GENERAL,
    KIB,
    MEGA,
    MEMORY,
    MIB,
    PERCENT,
    UNCORRECTED,
    Codes,
    From,
    Row,
    States,
    Table,
    either,
    health,
    starting,
    unlisted,
)  # fmt: skip
from watchkeeper.core.vocabulary import devices

_CRC: Final = "npu_chip_info_hccs_statistic_info_crc_err_cnt_"

TABLE: Final = Table(
    name="npu-exporter",
    title="npu-exporter (Ascend)",
    vendors=("ascend",),
    matches=starting("npu_chip_", "machine_npu_nums", "npu_exporter_version_info"),
    reference="https://gitee.com/ascend/mind-cluster component/npu-exporter, v6.0 to v7.3",
    port=8082,
    device=identify(
        "ascend", id=("vdie_id",), name=("id", "npuID"), model=("model_name", "name"), serial=("serial_number",),
        pci=("pcie_bus_info",),
    ),
    rows=(
        Row(
            devices.UTILIZATION,
            either("npu_chip_info_overall_utilization", "npu_chip_info_utilization", scale=PERCENT),
            GENERAL,
        ),
        Row(devices.COMPUTE_ACTIVE, either("npu_chip_info_vector_utilization", scale=PERCENT)),
        Row(devices.MATRIX_ACTIVE, either("npu_chip_info_cube_utilization", scale=PERCENT)),
        Row(devices.MEMORY_BANDWIDTH, either("npu_chip_info_hbm_bandwidth_utilization", scale=PERCENT)),
        Row(devices.MEMORY_LIMIT, either("npu_chip_info_hbm_total_memory", "npu_chip_info_total_memory", scale=MIB)),
        Row(
            devices.MEMORY_USAGE,
            either("npu_chip_info_hbm_used_memory", "npu_chip_info_used_memory", scale=MIB),
        ),
        Row(devices.TEMPERATURE, either("npu_chip_info_temperature"), CHIP),
        Row(devices.TEMPERATURE, either("npu_chip_info_hbm_temperature"), MEMORY),
        Row(devices.POWER, either("npu_chip_info_power")),
        Row(devices.CLOCK, either("npu_chip_info_aicore_current_freq", scale=MEGA), CORE_CLOCK),
        Row(
            devices.ERRORS,
            either("npu_chip_info_hbm_ecc_total_single_bit_error_cnt", "npu_chip_info_hbm_ecc_single_bit_error_cnt"),
            CORRECTED,
        ),
        Row(
            devices.ERRORS,
            either("npu_chip_info_hbm_ecc_total_double_bit_error_cnt", "npu_chip_info_hbm_ecc_double_bit_error_cnt"),
            UNCORRECTED,
        ),
        Row(
            devices.REMAPPED,
            either("npu_chip_info_hbm_ecc_single_bit_isolated_pages_cnt"),
            (("error.type", "corrected"),),
        ),
        Row(
            devices.REMAPPED,
            either("npu_chip_info_hbm_ecc_double_bit_isolated_pages_cnt"),
            (("error.type", "uncorrected"),),
        ),
        Row(
            devices.LINK_ERRORS,
            (From(f"{_CRC}1", perhaps=tuple(f"{_CRC}{link}" for link in range(2, 8))),),
            (("link", "hccs"), ("error.type", "crc")),
        ),
        Row(devices.PROCESSES, either("npu_chip_info_process_info_num")),
        Row(devices.PROCESS_MEMORY, either("vnpu_pod_used_memory", scale=KIB), by_holder=True),
    ),
    states=(
        health("npu_chip_info_health_status", states={1: "ok", 0: "failed"}),
        States(
            devices.LINKS, "hw.state", ("up", "down"), ("npu_chip_info_link_status",),
            lambda value: ("up",) if value == 1 else ("down",), (("link", "nic"),),
        ),
    ),
    codes=(
        Codes(
            ("npu_chip_info_error_code", *(f"npu_chip_info_error_code_{index}" for index in range(1, 10))), unlisted,
            spelled=lambda value: f"{int(value):08X}",
        ),
    ),
)  # fmt: skip
