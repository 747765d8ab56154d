"""One span or log record as both encodings hand it over."""

from collector.otlp.attributes import Found

UNSET, OK, ERROR = 0, 1, 2
"""a span's status code"""


class Observed:
    """Times in unix nanoseconds, 0 = not given. Ids are `b""` when a log record has none."""

    __slots__ = (
        "end_ns", "exception_type", "first_chunk_ns", "found", "name", "parent_id", "span_id", "start_ns", "status",
        "trace_id",
    )  # fmt: skip

    def __init__(
        self,
        trace_id: bytes,
        span_id: bytes,
        parent_id: bytes,
        name: str,
        start_ns: int,
        end_ns: int,
        status: int,
        found: Found,
    ) -> None:
        self.trace_id = trace_id
        self.span_id = span_id
        self.parent_id = parent_id
        self.name = name
        self.start_ns = start_ns
        self.end_ns = end_ns
        self.status = status
        self.found = found
        self.first_chunk_ns = 0
        """when the first chunk of a stream came, by a span event"""
        self.exception_type = ""
        """of the last exception event"""


_NO_TRACE = bytes(16)
_NO_SPAN = bytes(8)

FIRST_CHUNK_EVENTS = frozenset(
    (
        "First Token Stream Event",
        "gen_ai.content.completion.chunk",
        "llm.content.completion.chunk",
        "ai.stream.firstChunk",
    )
)
EXCEPTION_EVENT = "exception"


def valid_ids(trace_id: bytes, span_id: bytes) -> bool:
    """16 and 8 bytes, not all zero."""
    return len(trace_id) == 16 and len(span_id) == 8 and trace_id != _NO_TRACE and span_id != _NO_SPAN
