"""What accelerators report of themselves as events: classes, severities, and what is known of each vendor's codes."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import msgspec

from watchkeeper.core.records import Severity


class FaultClass(StrEnum):
    """What has suffered."""

    APPLICATION = "application"
    """most often the workload's own mistake: the device stays in use"""
    MEMORY = "memory"
    LINK = "link"
    """NVLink, HCCS, xGMI ...: between accelerators"""
    BUS = "bus"
    """PCIe, or gone from it"""
    ENGINE = "engine"
    FIRMWARE = "firmware"
    POWER = "power"
    SECURITY = "security"
    OTHER = "other"


class KnownFault(msgspec.Struct, frozen=True):
    """A row of a vendor's table. `action` is the first thing that a person on call does."""

    code: str
    text: str
    fault_class: FaultClass
    severity: Severity
    action: str


_INFO, _WARNING, _CRITICAL = Severity.INFO, Severity.WARNING, Severity.CRITICAL
_APPLICATION, _MEMORY, _LINK, _BUS = FaultClass.APPLICATION, FaultClass.MEMORY, FaultClass.LINK, FaultClass.BUS
_ENGINE, _FIRMWARE, _POWER = FaultClass.ENGINE, FaultClass.FIRMWARE, FaultClass.POWER
_SECURITY, _OTHER = FaultClass.SECURITY, FaultClass.OTHER

_RESTART: Final = "restart the application"
_DIAGNOSE: Final = "look at the application first; if it returns with other jobs on this GPU, run diagnostics"
_RESET: Final = "drain the node and reset the GPU"
_RESET_ANY: Final = "drain the node and reset the device; repeated: hardware"
_REPORT: Final = "report it to the vendor if it returns"
_LINK_LINE: Final = "read in the kernel log whether it is fatal; if so, drain the node and reset the GPU"

_XIDS: Final = (
    ("13", "graphics engine exception", _APPLICATION, _INFO, _DIAGNOSE),
    ("31", "GPU memory page fault", _APPLICATION, _INFO, _DIAGNOSE),
    ("32", "invalid push buffer", _APPLICATION, _INFO, _RESTART),
    ("38", "driver firmware error", _FIRMWARE, _WARNING, _REPORT),
    ("43", "GPU stopped processing a channel", _APPLICATION, _INFO, _RESTART),
    ("44", "fault during a context switch", _ENGINE, _WARNING, _REPORT),
    ("45", "pre-emptive cleanup", _APPLICATION, _INFO, "follow the fault beside it; alone: check the fabric manager"),
    ("46", "GPU stopped processing", _ENGINE, _CRITICAL, _RESET),
    ("48", "double-bit ECC error", _MEMORY, _CRITICAL, "drain the node, reset the GPU, look for 63, 64, 94, 95 beside"),
    ("54", "auxiliary power not connected", _POWER, _CRITICAL, "check the power cables"),
    ("62", "internal micro-controller halt", _FIRMWARE, _CRITICAL, _RESET),
    ("63", "memory row remapping recorded", _MEMORY, _WARNING, "reset the GPU in the next maintenance window"),
    ("64", "memory row remapping failed", _MEMORY, _CRITICAL, "reset the GPU; if it stays, replace it"),
    ("68", "video decoder exception", _APPLICATION, _INFO, _RESTART),
    ("69", "graphics engine class error", _APPLICATION, _INFO, _RESTART),
    ("74", "NVLink error", _LINK, _CRITICAL, "look at the link's error counters, reset the GPU; repeated: hardware"),
    ("78", "vGPU start error", _OTHER, _WARNING, "align the driver of host and guest"),
    ("79", "GPU has fallen off the bus", _BUS, _CRITICAL, "drain and reboot the node; repeated: power, PCIe, hardware"),
    ("92", "high rate of single-bit ECC errors", _MEMORY, _WARNING, "watch it and plan a replacement"),
    ("93", "InfoROM wear limit", _FIRMWARE, _WARNING, _REPORT),
    ("94", "contained memory error", _MEMORY, _WARNING, "restart the application; reset the GPU when convenient"),
    ("95", "uncontained memory error", _MEMORY, _CRITICAL, "drain the node at once and reset the GPU"),
    ("109", "context switch timed out", _ENGINE, _CRITICAL, _RESET),
    ("110", "security fault", _SECURITY, _CRITICAL, "reset the GPU and investigate"),
    ("119", "GSP did not answer", _FIRMWARE, _CRITICAL, "reset the GPU; repeated: update driver and firmware"),
    ("120", "GSP error", _FIRMWARE, _CRITICAL, "reset the GPU; repeated: update driver and firmware"),
    ("121", "chip-to-chip link error", _LINK, _WARNING, "watch it; repeated: support"),
    ("136", "link training failed", _LINK, _CRITICAL, "reset the GPU and check the link"),
    ("137", "NVLink privilege error", _LINK, _INFO, "look at the application and the peer device"),
    ("140", "unrecovered ECC error", _MEMORY, _CRITICAL, _RESET),
    ("143", "GPU initialisation error", _ENGINE, _CRITICAL, _RESET),
    ("144", "NVLink SAW error", _LINK, _CRITICAL, _LINK_LINE),
    ("145", "NVLink RLW error", _LINK, _CRITICAL, _LINK_LINE),
    ("146", "NVLink TLW error", _LINK, _CRITICAL, _LINK_LINE),
    ("147", "NVLink TREX error", _LINK, _CRITICAL, _LINK_LINE),
    ("148", "NVLink NVLPW_CTRL error", _LINK, _CRITICAL, _LINK_LINE),
    ("149", "NVLink NETIR error", _LINK, _CRITICAL, _LINK_LINE),
    ("150", "NVLink MSE error", _LINK, _CRITICAL, _LINK_LINE),
    ("151", "key rotation error", _SECURITY, _CRITICAL, "restart the virtual machine"),
    ("154", "recovery action changed", _OTHER, _INFO, "do what watchkeeper.device.recovery_action asks for"),
    ("155", "NVLink software-defined error", _LINK, _CRITICAL, _RESET),
    ("156", "resource retirement", _MEMORY, _CRITICAL, _RESET),
    ("157", "resource retirement failed", _MEMORY, _CRITICAL, "call support"),
    ("158", "GPU fatal timeout", _ENGINE, _CRITICAL, _RESET),
    ("160", "channel retired", _MEMORY, _WARNING, _REPORT),
    ("161", "channel retirement failed", _MEMORY, _WARNING, _REPORT),
    ("162", "power smoothing: circuitry degraded", _POWER, _WARNING, "none yet"),
    ("163", "power smoothing: circuitry restored", _POWER, _WARNING, "none yet"),
    ("164", "power smoothing: lifetime low", _POWER, _WARNING, "report it to the vendor"),
    ("165", "power smoothing: lifetime at its end", _POWER, _WARNING, "report it to the vendor"),
    ("167", "PCIe fatal timeout", _BUS, _CRITICAL, "reboot the node; check the hardware"),
    ("168", "error in protected memory", _MEMORY, _CRITICAL, _RESET),
    ("169", "micro-controller halt", _FIRMWARE, _CRITICAL, _RESET),
    ("171", "detail of a 48: DRAM", _MEMORY, _INFO, "belongs to the 48 beside it"),
    ("172", "detail of a 48: SRAM", _MEMORY, _INFO, "belongs to the 48 beside it"),
)  # fmt: skip

XIDS: Final = MappingProxyType(
    {code: KnownFault(code, text, kind, severity, action) for code, text, kind, severity, action in _XIDS}
)
"""NVIDIA's, by number as text. Codes from 162 on have no action by the vendor yet: these are suggestions."""


def xid(code: str) -> KnownFault:
    """The row of a code, or for one that nobody knows, a warning of class other."""
    return XIDS.get(code) or KnownFault(code, "unknown XID", _OTHER, _WARNING, "look it up in the vendor's catalogue")


_REPLACE: Final = "stop giving it work; replace the NPU"
_RESET_NPU: Final = "drain the node and reset the NPU"
_GRADES: Final = (
    ("NotHandle", _INFO, "none: the vendor's plugin leaves it alone"),
    ("SubHealth", _WARNING, "watch it; move long jobs elsewhere"),
    ("RestartRequest", _WARNING, "send the request again; if it returns, restart the application"),
    ("RestartBusiness", _WARNING, _RESTART),
    ("FreeRestartNPU", _WARNING, "reset the NPU once it is free, then restart the application"),
    ("RestartNPU", _CRITICAL, _RESET_NPU),
    ("SeparateNPU", _CRITICAL, _REPLACE),
)
"""what Ascend's device plugin does about a fault, mildest first"""
_GRADED: Final = {
    "NotHandle": """
        80E21007 80E38003 80F78006 80C98006 80CB8006 81318006 80A18006 80A18005 80FB8000 8C1F8609 80CD8006 80CD8003
        80A38006 80A38003 80A58006 80A58003 80DE1805 80F18006 80F18003 80DF8006 80E01805 80E18400 80E01809 80E18401
        80E00209 80F38006 80F38003 80E18006 80D38009 819B800D 80DD8008 80DD8007 80B98006 80BD8006 819B8006 80DE1803
        819D8000 81998006 81978006 81978004 815F8006 815F8004 81338006 81338004 817F8006 817F8004 816F8006 816F8004
        814F8006 814F8004 81938006 81938004 81478006 81478004 813B8006 813B8004 81578006 81578004 81958006 81958004
        81078603 8C2FA009 A4025021 A60250C1 A4025081 A214000D A414000D A4028801 A4025101 A2140007 A4140007 A2140008
        A4140008 A40250E1 A214000A A414000A A4025061 A4025041 A214000B A414000B A414000C A2140009 A4140009 A4303002
        80B78006 80B78005 80E1800F 80DE0200 814D8006 8C1F860B 8C1F8608 4C1F8608 819B8003 80DF8401 80DF8400 80818200
        80818201 80818202 80818203 80818204 80818205 80F38009
    """,
    "SubHealth": "81A3880C 81AD8605 80E20207 81078605 80DE0207 8C2FA001 819B8605 80818C06 8C1F860A 80E18405",
    "RestartRequest": """
        80C98008 80C98002 80C98003 80C98009 80CB8002 80CB8008 80CB8009 80CF8003 81318008 80D58000 80D58009 80D98008
        80DB800A 80DB8000 80DD8000 80DD8003 80C98000 81AB800D 81AB8003 80BD8000 80BB8009 80BD8003 80BD8009 80BB8000
        80BB8003 80BB8008 80BB800A 81AB8008 80C9800A 80CB800A
    """,
    "RestartBusiness": """
        8C204E00 A8028802 A4302003 A4302004 A4302005 A4302006 A4302009 A430200A A6301002 B4060011 B406009C B4060008
        B4060009 B406000E A60250A1 A2301001 A2301002 A2303001 B4060006 B4060007 B406000D B4060014 B4060010 80E01801
        81B38009 81B38004
    """,
    "FreeRestartNPU": """
        8C0E4E00 8C104E00 8C0C4E00 8C044E00 8C064E00 8C17A005 8C1DA005 8C19A005 8C0A4E00 8C084E00 A4193217 A4193218
        A42A0000 A42F3917 A42F3918 8C464E00 8C124E00
    """,
    "RestartNPU": """
        8C03A000 8C1FA006 40F84E00 80E24E00 80E21E01 80E38008 80E3A202 80E3A203 80E39200 819B800A 80E2120D 80E78000
        80E78008 80FA4E00 812E4E00 80C78008 80F78009 80F78008 80F78003 80E18404 80FB8005 80A18008 80CD8008 80A38008
        80A58008 80DE1801 80F18008 80F18000 80F1800A 80CF8000 80DF8000 80DF8009 80DF8008 80DF800A 80F38008 80F2180D
        80E18005 80E18008 80E1800A 812F8000 80B98000 80B98008 80BD8008 80CB8001 81998009 81998008 81978008 815F8008
        81338008 817F8008 81478008 813B8008 81578008 81958008 A2141004 A2141006 A2142004 A2142006 A2145004 A4183200
        A6023001 A6023002 A6023003 A6023004 A6060000 A6060001 A6060002 A6060003 A6060004 A6060005 A606000A A606000B
        A606000C A606000F A606009D A6060FFF A607FFFF A6140001 A6140002 A6140003 A6140004 A6140005 A6140006 A6141003
        A6142003 A6143003 A6144003 A6145003 A6192D15 A6193206 A6193215 A6193248 A62F3905 A62FFFFF A6303003 A6303004
        A6360000 A6361000 A6362000 A8021004 A8060FFF A807FFFF A82A0000 80B78000 80B58000 81498004 80F78C02 80F78C03
        80F78C04 81B38008 80E18000 80E21008 80C98001 80E58005 80E58009 80E58E02 80E58E03 816F8008 814F8008 81938008
        80E44E00 80CF8009 80CF8008 813B8002 81338002 81578002 81958002 81938002 81478002 81978002 815F8002 81C9800A
        81C7800A 81C5800A 813F800A 8139800A 8145800A 8C4BA00C 80E3A207
    """,
    "SeparateNPU": """
        80E3A201 80E18402 80E0020B 817F8002 816F8002 814F8002 9419321B A2301000 A2301001 A2302001 A4192C1A A4193216
        A419321B A419321C A42F390F A42F3916 A42F391A A6183207 A62F3934 A8028801 A819320F A8193234 A8193235 80818C00
        80818C05 80DF8402 4C4BA00C
    """,
}  # fmt: skip
_DCMI_NAMED: Final = (
    ("40F84E00", "the NPU has dropped off the bus or does not get ready", _BUS, _CRITICAL, _RESET_NPU),
    ("80FA4E00", "the NPU's system has stopped", _FIRMWARE, _CRITICAL, _RESET_NPU),
    ("81078603", "the network port is down or its peer out of reach", _LINK, _WARNING, "check module, cable, switch"),
    ("80E01801", "multi-bit ECC error in HBM", _MEMORY, _WARNING, "restart the application; if it returns, test HBM"),
    ("80E01809", "multi-bit ECC error found by HBM's patrol", _MEMORY, _INFO, "watch it; if it returns, test HBM"),
    ("80E18402", "multi-bit ECC errors in HBM, no row left to isolate", _MEMORY, _CRITICAL, _REPLACE),
    ("80CB8009", "bus error of a vector core", _ENGINE, _WARNING, "restart the application; if it returns, test cores"),
    ("80CB800A", "timeout of a vector core", _ENGINE, _WARNING, "restart the application; if it returns, test cores"),
    ("80C98000", "instructions of an AI core are damaged", _ENGINE, _WARNING, "restart it; if it returns, test cores"),
)
_DCMI_CLASSES: Final = {
    "80E0": _MEMORY, "80E1": _MEMORY, "A402880": _MEMORY, "A802880": _MEMORY, "80C9": _ENGINE, "80CB": _ENGINE,
    "8107": _LINK,
}  # fmt: skip
"""how codes of a module begin, as far as it is known which; the vendor publishes names by product, not for all"""


def _dcmi_class(code: str) -> FaultClass:
    return next((kind for start, kind in _DCMI_CLASSES.items() if code.startswith(start)), _OTHER)


DCMI_FAULTS: Final = MappingProxyType(
    {
        code: KnownFault(code, f"graded {grade} by the vendor", _dcmi_class(code), severity, action)
        for grade, severity, action in _GRADES
        for code in _GRADED[grade].split()
    }
    | {row[0]: KnownFault(*row) for row in _DCMI_NAMED}
)
"""
Ascend's, by code in hexadecimal. Grades from component/ascend-device-plugin/build/faultCode.json of mind-cluster; of a
code with two grades the graver. At run time the driver's own words for a code stand in place of the text.
"""


def dcmi_fault(code: str) -> KnownFault:
    """The row of a code, or for one that nobody has graded, a warning."""
    return DCMI_FAULTS.get(code) or KnownFault(
        code, "ungraded fault", _dcmi_class(code), _WARNING, "look it up in Health Management Fault Definitions"
    )


_RESET_MLU: Final = "drain the node and reset the MLU"
_MLU_XIDS: Final = (
    ("1", "general application fault", _APPLICATION, _INFO, _RESTART),
    ("2", "internal micro-controller error", _FIRMWARE, _CRITICAL, _RESET_MLU),
    ("3", "memory ECC error", _MEMORY, _WARNING, "watch it and plan a replacement"),
    ("4", "communication with the device failed", _FIRMWARE, _CRITICAL, _RESET_MLU),
    ("5", "access to memory that is not the application's", _APPLICATION, _INFO, _RESTART),
    ("6", "CRC error between dies", _LINK, _WARNING, _REPORT),
    ("7", "MLU-Link error", _LINK, _CRITICAL, "look at the link's error counters, reset the MLU; repeated: hardware"),
    ("8", "memory error", _MEMORY, _CRITICAL, _RESET_MLU),
    ("9", "over-temperature", _POWER, _CRITICAL, "move its load away; check fans, airflow and cooling"),
    ("10", "halted before", _FIRMWARE, _WARNING, _REPORT),
    ("11", "PCIe replay", _BUS, _WARNING, "watch it; repeated: check slot and link"),
    ("12", "heartbeat lost", _FIRMWARE, _CRITICAL, _RESET_MLU),
    ("13", "page retired or row remapped", _MEMORY, _WARNING, "reset the MLU in the next maintenance window"),
    ("14", "MLU has fallen off the bus", _BUS, _CRITICAL, "drain and reboot the node; repeated: power, PCIe, hardware"),
    ("15", "double-bit ECC error", _MEMORY, _CRITICAL, _RESET_MLU),
    ("16", "DMA fault", _BUS, _CRITICAL, _RESET_MLU),
    ("17", "core dump of a unit", _APPLICATION, _INFO, _RESTART),
    ("18", "device memory management error", _APPLICATION, _INFO, _RESTART),
    ("19", "MLU-Link replay", _LINK, _WARNING, "watch the link's error counters"),
    ("20", "core reset failed", _ENGINE, _CRITICAL, _RESET_MLU),
    ("21", "PCIe link error", _BUS, _CRITICAL, "drain the node; check slot and link"),
    ("22", "PCIe address error", _BUS, _CRITICAL, _RESET_MLU),
    ("23", "on-chip bus error", _ENGINE, _CRITICAL, _RESET_MLU),
    ("24", "device system error", _FIRMWARE, _CRITICAL, _RESET_MLU),
    ("25", "no page address left for repair", _MEMORY, _CRITICAL, "replace the MLU"),
    ("26", "no page left for retirement", _MEMORY, _CRITICAL, "replace the MLU"),
    ("27", "MLU-Link lost its clock", _LINK, _CRITICAL, "check cables; repeated: hardware"),
    ("28", "MLU-Link: many local faults", _LINK, _CRITICAL, "check cables; repeated: hardware"),
    ("29", "MLU-Link: many remote faults", _LINK, _CRITICAL, "check cables and the peer"),
    ("30", "MLU-Link: fatal local fault", _LINK, _CRITICAL, "check cables; repeated: hardware"),
    ("31", "MLU-Link: fatal remote fault", _LINK, _CRITICAL, "check cables and the peer"),
)  # fmt: skip
MLU_XIDS: Final = MappingProxyType({row[0]: KnownFault(*row) for row in _MLU_XIDS})
"""Cambricon's, by number as text: cndevXidEnum_t. Newer drivers send codes of 64 bits, of which there is no list."""


def mlu_xid(number: int) -> KnownFault:
    """The row of an event's number; one that nobody knows is spelled in hexadecimal, as Cambricon's tools do."""
    return MLU_XIDS.get(str(number)) or KnownFault(
        f"0x{number:016x}", "unknown XID", _OTHER, _WARNING, "look it up in the vendor's list"
    )


_INCIDENTS: Final = (
    ("UNKNOWN", _OTHER), ("INTERNAL", _FIRMWARE), ("XID_ERROR", _OTHER), ("PCIE_REPLAY_RATE", _BUS),
    ("PCIE_GENERATION", _BUS), ("PCIE_WIDTH", _BUS), ("LOW_BANDWIDTH", _BUS), ("HIGH_LATENCY", _BUS),
    ("MLULINK_DOWN", _LINK), ("MLULINK_REPLAY", _LINK), ("MLULINK_ERROR_THRESHOLD", _LINK),
    ("MLULINK_CRC_ERROR_THRESHOLD", _LINK), ("DIE2DIE_CRC_ERROR_THRESHOLD", _LINK), ("SBE_VIOLATION", _MEMORY),
    ("DBE_VIOLATION", _MEMORY), ("SBE_THRESHOLD_VIOLATION", _MEMORY), ("DBE_THRESHOLD_VIOLATION", _MEMORY),
    ("ROW_REMAP_FAILURE", _MEMORY), ("PENDING_ROW_REMAP", _MEMORY), ("ADDRESSSWAP_FAILURE", _MEMORY),
    ("PENDING_ADDRESSSWAP", _MEMORY), ("REPAIR_FAILURE", _MEMORY), ("PENDING_PAGE_REPAIR", _MEMORY),
    ("PENDING_PAGE_RETIREMENTS", _MEMORY), ("PAGE_REPAIR_RESOURCE_THRESHOLD", _MEMORY), ("TEMP_VIOLATION", _POWER),
    ("THERMAL_VIOLATION", _POWER), ("DEVICE_COUNT_MISMATCH", _BUS), ("DRIVER_ERROR", _FIRMWARE),
    ("DEVSYS_ERROR", _FIRMWARE),
)  # fmt: skip
"""cndevHealthError_t without CNDEV_FR_, from 1 on"""
MLU_INCIDENTS: Final = MappingProxyType(
    {number: (f"FR_{name}", kind) for number, (name, kind) in enumerate(_INCIDENTS, start=1)}
)


def mlu_incident(number: int, is_failure: bool) -> KnownFault:
    """What the health check of an MLU found; whether it is a failure or a warning it says itself."""
    code, kind = MLU_INCIDENTS.get(number, (f"FR_{number}", _OTHER))
    text = code.removeprefix("FR_").replace("_", " ").lower()
    if is_failure:
        return KnownFault(code, text, kind, _CRITICAL, _RESET_MLU)
    return KnownFault(code, text, kind, _WARNING, "look at the device's counters; plan a reset")


AMD_EVENTS: Final = MappingProxyType(
    {
        1: KnownFault("vm_fault", "GPU memory page fault", _APPLICATION, _INFO, _DIAGNOSE),
        2: KnownFault("thermal_throttle", "clocks lowered because of heat", _POWER, _WARNING, "check its cooling"),
        3: KnownFault("gpu_pre_reset", "the driver resets the GPU", _ENGINE, _CRITICAL, "look into the kernel log why"),
        4: KnownFault("gpu_post_reset", "the GPU was reset", _ENGINE, _INFO, "restart what ran on it"),
    }
)
"""AMD's, by the event's number. Those beyond 4 tell of processes and queues, and differ between releases."""

GAUDI_EVENTS: Final = MappingProxyType(
    {
        0x01: KnownFault("ecc_uncorrected", "double-bit ECC error", _MEMORY, _CRITICAL, _RESET_ANY),
        0x02: KnownFault("critical", "critical error: the device stops or resets", _ENGINE, _CRITICAL, _RESET_ANY),
        0x08: KnownFault("dram_uncorrected", "double-bit error in its memory", _MEMORY, _CRITICAL, _RESET_ANY),
        0x10: KnownFault("ecc_corrected", "single-bit ECC error", _MEMORY, _INFO, "watch its rate"),
        0x20: KnownFault("dram_corrected", "single-bit error in its memory", _MEMORY, _INFO, "watch its rate"),
    }
)
"""Intel Gaudi's, by bit. A change of its clock (4) is no fault."""

TABLES: Final[Mapping[str, Mapping[str, KnownFault]]] = MappingProxyType(
    {
        "nvidia": XIDS,
        "ascend": DCMI_FAULTS,
        "cambricon": {
            **MLU_XIDS, **{code: mlu_incident(number, is_failure=False) for number, (code, _) in MLU_INCIDENTS.items()}
        },
        "amd": {fault.code: fault for fault in AMD_EVENTS.values()},
        "gaudi": {fault.code: fault for fault in GAUDI_EVENTS.values()},
    }
)  # fmt: skip
"""every vendor's table, by hw.vendor"""


def known_fault(vendor: str, code: str) -> KnownFault | None:
    """The row of a vendor's code; None where no table has it."""
    return TABLES.get(vendor, {}).get(code)
