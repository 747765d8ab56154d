"""What each of CNDev's return codes asks of us."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from collector.accelerators.driver import DriverError, Meaning

INSUFFICIENT_SPACE: Final = 9
TIMEOUT: Final = 17
CODES: Final[Mapping[int, tuple[str, Meaning]]] = MappingProxyType(
    {
        1: ("NO_DRIVER", Meaning.NOT_LOADED),
        2: ("LOW_DRIVER_VERSION", Meaning.NOT_LOADED),
        3: ("UNSUPPORTED_API_VERSION", Meaning.UNSUPPORTED),
        4: ("UNINITIALIZED", Meaning.RESTARTED),
        5: ("INVALID_ARGUMENT", Meaning.UNSUPPORTED),
        6: ("INVALID_DEVICE_ID", Meaning.STALE),
        7: ("UNKNOWN", Meaning.FAILING),
        8: ("MALLOC", Meaning.FAILING),
        INSUFFICIENT_SPACE: ("INSUFFICIENT_SPACE", Meaning.FAILING),
        10: ("NOT_SUPPORTED", Meaning.UNSUPPORTED),
        11: ("INVALID_LINK", Meaning.UNSUPPORTED),
        12: ("NO_DEVICES", Meaning.NOT_LOADED),
        13: ("NO_PERMISSION", Meaning.NOT_PERMITTED),
        14: ("NOT_FOUND", Meaning.NO_SAMPLE),
        15: ("IN_USE", Meaning.FAILING),
        16: ("DUPLICATE", Meaning.FAILING),
        TIMEOUT: ("TIMEOUT", Meaning.FAILING),
        18: ("IN_PROBLEM", Meaning.RESET_REQUIRED),
    }
)
"""by number: the name of cndevRet_t without CNDEV_ERROR_, and the meaning"""


def error(code: int, call: str) -> DriverError:
    """A code that nobody knows yet may pass by itself: FAILING."""
    name, meaning = CODES.get(code, (str(code), Meaning.FAILING))
    return DriverError(meaning, name, call)
