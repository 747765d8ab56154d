"""What each of NVML's return codes asks of us."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from collector.accelerators.driver import DriverError, Meaning

CODES: Final[Mapping[int, tuple[str, Meaning]]] = MappingProxyType(
    {
        1: ("UNINITIALIZED", Meaning.RESTARTED),
        2: ("INVALID_ARGUMENT", Meaning.STALE),
        3: ("NOT_SUPPORTED", Meaning.UNSUPPORTED),
        4: ("NO_PERMISSION", Meaning.NOT_PERMITTED),
        5: ("ALREADY_INITIALIZED", Meaning.FAILING),
        6: ("NOT_FOUND", Meaning.NO_SAMPLE),
        7: ("INSUFFICIENT_SIZE", Meaning.FAILING),
        8: ("INSUFFICIENT_POWER", Meaning.RESET_REQUIRED),
        9: ("DRIVER_NOT_LOADED", Meaning.NOT_LOADED),
        10: ("TIMEOUT", Meaning.FAILING),
        11: ("IRQ_ISSUE", Meaning.RESET_REQUIRED),
        12: ("LIBRARY_NOT_FOUND", Meaning.ABSENT),
        13: ("FUNCTION_NOT_FOUND", Meaning.UNSUPPORTED),
        14: ("CORRUPTED_INFOROM", Meaning.DAMAGED),
        15: ("GPU_IS_LOST", Meaning.LOST),
        16: ("RESET_REQUIRED", Meaning.RESET_REQUIRED),
        17: ("OPERATING_SYSTEM", Meaning.FAILING),
        18: ("LIB_RM_VERSION_MISMATCH", Meaning.RESTARTED),
        19: ("IN_USE", Meaning.FAILING),
        20: ("MEMORY", Meaning.FAILING),
        21: ("NO_DATA", Meaning.NO_SAMPLE),
        22: ("VGPU_ECC_NOT_SUPPORTED", Meaning.UNSUPPORTED),
        23: ("INSUFFICIENT_RESOURCES", Meaning.FAILING),
        24: ("FREQ_NOT_SUPPORTED", Meaning.UNSUPPORTED),
        25: ("ARGUMENT_VERSION_MISMATCH", Meaning.UNSUPPORTED),
        26: ("DEPRECATED", Meaning.UNSUPPORTED),
        27: ("NOT_READY", Meaning.NO_SAMPLE),
        28: ("GPU_NOT_FOUND", Meaning.LOST),
        29: ("INVALID_STATE", Meaning.FAILING),
        30: ("RESET_TYPE_NOT_SUPPORTED", Meaning.UNSUPPORTED),
        999: ("UNKNOWN", Meaning.FAILING),
    }
)
"""by number: the name without its prefix, and the meaning. A stale handle is INVALID_ARGUMENT to NVML"""


def error(code: int, call: str) -> DriverError:
    """A code that no binding knows yet may pass by itself: FAILING."""
    name, meaning = CODES.get(code, (str(code), Meaning.FAILING))
    return DriverError(meaning, name, call)
