"""Why a page could not be used, and what the operator does about it."""

from enum import StrEnum
from typing import Final

from watchkeeper.core.errors import Retryable
from watchkeeper.core.records import Reason


class Fault(StrEnum):
    """Bounded: it is the `reason` of a rejected page."""

    UNREACHABLE = "unreachable"
    TIMED_OUT = "timed_out"
    BAD_CERTIFICATE = "bad_certificate"
    NOT_PERMITTED = "not_permitted"
    OFF = "off"
    SERVER_ERROR = "server_error"
    HTTP_ERROR = "http_error"
    REDIRECTED = "redirected"
    TOO_LARGE = "too_large"
    TRUNCATED = "truncated"
    HTML = "html"
    JSON = "json"
    MALFORMED = "malformed"
    UNKNOWN_ENGINE = "unknown_engine"
    INTERNAL = "internal"


REASON: Final = {
    Fault.UNREACHABLE: Reason.UNREACHABLE,
    Fault.TIMED_OUT: Reason.TIMED_OUT,
    Fault.BAD_CERTIFICATE: Reason.UNREACHABLE,
    Fault.NOT_PERMITTED: Reason.NOT_PERMITTED,
    Fault.OFF: Reason.OFF,
    Fault.SERVER_ERROR: Reason.LOST,
    Fault.HTTP_ERROR: Reason.LOST,
    Fault.REDIRECTED: Reason.UNREACHABLE,
    Fault.TOO_LARGE: Reason.MALFORMED,
    Fault.TRUNCATED: Reason.MALFORMED,
    Fault.HTML: Reason.MALFORMED,
    Fault.JSON: Reason.MALFORMED,
    Fault.MALFORMED: Reason.MALFORMED,
    Fault.UNKNOWN_ENGINE: Reason.UNSUPPORTED,
    Fault.INTERNAL: Reason.LOST,
}
"""what the gap of an engine's gauges says"""


class Refused(Retryable):
    """
    This page, this time, cannot be used. `detail` is one line for the operator: what is wrong and what to do. `engine`
    is the title of the engine that is known by its refusal, empty where none is.
    """

    def __init__(self, fault: Fault, detail: str, engine: str = "") -> None:
        super().__init__(detail)
        self.fault = fault
        self.detail = detail
        self.engine = engine
