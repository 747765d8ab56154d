"""What Logfire's own instrumentations of clients send, where it is not as others send it."""

from typing import Final

from collector.otlp import kinds
from collector.otlp.observed import ERROR, Observed

_OF_AN_ANSWER: Final = frozenset(
    ("input_tokens", "output_tokens", "response_id", "finish_reasons", "output_messages", "logfire_answer")
)
_NAMES: Final = (
    ("Chat Completion with", "chat"),
    ("Message with", "chat"),
    ("Responses API with", "chat"),
    ("streaming response from", "chat"),
    ("Completion with", "text_completion"),
    ("Embedding Creation with", "embeddings"),
)
"""how the names of its spans begin; older ones have nothing else that tells what they are"""


def operation(name: str) -> str:
    """Of a span with nothing but a request and an answer in Logfire's words; NONE = somebody else's."""
    return next((word for start, word in _NAMES if name.startswith(start)), kinds.NONE)


def tells(seen: Observed) -> bool:
    """
    Whether a span of Logfire's tells of a call. Of a streamed one it sends two: the first ends when the stream begins,
    and says nothing of the answer. The second is sent as a point in time, which becomes the time it tells of.
    """
    found = seen.found
    if found["logfire_kind"] == "log":
        if seen.start_ns == seen.end_ns and "logfire_duration" in found:
            seen.start_ns -= int(found["logfire_duration"] * 1e9)
            found["streamed"] = True
        return True
    return seen.status == ERROR or not _OF_AN_ANSWER.isdisjoint(found)
