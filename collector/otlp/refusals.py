"""
Why something sent to the receiver is not taken.

WatchkeeperError
├── Refused           the whole request; `reason` is a label value
│   ├── Undecodable   never send it again: undecodable, too_deep
│   ├── TooMany       never send it again: too_many_items
│   └── Overloaded    send it again later: queue_full, shutting_down
└── Rejected          one item; its neighbours are taken
"""

from typing import Final

from watchkeeper.core.errors import WatchkeeperError

UNDECODABLE: Final = "undecodable"
INVALID_UTF8: Final = "invalid_utf8"
INVALID_ID: Final = "invalid_id"
TOO_MANY_ITEMS: Final = "too_many_items"
TOO_DEEP: Final = "too_deep"
INVALID_TEMPORALITY: Final = "invalid_temporality"
INVALID_HISTOGRAM: Final = "invalid_histogram"
REJECTED_REASONS: Final = (
    UNDECODABLE, INVALID_UTF8, INVALID_ID, TOO_MANY_ITEMS, TOO_DEEP, INVALID_TEMPORALITY, INVALID_HISTOGRAM,
)  # fmt: skip

QUEUE_FULL: Final = "queue_full"
SHUTTING_DOWN: Final = "shutting_down"

NOT_GENAI: Final = "not_genai"
DUPLICATE: Final = "duplicate"
SAME_CALL: Final = "same_call"
MESSAGE_EVENT: Final = "message_event"
"""a prompt or answer sent as a log record of its own: kept for its call, nothing to measure by itself"""
EVENT_NOT_USED: Final = "event_not_used"
BASELINE: Final = "baseline"
"""the first point of a running total from before watchkeeper started: what later ones are measured against"""
STALE: Final = "stale"
OWN_METRICS: Final = "own_metrics"
"""what a watchkeeper pushed: measured already"""
NO_SUM: Final = "no_sum"
NO_DURATION: Final = "no_duration"
UNCHANGED: Final = "unchanged"
NO_SCORE: Final = "no_score"
"""a judgement without a score or label that can be used"""
IGNORED_REASONS: Final = (
    NOT_GENAI, DUPLICATE, SAME_CALL, MESSAGE_EVENT, EVENT_NOT_USED, BASELINE, STALE, OWN_METRICS, NO_SUM, NO_DURATION,
    UNCHANGED, NO_SCORE,
)  # fmt: skip


class Refused(WatchkeeperError):  # noqa: N818
    """A whole request. Nothing of it was taken."""

    def __init__(self, reason: str, message: str = "") -> None:
        super().__init__(message or reason)
        self.reason = reason


class Undecodable(Refused):
    """Not an OTLP request: 400, INVALID_ARGUMENT."""


class TooMany(Refused):
    """More items than one request may bring: 413, RESOURCE_EXHAUSTED without RetryInfo."""


class Overloaded(Refused):
    """Come again later: 503, UNAVAILABLE with RetryInfo."""


class Rejected(WatchkeeperError):  # noqa: N818
    """One item, by a reason of REJECTED_REASONS."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
