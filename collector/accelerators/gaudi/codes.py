"""What each of HLML's return codes asks of us."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from collector.accelerators.driver import DriverError, Meaning

CODES: Final[Mapping[int, tuple[str, Meaning]]] = MappingProxyType(
    {
        1: ("UNINITIALIZED", Meaning.RESTARTED),
        2: ("INVALID_ARGUMENT", Meaning.UNSUPPORTED),
        3: ("NOT_SUPPORTED", Meaning.UNSUPPORTED),
        5: ("ALREADY_INITIALIZED", Meaning.FAILING),
        6: ("NOT_FOUND", Meaning.NO_SAMPLE),
        7: ("INSUFFICIENT_SIZE", Meaning.FAILING),
        9: ("DRIVER_NOT_LOADED", Meaning.NOT_LOADED),
        10: ("TIMEOUT", Meaning.FAILING),
        15: ("AIP_IS_LOST", Meaning.LOST),
        20: ("MEMORY", Meaning.FAILING),
        21: ("NO_DATA", Meaning.NO_SAMPLE),
        49: ("UNKNOWN", Meaning.FAILING),
    }
)
"""
By number: the name without its prefix, and the meaning. A handle is good until the library is opened anew, so
INVALID_ARGUMENT says that this device or release does not know what is asked.
"""


def error(code: int, call: str) -> DriverError:
    """A code that is newer than this table may pass by itself: FAILING."""
    name, meaning = CODES.get(code, (str(code), Meaning.FAILING))
    return DriverError(meaning, name, call)
