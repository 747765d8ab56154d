"""
CNDev's structures, in version 6 of its interface.

From cndev.h as it comes with Cambricon's mlu-exporter (pkg/cndev/include) and k8s-device-plugin, up to the release with
field values. What is filled in by an older library is the beginning of what stands here. `version` is an input.
"""

import ctypes
from typing import Final

VERSION: Final = 6
RUNNING: Final = 4
"""cndevDriverHealthStateEnum_t"""
WARN, FAIL = 10, 20
"""cndevHealthResult_t"""
XID_EVENT: Final = 1
ALL_EVENTS: Final = 2**64 - 1

_i16, _i32, _i64 = ctypes.c_int16, ctypes.c_int32, ctypes.c_int64
_u8, _u16, _u32, _u64 = ctypes.c_uint8, ctypes.c_uint16, ctypes.c_uint32, ctypes.c_uint64
_char, _bool = ctypes.c_char, ctypes.c_bool


class CardInfo(ctypes.Structure):
    """cndevCardInfo_t"""

    _fields_ = (("version", _i32), ("number", _u32))


class Uuid(ctypes.Structure):
    """cndevUUID_t"""

    _fields_ = (("version", _i32), ("uuid", _char * 37), ("ncs_uuid", _u64))


class CardSn(ctypes.Structure):
    """cndevCardSN_t"""

    _fields_ = (("version", _i32), ("sn", _u64), ("mother_board_sn", _u64))


class Versions(ctypes.Structure):
    """cndevVersionInfo_t"""

    _fields_ = (("version", _i32), ("mcu", _u32 * 3), ("driver", _u32 * 3))


class PcieInfo(ctypes.Structure):
    """cndevPCIeInfoV2_t"""

    _fields_ = (
        ("subsystem_id", _u32), ("device_id", _u32), ("vendor", _u16), ("subsystem_vendor", _u16), ("domain", _u32),
        ("bus", _u32), ("device", _u32), ("function", _u32), ("module_id", _u16), ("slot_id", _u16),
        ("reserved", _u32 * 8),
    )  # fmt: skip


class Incident(ctypes.Structure):
    """cndevIncidentInfo_t, with cndevDiagErrorDetail_t in it"""

    _fields_ = (
        ("system", _i32), ("health", _i32), ("msg", _char * 512), ("device_id", _u32), ("bdf", _u32), ("code", _i32),
        ("category", _u32), ("severity", _u32),
    )  # fmt: skip


class Health(ctypes.Structure):
    """cndevCardHealthStateV2_t"""

    _fields_ = (
        ("health", _i32), ("device_state", _i32), ("driver_state", _i32), ("overall", _i32), ("incident_count", _u32),
        ("incidents", Incident * 64), ("reserved", _u32 * 8),
    )  # fmt: skip


class OldHealth(ctypes.Structure):
    """cndevCardHealthState_t"""

    _fields_ = (("version", _i32), ("health", _i32), ("device_state", _i32), ("driver_state", _i32))


class Utilization(ctypes.Structure):
    """cndevUtilizationInfo_t, percent"""

    _fields_ = (("version", _i32), ("average", _i32), ("cores", _i32 * 80))


class Codec(ctypes.Structure):
    """cndevVideoCodecUtilization_t, percent; older libraries end before the encoders"""

    _fields_ = (
        ("version", _i32), ("count", _i32), ("codecs", _i32 * 20), ("encoder_count", _i32), ("encoders", _i32 * 20),
        ("decoder_count", _i32), ("decoders", _i32 * 20),
    )  # fmt: skip


class Memory(ctypes.Structure):
    """cndevMemoryInfoV2_t, MB (binary)"""

    _fields_ = (
        ("total", _i64), ("used", _i64), ("reserved_memory", _i64), ("virtual_total", _i64), ("virtual_used", _i64),
        ("global_memory", _u64), ("reserved", _u64 * 16),
    )  # fmt: skip


class OldMemory(ctypes.Structure):
    """cndevMemoryInfo_t, MB (binary)"""

    _fields_ = (
        ("version", _i32), ("total", _i64), ("used", _i64), ("virtual_total", _i64), ("virtual_used", _i64),
        ("channel_number", _i64), ("channels", _i64 * 20), ("global_memory", _u64),
    )  # fmt: skip


class Temperature(ctypes.Structure):
    """cndevTemperatureInfo_t, °C"""

    _fields_ = (
        ("version", _i32), ("board", _i32), ("clusters", _i32 * 20), ("memory_dies", _i32 * 8), ("chip", _i32),
        ("air_inlet", _i32), ("air_outlet", _i32), ("memory", _i32), ("video_input", _i32), ("cpu", _i32),
        ("isp", _i32),
    )  # fmt: skip


class Power(ctypes.Structure):
    """cndevDevicePowerInfo_t, W; cndevPowerInfoV2_t begins alike and is as large"""

    _fields_ = (
        ("usage", _i32), ("cap", _i32), ("machine", _i32), ("tdp", _i32), ("max_power", _i32), ("reserved", _i32 * 16),
    )  # fmt: skip


class Frequency(ctypes.Structure):
    """cndevFrequencyInfo_t, MHz"""

    _fields_ = (
        ("version", _i32), ("board", _i32), ("ddr", _i32), ("overtemp_dfs", _u8), ("fast_dfs", _u8),
        ("cluster_count", _u16), ("clusters", _u16 * 20), ("board_default", _i32), ("least", _i32), ("most", _i32),
    )  # fmt: skip


class EccCounter(ctypes.Structure):
    """cndevMemEccCounter_t; `volatile` since the driver was loaded: SRAM SBE, DBE, parity, DRAM SBE, DBE"""

    _fields_ = (
        ("version", _i32), ("volatile", _u32 * 5), ("aggregate", _u64 * 5), ("threshold_exceeded", _bool),
        ("reserved", _u64 * 11),
    )  # fmt: skip


class EccInfo(ctypes.Structure):
    """cndevECCInfo_t"""

    _fields_ = (
        ("version", _i32), ("kinds", _u64 * 4), ("corrected", _u64), ("uncorrected", _u64), ("total", _u64),
        ("address_forbidden", _u64),
    )  # fmt: skip


class RemappedRows(ctypes.Structure):
    """cndevRemappedRowV2_t, and cndevRemappedRow_t, which has pending and failed in place of the histogram"""

    _fields_ = (
        ("version", _i32), ("corrected", _u32), ("uncorrected", _u32), ("pending", _u32), ("failed", _u32),
        ("last", _u32),
    )  # fmt: skip


class Repair(ctypes.Structure):
    """cndevRepairStatus_t"""

    _fields_ = (
        ("version", _i32), ("is_retire_pending", _bool), ("is_pending", _bool), ("is_failure", _bool),
    )  # fmt: skip


class Throttle(ctypes.Structure):
    """cndevPerformanceThrottleReason_t"""

    _fields_ = (
        ("version", _i32), ("tdp", _i32), ("power_setting", _i32), ("clock_setting", _i32),
        ("frequency_locked", _i32), ("power_brake", _i32), ("thermal_slowdown", _i32),
    )  # fmt: skip


class Process(ctypes.Structure):
    """cndevProcessInfo_t, KiB"""

    _fields_ = (("version", _i32), ("pid", _u32), ("physical", _u64), ("virtual", _u64))


class PcieLink(ctypes.Structure):
    """cndevCurrentPCIInfo_t and cndevPCIInfo_t"""

    _fields_ = (("version", _i32), ("speed", _i32), ("width", _i32))


class Counter(ctypes.Structure):
    """cndevPcieReplayCounter_t"""

    _fields_ = (("version", _i32), ("counter", _u32))


class PcieBytes(ctypes.Structure):
    """cndevPCIethroughputV2_t; the totals are since the driver was loaded"""

    _fields_ = (
        ("read", _i64), ("write", _i64), ("read_total", _i64), ("write_total", _i64), ("timestamp", _u64),
        ("reserved", _i64 * 8),
    )  # fmt: skip


class LinkStatus(ctypes.Structure):
    """cndevMLULinkStatusV2_t: 0 is down, unlinked, without a cable"""

    _fields_ = (("mac", _i32), ("serdes", _i32), ("presence", _i32), ("reserved", _u32 * 8))


class LinkCounter(ctypes.Structure):
    """cndevMLULinkCounter_t; older libraries end after `uncorrected`"""

    _fields_ = (
        ("version", _i32), ("read_bytes", _u64), ("read_packages", _u64), ("write_bytes", _u64),
        ("write_packages", _u64), ("replay", _u64), ("fatal", _u64), ("ecc_double", _u64), ("crc24", _u64),
        ("crc32", _u64), ("corrected", _u64), ("uncorrected", _u64), ("rest", _u64 * 7),
    )  # fmt: skip


class LinkErrors(ctypes.Structure):
    """cndevMLULinkErrorCounter_t"""

    _fields_ = (
        ("fec_corrected", _u64), ("fec_uncorrected", _u64), ("rx_bad_fcs", _u64), ("tx_bad_fcs", _u64),
        ("illegal_access", _u64), ("reserved", _u64 * 11),
    )  # fmt: skip


class LinkEvents(ctypes.Structure):
    """cndevMLULinkEventCounter_t"""

    _fields_ = (("link_down", _u64), ("replay", _u64), ("replay_failed", _u64), ("reserved", _u64 * 13))


class Value(ctypes.Union):
    """cndevValue_t, members in the order of cndevFieldValuesTypeNum_t"""

    _fields_ = (
        ("d", ctypes.c_double), ("ui", _u32), ("ul", _u64), ("ull", _u64), ("si", _i32), ("sl", _i64), ("sll", _i64),
    )  # fmt: skip


class FieldValue(ctypes.Structure):
    """cndevFieldValue_t"""

    _fields_ = (
        ("field", _i32), ("ret", _i32), ("value", Value), ("kind", _i32), ("latency", _i64), ("timestamp", _i64),
        ("scope", _u32),
    )  # fmt: skip


class Event(ctypes.Structure):
    """cndevEventData_t"""

    _fields_ = (
        ("version", _u32), ("device", _i32), ("data", _u64), ("kind", _u64), ("timestamp", _u64), ("compute_id", _u32),
        ("instance_id", _u32), ("reserved", _u64 * 8),
    )  # fmt: skip
