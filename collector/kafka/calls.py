"""A message of a log of calls to a Completion."""

from typing import Final

import msgspec

from collector.kafka import CallsTopic
from watchkeeper.core.call_fields import CallReader, Places, Record, has_call
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Completion
from watchkeeper.core.vocabulary import health
from watchkeeper.core.wire import MOST_BYTES, Unreadable

_SHAPES: Final = 64
"""kinds of messages, by the names in them, whose fields are remembered"""


class Calls:
    """Of one topic."""

    def __init__(self, topic: CallsTopic, ledger: Ledger) -> None:
        self._reader = CallReader(topic.fields, topic.service)
        self._ledger = ledger
        self._shapes: dict[tuple[str, ...], Places] = {}

    def read(self, value: bytes | None, sent_at: float) -> Completion:
        """
        :param sent_at: unix seconds, for calls that tell no time
        :raises Unreadable: no JSON object, or nothing of a call in it
        """
        if value is not None and len(value) > MOST_BYTES:
            raise Unreadable("too_large")
        try:
            record = msgspec.json.decode(value or b"")
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise Unreadable("not_encoded") from None
        if not isinstance(record, dict):
            raise Unreadable("other_kind")
        found = self._located(record)
        at = self._reader.time(record, found) if found["time"] is not None else None
        call = self._reader.call(record, found, sent_at if at is None else at)
        for field, count in self._reader.unread.items():
            self._ledger.add(health.INVALID_VALUES, count, (("source", "kafka"), ("field", field)))
        self._reader.unread.clear()
        return call

    def _located(self, record: Record) -> Places:
        shape = tuple(record)
        found = self._shapes.get(shape)
        if found is None or not has_call(found):
            found = self._reader.locate(record)
            if not has_call(found):
                raise Unreadable("other_kind")
            if len(self._shapes) < _SHAPES:
                self._shapes[shape] = found
        return found
