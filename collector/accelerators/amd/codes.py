"""What each of AMD SMI's statuses asks of us."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from collector.accelerators.driver import DriverError, Meaning

CODES: Final[Mapping[int, tuple[str, Meaning]]] = MappingProxyType(
    {
        1: ("INVAL", Meaning.UNSUPPORTED),
        2: ("NOT_SUPPORTED", Meaning.UNSUPPORTED),
        3: ("NOT_YET_IMPLEMENTED", Meaning.UNSUPPORTED),
        4: ("FAIL_LOAD_MODULE", Meaning.UNSUPPORTED),
        5: ("FAIL_LOAD_SYMBOL", Meaning.UNSUPPORTED),
        6: ("DRM_ERROR", Meaning.FAILING),
        7: ("API_FAILED", Meaning.FAILING),
        8: ("TIMEOUT", Meaning.FAILING),
        9: ("RETRY", Meaning.FAILING),
        10: ("NO_PERM", Meaning.NOT_PERMITTED),
        11: ("INTERRUPT", Meaning.FAILING),
        12: ("IO", Meaning.FAILING),
        13: ("ADDRESS_FAULT", Meaning.FAILING),
        14: ("FILE_ERROR", Meaning.FAILING),
        15: ("OUT_OF_RESOURCES", Meaning.FAILING),
        16: ("INTERNAL_EXCEPTION", Meaning.FAILING),
        17: ("INPUT_OUT_OF_BOUNDS", Meaning.UNSUPPORTED),
        18: ("INIT_ERROR", Meaning.FAILING),
        19: ("REFCOUNT_OVERFLOW", Meaning.FAILING),
        20: ("DIRECTORY_NOT_FOUND", Meaning.FAILING),
        21: ("IPC_ERROR", Meaning.FAILING),
        30: ("BUSY", Meaning.FAILING),
        31: ("NOT_FOUND", Meaning.NO_SAMPLE),
        32: ("NOT_INIT", Meaning.RESTARTED),
        33: ("NO_SLOT", Meaning.FAILING),
        34: ("DRIVER_NOT_LOADED", Meaning.NOT_LOADED),
        39: ("MORE_DATA", Meaning.FAILING),
        40: ("NO_DATA", Meaning.NO_SAMPLE),
        41: ("INSUFFICIENT_SIZE", Meaning.FAILING),
        42: ("UNEXPECTED_SIZE", Meaning.DAMAGED),
        43: ("UNEXPECTED_DATA", Meaning.DAMAGED),
        44: ("NON_AMD_CPU", Meaning.UNSUPPORTED),
        45: ("NO_ENERGY_DRV", Meaning.UNSUPPORTED),
        46: ("NO_MSR_DRV", Meaning.UNSUPPORTED),
        47: ("NO_HSMP_DRV", Meaning.UNSUPPORTED),
        48: ("NO_HSMP_SUP", Meaning.UNSUPPORTED),
        49: ("NO_HSMP_MSG_SUP", Meaning.UNSUPPORTED),
        50: ("HSMP_TIMEOUT", Meaning.FAILING),
        51: ("NO_DRV", Meaning.UNSUPPORTED),
        52: ("FILE_NOT_FOUND", Meaning.UNSUPPORTED),
        53: ("ARG_PTR_NULL", Meaning.UNSUPPORTED),
        54: ("AMDGPU_RESTART_ERR", Meaning.FAILING),
        55: ("SETTING_UNAVAILABLE", Meaning.UNSUPPORTED),
        56: ("CORRUPTED_EEPROM", Meaning.DAMAGED),
        57: ("MORE_DATA", Meaning.FAILING),
        0xFFFFFFFE: ("MAP_ERROR", Meaning.FAILING),
        0xFFFFFFFF: ("UNKNOWN_ERROR", Meaning.FAILING),
    }
)
"""
By number: the name without its prefix, and the meaning. MORE_DATA was 57 in ROCm 6.4. NOT_FOUND is said of a sensor or
a process as well as of a device, so it cannot mean that the device is gone: its place in /sys tells that.
"""


def error(code: int, call: str) -> DriverError:
    """A code that is newer than this table may pass by itself: FAILING."""
    code &= 0xFFFFFFFF
    name, meaning = CODES.get(code, (str(code), Meaning.FAILING))
    return DriverError(meaning, name, call)
