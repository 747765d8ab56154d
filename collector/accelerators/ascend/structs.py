"""
DCMI's structures and the numbers of its enumerations.

From dcmi_interface_api.h as it comes with Ascend's mind-cluster (component/ascend-common/devmanager/dcmi) and, for the
enumerations, with the open Ascend driver. Where the two differ (dcmi_ecc_info ends two numbers earlier in the driver's)
the longer one stands here, so that no library writes past the end.
"""

import ctypes
from typing import Final

MOST_CARDS: Final = 64
MOST_CODES: Final = 128
MOST_PROCESSES: Final = 32
ROOM_PROCESSES: Final = 256
"""the call is not told how much room there is"""
HCCS_PORTS: Final = 16
VDIE: Final = 1
NPU: Final = 0
DDR, HBM = 0, 2
"""enum dcmi_device_type, whose errors are asked for"""
CORE, CORE_RATED = 7, 9
"""enum dcmi_freq_type"""
UTIL_AICORE, UTIL_DDR_BANDWIDTH, UTIL_VECTOR, UTIL_NPU, UTIL_CUBE = 2, 5, 12, 13, 14
HCCS_COMMAND: Final = 16
HCCS_COUNTS, HCCS_COUNTS_U64 = 3, 5
"""sub-commands of HCCS_COMMAND"""

_u8, _u32, _u64, _i32, _ulong = ctypes.c_ubyte, ctypes.c_uint32, ctypes.c_uint64, ctypes.c_int32, ctypes.c_ulong
_char = ctypes.c_char


class ChipInfo(ctypes.Structure):
    """struct dcmi_chip_info_v2; its first 100 bytes are struct dcmi_chip_info."""

    _fields_ = (
        ("chip_type", _char * 32), ("chip_name", _char * 32), ("chip_ver", _char * 32), ("aicore_cnt", _u32),
        ("npu_name", _char * 32),
    )  # fmt: skip


class PcieInfo(ctypes.Structure):
    """struct dcmi_pcie_info_all"""

    _fields_ = (
        ("venderid", _u32), ("subvenderid", _u32), ("deviceid", _u32), ("subdeviceid", _u32), ("domain", _i32),
        ("bus", _u32), ("device", _u32), ("function", _u32), ("reserve", _u8 * 32),
    )  # fmt: skip


class DieId(ctypes.Structure):
    """struct dcmi_die_id"""

    _fields_ = (("soc_die", _u32 * 5),)


class EccInfo(ctypes.Structure):
    """struct dcmi_ecc_info; counts of errors since the start, of the whole life, and of pages taken out of use."""

    _fields_ = (
        ("enable_flag", _i32), ("single_bit", _u32), ("double_bit", _u32), ("total_single_bit", _u32),
        ("total_double_bit", _u32), ("single_bit_isolated_pages", _u32), ("double_bit_isolated_pages", _u32),
        ("single_bit_next_isolated_pages", _u32), ("double_bit_next_isolated_pages", _u32),
    )  # fmt: skip


class HbmInfo(ctypes.Structure):
    """struct dcmi_hbm_info: MB (binary), MHz, MB, °C, percent."""

    _fields_ = (
        ("memory_size", _u64), ("freq", _u32), ("memory_usage", _u64), ("temp", _i32), ("bandwidth_util_rate", _u32),
    )  # fmt: skip


class MemoryInfo(ctypes.Structure):
    """struct dcmi_get_memory_info_stru: MB (binary), MHz, KB, percent."""

    _fields_ = (
        ("memory_size", _u64), ("memory_available", _u64), ("freq", _u32), ("hugepagesize", _ulong),
        ("hugepages_total", _ulong), ("hugepages_free", _ulong), ("utiliza", _u32), ("reserve", _u8 * 60),
    )  # fmt: skip


class Utilization(ctypes.Structure):
    """struct dcmi_multi_utilization_info, percent."""

    _fields_ = (
        ("aic_util", _u32), ("aiv_util", _u32), ("aicore_util", _u32), ("npu_util", _u32), ("reserved", _u32 * 8),
    )  # fmt: skip


class ProcessMemory(ctypes.Structure):
    """struct dcmi_proc_mem_info, bytes."""

    _fields_ = (("proc_id", _i32), ("proc_mem_usage", _ulong))


class Elabel(ctypes.Structure):
    """struct dcmi_elabel_info"""

    _fields_ = tuple(
        (name, _char * 256) for name in ("product_name", "model", "manufacturer", "manufacturer_date", "serial_number")
    )


class HccsCounts(ctypes.Structure):
    """struct dcmi_hccs_statistic_info, by port."""

    _fields_ = (
        ("tx_cnt", _u32 * 16), ("rx_cnt", _u32 * 16), ("crc_err_cnt", _u32 * 16), ("retry_cnt", _u32 * 16),
        ("reserved", _u32 * 64),
    )  # fmt: skip


class HccsCountsU64(ctypes.Structure):
    """struct dcmi_hccs_statistic_info_u64, by port."""

    _fields_ = (
        ("tx_cnt", _u64 * 16), ("rx_cnt", _u64 * 16), ("crc_err_cnt", _u64 * 16), ("retry_cnt", _u64 * 16),
        ("reserved", _u64 * 64),
    )  # fmt: skip
