"""
Cambricon's mlu-exporter with the prefix `mlu` and the names of its examples/metrics.yaml, both as its Kubernetes
manifests set them; a list with other names is not known.

https://github.com/Cambricon/mlu-exporter v2.3.0: examples/metrics.yaml, pkg/collector/keys.go
"""

from typing import Final

from collector._pages.labels import Fold
from collector.vendor_exporter.identity import identify, known, with_parts
from collector.vendor_exporter.table import (
    BOARD,
    CHIP,
    CORE_CLOCK,
    CORRECTED,
    GENERAL,
    MEGA,
    MEMORY,
    PCIE,
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

_LINK: Final = (("link", "mlulink"),)


def _link_errors(kind: str, family: str, *perhaps: str) -> Row:
    return Row(devices.LINK_ERRORS, (From(family, fold=Fold.SUM, perhaps=perhaps),), (*_LINK, ("error.type", kind)))


TABLE: Final = Table(
    name="mlu-exporter",
    title="mlu-exporter (Cambricon)",
    vendors=("cambricon",),
    matches=starting("mlu_"),
    reference="https://github.com/Cambricon/mlu-exporter v2.3.0",
    port=30108,
    device=with_parts(
        identify(
            "cambricon", id=("uuid",), name=("mlu",), model=("model", "type"), serial=("sn",), driver=("driver",),
            firmware=("mcu",),
        ),
        lambda labels: f"vf{function}" if (function := known(labels, ("vf",))) else "",
    ),
    part_labels=("vf",),
    placed_by=("mlu_container", "mlu_allocated"),
    rows=(
        Row(devices.UTILIZATION, either("mlu_utilization", scale=PERCENT), GENERAL),
        Row(devices.MATRIX_ACTIVE, either("mlu_tensor_util", "mlu_mpm_tensor_utilization", scale=PERCENT)),
        Row(devices.MEMORY_LIMIT, either("mlu_memory_total")),
        Row(devices.MEMORY_USAGE, either("mlu_memory_used")),
        Row(devices.TEMPERATURE, either("mlu_chip_temperature"), CHIP),
        Row(devices.TEMPERATURE, either("mlu_memory_temperature"), MEMORY),
        Row(devices.TEMPERATURE, either("mlu_temperature"), BOARD),
        Row(devices.POWER, either("mlu_power_usage")),
        Row(devices.POWER_LIMIT, either("mlu_power_current_limit")),
        Row(devices.CLOCK, either("mlu_frequency", scale=MEGA), CORE_CLOCK),
        Row(
            devices.ERRORS,
            either("mlu_aggr_dram_ecc_sbe_count", "mlu_dram_ecc_sbe_count", "mlu_ecc_corrected_error_total"),
            CORRECTED,
        ),
        Row(
            devices.ERRORS,
            either("mlu_aggr_dram_ecc_dbe_count", "mlu_dram_ecc_dbe_count", "mlu_ecc_uncorrected_error_total"),
            UNCORRECTED,
        ),
        Row(
            devices.REMAPPED,
            either("mlu_remapped_correct_rows", "mlu_single_bit_retired_page_count"),
            (("error.type", "corrected"),),
        ),
        Row(
            devices.REMAPPED,
            either("mlu_remapped_uncorrect_rows", "mlu_double_bit_retired_page_count"),
            (("error.type", "uncorrected"),),
        ),
        Row(devices.REPAIR_PENDING, either("mlu_repair_pending")),
        Row(devices.REPAIR_FAILED, either("mlu_repair_failure")),
        Row(
            devices.IO,
            (From("mlu_mlulink_cntr_read_byte_total", fold=Fold.SUM),),
            (*_LINK, (devices.DIRECTION, "receive")),
        ),
        Row(
            devices.IO,
            (From("mlu_mlulink_cntr_write_byte_total", fold=Fold.SUM),),
            (*_LINK, (devices.DIRECTION, "transmit")),
        ),
        _link_errors("crc", "mlu_mlulink_err_crc32_total", "mlu_mlulink_err_crc24_total"),
        _link_errors("replay", "mlu_mlulink_err_replay_total"),
        _link_errors("fatal", "mlu_mlulink_err_fatal_total"),
        Row(devices.LINK_ERRORS, either("mlu_pcie_replay_count"), (*PCIE, ("error.type", "replay"))),
        Row(devices.LINK_WIDTH, either("mlu_pcie_current_width"), PCIE),
        Row(devices.LINK_WIDTH_LIMIT, either("mlu_pcie_max_width"), PCIE),
    ),
    states=(
        health("mlu_health", states={1: "ok", 0: "failed"}),
        States(
            devices.LINKS, "hw.state", ("up", "down"), ("mlu_mlulink_status",),
            lambda value: ("up",) if value == 1 else ("down",), _LINK,
        ),
    ),
    codes=(Codes(("mlu_xid_error_count",), unlisted, total_by=("xid_base_10", "xid")),),
)  # fmt: skip
