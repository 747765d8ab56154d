"""One model call while it passes: filled on the loop's thread, read elsewhere once it has ended."""

import zlib
from collections import Counter
from typing import Final

from collector.tap import encodings
from collector.tap.answer import Answer
from collector.tap.config import TapTarget
from collector.tap.dialects import MALFORMED, Dialect
from collector.tap.streams import Events, JsonLines, ServerSentEvents

_STREAM_BYTES: Final = 256 << 20
"""of a compressed stream, read at most; only ever a piece of it is held"""
_OWN_BYTES: Final = 2048
"""what an exchange takes besides its bodies, roughly"""
_BEGINS_JSON: Final = b"{[ \r\n\t"
_BEGINS_EVENT: Final = b"deir:\xef"
"""data, event, id, retry, a comment, a byte order mark"""
CLIENT_GONE: Final = "client_disconnect"
UPSTREAM_RESET: Final = "upstream_reset"


class Room:
    """
    Memory for the bodies of all open calls together.

    >>> room = Room(10)
    >>> room.take(8), room.take(8), room.give(8), room.take(8)
    (True, False, None, True)
    """

    __slots__ = ("_left",)

    def __init__(self, limit_bytes: int) -> None:
        self._left = limit_bytes

    def take(self, count: int) -> bool:
        """False when there is not so much."""
        if count > self._left:
            return False
        self._left -= count
        return True

    def give(self, count: int) -> None:
        self._left += count


class Exchange:
    """
    `arrived_at` and `ended_at` are seconds of one monotonic clock, `at` is the unix time of the end. `fault` says in
    one low-cardinality word what ended it before its time. `unread` counts by reason what could not be measured.
    """

    __slots__ = (
        "_events", "_held", "_inflater", "_is_unsure", "_limit", "_room", "_target", "answer", "arrived_at", "at",
        "coding", "dialect", "ended_at", "fault", "is_whole_request", "model", "request", "request_coding", "status",
        "streamed", "tenant", "traceparent", "unread", "whole",
    )  # fmt: skip

    def __init__(self, target: TapTarget, dialect: Dialect, arrived_at: float, room: Room) -> None:
        self._target = target
        self._room = room
        self._held = 0
        self._limit = target.max_body_bytes
        self._events: Events | None = None
        self._inflater: encodings.Inflater | None = None
        self._is_unsure = False
        self.dialect = dialect
        self.arrived_at = arrived_at
        self.ended_at = 0.0
        self.at = 0.0
        self.tenant = ""
        self.traceparent = ""
        self.request: bytearray | None = bytearray()
        self.request_coding = ""
        self.is_whole_request = False
        self.model: str | None = None
        """of the request, once it has been read"""
        self.status = 0
        self.coding = ""
        self.streamed = False
        self.whole: bytearray | None = None
        self.answer = Answer(target.max_text_characters)
        self.fault = ""
        self.unread: Counter[str] = Counter()

    @property
    def size_bytes(self) -> int:
        """Memory it holds, roughly."""
        said = self._target.max_text_characters - max(0, self.answer.room)
        return _OWN_BYTES + said + len(self.request or b"") + len(self.whole or b"")

    def ask(self, data: bytes) -> None:
        """A piece of the request's body."""
        request = self.request
        if request is None:
            return
        if self._fits(request, data):
            request += data
        else:
            self._release(len(request))
            self.request = None
            self.unread["request_too_large"] += 1

    def begin(self, status: int, content_type: str, coding: str) -> None:
        """The head of the answer is there. Only the body of a successful one is read."""
        self.status = status
        if not 200 <= status < 300:
            return
        self.coding = coding
        kind = content_type.partition(";")[0].strip().lower()
        is_lines = kind in ("application/x-ndjson", "application/jsonl", "application/ndjson")
        if kind == "text/event-stream":
            self._events = ServerSentEvents(self._target.max_event_bytes)
        elif is_lines or (self.dialect.by_line and kind != "application/json"):
            self._events = JsonLines(self._target.max_event_bytes)
        elif kind.endswith("json"):
            self.whole = bytearray()
        else:
            self._is_unsure = True
        self.streamed = self._events is not None
        if coding in encodings.READABLE:
            self._inflater = encodings.Inflater(coding, _STREAM_BYTES if self._events else self._limit)
        elif coding not in encodings.IDENTITY:
            self._stop_reading("encoding")

    def hear(self, data: bytes, at: float) -> None:
        """A piece of the answer's body."""
        if self._inflater is None:
            self._read(data, at)
            return
        try:
            for piece in self._inflater.feed(data):
                self._read(piece, at)
        except encodings.Bomb:
            self._stop_reading("answer_too_large")
        except zlib.error:
            self._stop_reading("answer_malformed")

    def end(self, at: float, unix: float, fault: str = "") -> None:
        """
        The last byte of the answer is there, or will never come.

        :param at: seconds of the monotonic clock
        :param fault: what ended it before its time
        """
        self.ended_at, self.at, self.fault = at, unix, fault
        if self._events is not None:
            for event in self._events.end() if not fault else ():
                self._event(event, at)
            if self._events.dropped:
                self.unread["event_too_large"] += self._events.dropped
            self._events = None
        self.release()

    def release(self) -> None:
        """Give back the room for bodies: what is kept of them now is somebody else's to bound."""
        self._release(self._held)

    def _release(self, count: int) -> None:
        self._held -= count
        self._room.give(count)

    def _fits(self, body: bytearray, data: bytes) -> bool:
        if len(body) + len(data) > self._limit or not self._room.take(len(data)):
            return False
        self._held += len(data)
        return True

    def _read(self, data: bytes, at: float) -> None:
        if self._is_unsure:  # neither a stream nor JSON by its head: the first byte tells
            self._is_unsure = False
            if data[0] in _BEGINS_JSON:
                self.whole = bytearray()
            elif data[0] in _BEGINS_EVENT:
                self._events, self.streamed = ServerSentEvents(self._target.max_event_bytes), True
            else:
                self._stop_reading("answer_malformed")
        if self._events is not None:
            for event in self._events.feed(data):
                self._event(event, at)
        elif self.whole is not None:
            if self._fits(self.whole, data):
                self.whole += data
            else:
                self._stop_reading("answer_too_large")

    def _event(self, event: bytes, at: float) -> None:
        try:
            self.dialect.read_event(self.answer, event, at)
        except MALFORMED:
            self.unread["event_malformed"] += 1

    def _stop_reading(self, reason: str) -> None:
        self.unread[reason] += 1
        self._release(len(self.whole or b""))
        self._events = self.whole = self._inflater = None
        self._is_unsure = False
