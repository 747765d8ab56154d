"""One span or log record as both encodings hand it over."""

import msgspec

from collector.otlp.attributes import Found

UNSET, OK, ERROR = 0, 1, 2
"""a span's status code"""


class Event(msgspec.Struct, frozen=True, gc=False):
    """A span's event that may judge an answer. `found`: attributes by name, as sent; `at_ns` 0 = not given."""

    name: str
    at_ns: int
    found: dict[str, object]


class Observed(msgspec.Struct, gc=False):
    """Times in unix nanoseconds, 0 = not given. Ids are `b""` when a log record has none."""

    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    name: str
    start_ns: int
    end_ns: int
    status: int
    found: Found
    first_chunk_ns: int = 0
    """when the first chunk of a stream came, by a span event"""
    exception_type: str = ""
    """of the last exception event"""
    exception_code: str = ""
    """an HTTP status or `timeout`, where its words name one"""
    events: tuple[Event, ...] = ()
    """those of a span that may judge an answer"""
    lone_trace_id: bytes = b""
    """the trace that a log record names without a span"""


NO_TRACE = bytes(16)
NO_SPAN = bytes(8)

FIRST_CHUNK_EVENTS = frozenset(
    (
        "First Token Stream Event",
        "gen_ai.content.completion.chunk",
        "llm.content.completion.chunk",
        "ai.stream.firstChunk",
        "mlflow.chunk.item.0",
    )
)
EXCEPTION_EVENT = "exception"


def lone_trace(trace_id: bytes) -> bytes:
    """The id if it is one that may stand without a span's: 16 bytes, not all zero; else nothing."""
    return trace_id if len(trace_id) == 16 and trace_id != NO_TRACE else b""


def valid_ids(trace_id: bytes, span_id: bytes) -> bool:
    """16 and 8 bytes, not all zero."""
    return len(trace_id) == 16 and len(span_id) == 8 and trace_id != NO_TRACE and span_id != NO_SPAN
