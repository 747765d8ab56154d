"""A message of a log of calls to a Completion."""

import msgspec

from collector.kafka import CallsTopic
from watchkeeper.core.call_fields import CallReader, has_call
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Completion
from watchkeeper.core.vocabulary import health
from watchkeeper.core.wire import MOST_BYTES, Unreadable


class Calls:
    """Of one topic."""

    def __init__(self, topic: CallsTopic, ledger: Ledger) -> None:
        self._reader = CallReader(topic.fields, topic.service)
        self._ledger = ledger

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
        found = self._reader.places(record)
        if not has_call(found):
            raise Unreadable("other_kind")
        at = self._reader.time(record, found) if found["time"] is not None else None
        call = self._reader.call(record, found, sent_at if at is None else at)
        for field, count in self._reader.unread.items():
            self._ledger.add(health.INVALID_VALUES, count, (("source", "kafka"), ("field", field)))
        self._reader.unread.clear()
        return call
