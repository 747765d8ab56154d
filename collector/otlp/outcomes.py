"""How a failed call failed, from the class name or code that its client sent."""

import re
from typing import Final

from watchkeeper.core.records import Outcome

UNKNOWN: Final = "_OTHER"
"""OpenTelemetry's error.type for a failure without a name"""

_RULES: Final = (
    (Outcome.REJECTED, re.compile(r"429|503|529|ratelimit|toomanyrequests|overloaded|throttl|resourceexhausted"
                                  r"|serviceunavailable|quotaexceeded|insufficientquota")),
    (Outcome.TIMEOUT, re.compile(r"408|504|timeout|timedout|deadlineexceeded")),
    (Outcome.CANCELLED, re.compile(r"499|cancel|abort")),
    (Outcome.CLIENT_ERROR, re.compile(r"4\d\d|badrequest|auth|notfound|permissiondenied|forbidden|unprocessable"
                                      r"|invalidrequest|invalidargument|validation|conflicterror|contextlength"
                                      r"|contextwindow|contentpolicy|failedprecondition")),
)  # fmt: skip
"""Tried in this order on the name in lower case without `_`, `-` and spaces; a code must be the whole name."""

_DROPPED: Final = str.maketrans("", "", "_- ")


def of_error(error_type: str) -> Outcome:
    """
    >>> of_error("RateLimitError"), of_error("APITimeoutError"), of_error("500")
    (<Outcome.REJECTED: 'rejected'>, <Outcome.TIMEOUT: 'timeout'>, <Outcome.ERROR: 'error'>)
    """
    name = error_type.lower().translate(_DROPPED)
    for outcome, pattern in _RULES:
        if pattern.fullmatch(name) if name.isdigit() else pattern.search(name):
            return outcome
    return Outcome.ERROR
