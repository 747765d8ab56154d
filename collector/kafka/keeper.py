"""What is written back: states of partitions, then the mark that they are whole, then the place is committed; and what
could not be read."""

import hashlib
import logging
import time
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any, Final

import msgspec
from kafka import KafkaProducer
from kafka.errors import (
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    UnknownTopicOrPartitionError,
)

from watchkeeper.core import wire
from watchkeeper.core.fleet import Checkpoint, Place
from watchkeeper.core.kafka import advice, end, kind_of
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.vocabulary import kafka
from watchkeeper.core.wire import MarkRecord, StateRecord

_LOG: Final = logging.getLogger("watchkeeper.source.kafka")
_PATIENCE_SECONDS: Final = 10.0
"""for the next acknowledgement, which a quota may delay; nothing is read meanwhile"""
_DELIVERY_SECONDS: Final = 60.0
_RETRIES: Final = 10
"""of the client, 0.1 s apart"""
_TOO_LARGE: Final = (MessageSizeTooLargeError, RecordListTooLargeError)
_RETRY_SECONDS: Final = 10.0
_SILENT_RETRY_SECONDS: Final = 30.0
"""after waiting in vain"""
_BATCH_BYTES: Final = 256 << 10
"""one request is on its way at a time"""
_CLIENT: Final = (("client", "keeper"),)
_MARK: Final = b""
"""key of the mark of a partition"""


class _Pending(msgspec.Struct):
    states: dict[str, StateRecord]
    mark: MarkRecord


class Keeper:
    """`put` may be called from any thread, the rest from the one that reads."""

    def __init__(self, settings: Mapping[str, Any], state_topic: str, dead_topic: str, ledger: Ledger) -> None:
        self._settings = settings
        self._state_topic = state_topic
        self._dead_topic = dead_topic
        self._ledger = ledger
        self._lock = Lock()
        self._pending: dict[Place, _Pending] = {}
        self._producer: Any = None
        self._try_at = 0.0
        self._bury_at = 0.0
        self._said: dict[str, str] = {}
        """the newest line of each kind"""

    def put(self, checkpoint: Checkpoint) -> None:
        """Newer states of a segment take the place of those that wait."""
        with self._lock:
            known = self._pending.get(checkpoint.place)
            if known is None or known.mark.life != checkpoint.mark.life:
                known = self._pending[checkpoint.place] = _Pending({}, checkpoint.mark)
            known.states |= {state.segment: state for state in checkpoint.states}
            known.mark = checkpoint.mark

    def hurry(self) -> None:
        """Try at the next `write`, though the last one failed a moment ago."""
        self._try_at = 0.0

    def write(self, is_ours: Callable[[Place], bool], commit: Callable[[Place, int], None], *, now: bool) -> None:
        """
        What waits, of partitions that are ours. Never raises: what could not be written waits on.

        :param now: also shortly after it went wrong
        """
        if not self._pending or (time.monotonic() < self._try_at and not now):
            return
        with self._lock:
            pending, self._pending = self._pending, {}
        failed: dict[Place, _Pending] = {}
        error: Exception | None = None
        while pending and not isinstance(error, KafkaTimeoutError):  # who waits for each in turn reads nothing
            place = next(iter(pending))
            held = pending.pop(place)
            if not is_ours(place):
                continue
            try:
                self._write(place, held)
                commit(place, held.mark.offset)
            except (KafkaError, OSError, ValueError) as why:
                error, failed[place] = why, held
        if error is None:
            self._say("keep", "", f"evidence is kept again in topic {self._state_topic}")
        else:
            self._put_back(pending | failed)  # those that failed come last
            self._fail(error)

    def _put_back(self, pending: Mapping[Place, _Pending]) -> None:
        with self._lock:
            for place, one in pending.items():
                newer = self._pending.get(place)
                if newer is None:
                    self._pending[place] = one
                elif newer.mark.life == one.mark.life:
                    newer.states = one.states | newer.states

    def _write(self, place: Place, held: _Pending) -> None:
        """:raises KafkaError: not all of it was acknowledged"""
        states = [(state.segment.encode(), wire.encode(state)) for state in held.states.values()]
        for messages in (states, [(_MARK, wire.encode(held.mark))]):  # the mark only when all the others are safe
            futures = []
            for key, value in messages:
                try:
                    futures.append(self._sent(place.partition, key, value))
                except _TOO_LARGE as error:
                    self._refuse(error)
            for future in futures:
                try:
                    future.get(_PATIENCE_SECONDS)
                except _TOO_LARGE as error:
                    self._refuse(error)

    def _sent(self, partition: int, key: bytes, value: bytes) -> Any:
        try:
            return self._connected().send(self._state_topic, value, key, partition=partition)
        except ValueError:
            raise UnknownTopicOrPartitionError from None

    def _refuse(self, error: Exception) -> None:
        """The mark then names a state that is not there, which is made anew by reading further back."""
        self._count(kind_of(error))
        topic, size = self._state_topic, wire.MOST_BYTES
        self._say("size", f"topic {topic} refuses states for their size; raise its max.message.bytes to {size}")

    def bury(self, place: Place, offset: int, value: bytes | None, reason: str) -> None:
        """Tell the dead-letter topic where a message lies that cannot be read, and never what is in it."""
        self._ledger.add(kafka.DEAD, 1, (("topic", place.topic), ("reason", reason)))
        if time.monotonic() < self._bury_at:
            return
        digest = hashlib.sha256(value or b"").hexdigest()
        headers = {"reason": reason, "topic": place.topic, "partition": place.partition, "offset": offset}
        headers |= {"bytes": len(value or b""), "sha256": digest}
        try:
            self._connected().send(
                self._dead_topic,
                key=f"{place.topic}/{place.partition}/{offset}".encode(),
                headers=[(name, str(said).encode()) for name, said in headers.items()],
            ).add_callback(self._buried).add_errback(self._not_buried)
        except (KafkaError, OSError, ValueError) as error:
            self._bury_at = time.monotonic() + _RETRY_SECONDS
            self._not_buried(error)

    def _buried(self, _: object) -> None:
        self._say("bury", "", f"topic {self._dead_topic} is told again what cannot be read")

    def _not_buried(self, error: Exception) -> None:
        """Also in the client's thread."""
        kind = kind_of(error)
        self._count(kind)
        self._say("bury", f"topic {self._dead_topic} cannot be told what cannot be read ({kind}{advice(kind)})")

    def close(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            end(producer, 0.5)

    def _connected(self) -> Any:
        if self._producer is None:
            self._producer = KafkaProducer(
                **self._settings,
                compression_type="lz4",
                linger_ms=5,
                batch_size=_BATCH_BYTES,
                acks="all",
                enable_idempotence=False,  # with it, what is refused in one topic fails all of the other
                max_in_flight_requests_per_connection=1,
                retries=_RETRIES,
                max_request_size=wire.MOST_BYTES,
                max_block_ms=3000,
                delivery_timeout_ms=int(_DELIVERY_SECONDS * 1000),
            )
        return self._producer

    def _fail(self, error: Exception) -> None:
        is_silent = isinstance(error, KafkaTimeoutError)
        self._try_at = time.monotonic() + (_SILENT_RETRY_SECONDS if is_silent else _RETRY_SECONDS)
        self.close()
        kind = kind_of(error)
        self._count(kind)
        said = f"evidence cannot be kept in topic {self._state_topic} ({kind}{advice(kind)})"
        self._say("keep", f"{said}; a stop would cost reading again")

    def _count(self, kind: str) -> None:
        self._ledger.add(kafka.ERRORS, 1, (*_CLIENT, ("reason", kind)))

    def _say(self, about: str, problem: str, well: str = "") -> None:
        """:param well: said where there is no problem any more"""
        if problem != self._said.get(about, ""):
            self._said[about] = problem
            _LOG.warning("%s", problem or well)
