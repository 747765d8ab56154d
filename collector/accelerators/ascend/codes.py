"""What each of DCMI's return codes asks of us."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from collector.accelerators.driver import DriverError, Meaning

NOT_READY: Final = "NOT_READY"
"""of the health of a chip: it has dropped off, or is starting"""
CODES: Final[Mapping[int, tuple[str, Meaning]]] = MappingProxyType(
    {
        -8001: ("INVALID_PARAMETER", Meaning.UNSUPPORTED),
        -8002: ("OPER_NOT_PERMITTED", Meaning.NOT_PERMITTED),
        -8003: ("MEM_OPERATE_FAIL", Meaning.FAILING),
        -8004: ("SECURE_FUN_FAIL", Meaning.FAILING),
        -8005: ("INNER_ERR", Meaning.FAILING),
        -8006: ("TIME_OUT", Meaning.FAILING),
        -8007: ("INVALID_DEVICE_ID", Meaning.STALE),
        -8008: ("DEVICE_NOT_EXIST", Meaning.LOST),
        -8009: ("IOCTL_FAIL", Meaning.FAILING),
        -8010: ("SEND_MSG_FAIL", Meaning.FAILING),
        -8011: ("RECV_MSG_FAIL", Meaning.FAILING),
        -8012: (NOT_READY, Meaning.FAILING),
        -8013: ("NOT_SUPPORT_IN_CONTAINER", Meaning.NOT_PERMITTED),
        -8014: ("FILE_OPERATE_FAIL", Meaning.FAILING),
        -8015: ("RESET_FAIL", Meaning.LOST),
        -8016: ("ABORT_OPERATE", Meaning.FAILING),
        -8017: ("IS_UPGRADING", Meaning.FAILING),
        -8020: ("RESOURCE_OCCUPIED", Meaning.FAILING),
        -8022: ("PARTITION_NOT_RIGHT", Meaning.UNSUPPORTED),
        -8023: ("CONFIG_INFO_NOT_EXIST", Meaning.NO_SAMPLE),
        -8255: ("NOT_SUPPORT", Meaning.UNSUPPORTED),
    }
)
"""by number: the name of dcmi_interface_api.h without DCMI_ERR_CODE_, and the meaning"""


def error(code: int, call: str) -> DriverError:
    """A code that nobody knows yet may pass by itself: FAILING."""
    name, meaning = CODES.get(code, (str(code), Meaning.FAILING))
    return DriverError(meaning, name, call)
