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

TABLES: Final[Mapping[str, Mapping[str, KnownFault]]] = MappingProxyType({"nvidia": XIDS})
"""every vendor's table, by hw.vendor"""


def known_fault(vendor: str, code: str) -> KnownFault | None:
    """The row of a vendor's code; None where no table has it."""
    return TABLES.get(vendor, {}).get(code)


def xid(code: str) -> KnownFault:
    """The row of a code, or for one that nobody knows, a warning of class other."""
    return XIDS.get(code) or KnownFault(code, "unknown XID", _OTHER, _WARNING, "look it up in the vendor's catalogue")
