"""
Prompts and answers that come as log records of their own, one a message, kept until their span is here.

The older OpenTelemetry way: `gen_ai.user.message`, `gen_ai.choice` and the like, with the trace and span id of a call.
"""

from collections import OrderedDict
from typing import Final

from collector.otlp import fields
from collector.otlp.observed import Observed
from collector.otlp.text import Said

MAX_BYTES: Final = 8 << 20
MAX_AGE_SECONDS: Final = 30.0
_OVERHEAD_BYTES: Final = 1024

CHOICE: Final = "gen_ai.choice"
EVENTS: Final = frozenset(
    ("gen_ai.system.message", "gen_ai.user.message", "gen_ai.assistant.message", "gen_ai.tool.message", CHOICE)
)

Key = tuple[bytes, bytes]
"""trace id and span id"""


class Conversation:
    """What has come of one call so far."""

    __slots__ = ("answer", "at", "chosen", "prompt", "size_bytes")

    def __init__(self, at: float, max_text_characters: int) -> None:
        self.at = at
        self.prompt = Said(max_text_characters)
        self.answer = Said(max_text_characters)
        self.chosen = False
        self.size_bytes = _OVERHEAD_BYTES


class Messages:
    """Bounded in bytes and age; the oldest go first. Not thread-safe."""

    def __init__(self, max_text_characters: int) -> None:
        self._max_text_characters = max_text_characters
        self._held: OrderedDict[Key, Conversation] = OrderedDict()
        self._size_bytes = 0

    def __bool__(self) -> bool:
        return bool(self._held)

    @property
    def size_bytes(self) -> int:
        return self._size_bytes

    def add(self, key: Key, event: str, body: object, now: float) -> None:
        """One message or choice."""
        held = self._held.get(key)
        if held is None:
            held = self._held[key] = Conversation(now, self._max_text_characters)
            self._size_bytes += _OVERHEAD_BYTES
        side = held.answer if event == CHOICE else held.prompt
        before = side.room
        side.add(body)
        held.chosen = held.chosen or event == CHOICE
        grown = max(before, 0) - max(side.room, 0)
        held.size_bytes += grown
        self._size_bytes += grown
        while self._size_bytes > MAX_BYTES and self._held:
            self.take(next(iter(self._held)))

    def chosen(self, key: Key) -> bool:
        """Whether the answer is here."""
        held = self._held.get(key)
        return held is not None and held.chosen

    def take(self, key: Key) -> Conversation | None:
        held = self._held.pop(key, None)
        if held is not None:
            self._size_bytes -= held.size_bytes
        return held

    def attach(self, seen: Observed) -> None:
        """Give a span what its log records said, once the answer is here and where it does not say so itself."""
        key = (seen.trace_id, seen.span_id)
        held = self.take(key) if self.chosen(key) else None
        if held is None:
            return
        found = seen.found
        if fields.HAS_TEXT not in found:
            found[fields.HAS_TEXT] = True
            found["prompt"], found["answer"] = held.prompt.text, held.answer.text
        if held.answer.reasons:
            found.setdefault("finish_reasons", tuple(held.answer.reasons))
        if held.answer.tools:
            found.setdefault("called_tools", tuple(held.answer.tools))

    def forget_old(self, now: float) -> None:
        while self._held:
            key, held = next(iter(self._held.items()))
            if now - held.at <= MAX_AGE_SECONDS:
                return
            self.take(key)
