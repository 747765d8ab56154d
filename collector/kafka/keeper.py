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
from kafka.errors import KafkaError, KafkaTimeoutError

from watchkeeper.core import wire
from watchkeeper.core.fleet import Checkpoint, Place
from watchkeeper.core.kafka import kind_of
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.vocabulary import kafka
from watchkeeper.core.wire import MarkRecord, StateRecord

_LOG: Final = logging.getLogger("watchkeeper.source.kafka")
_DELIVERY_SECONDS: Final = 15.0
_RETRY_SECONDS: Final = 10.0
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
        self._problem = ""

    def put(self, checkpoint: Checkpoint) -> None:
        """Newer states of a segment take the place of those that wait."""
        with self._lock:
            known = self._pending.get(checkpoint.place)
            if known is None or known.mark.life != checkpoint.mark.life:
                known = self._pending[checkpoint.place] = _Pending({}, checkpoint.mark)
            known.states |= {state.segment: state for state in checkpoint.states}
            known.mark = checkpoint.mark

    def write(self, is_ours: Callable[[Place], bool], commit: Callable[[Place, int], None], *, now: bool) -> None:
        """
        What waits, of partitions that are ours. Never raises: what could not be written waits on.

        :param now: also shortly after it went wrong
        """
        if not self._pending or (time.monotonic() < self._try_at and not now):
            return
        with self._lock:
            pending, self._pending = self._pending, {}
        for place in list(pending):
            held = pending.pop(place)
            if not is_ours(place):
                continue
            try:
                self._write(place, held)
                commit(place, held.mark.offset)
            except (KafkaError, OSError, ValueError) as error:
                self._fail(error)
                with self._lock:
                    for other, one in ({place: held} | pending).items():
                        newer = self._pending.get(other)
                        if newer is None:
                            self._pending[other] = one
                        elif newer.mark.life == one.mark.life:
                            newer.states = one.states | newer.states
                return
        self._said("")

    def _write(self, place: Place, held: _Pending) -> None:
        """:raises KafkaError: not all of it was acknowledged"""
        states = [(state.segment.encode(), wire.encode(state)) for state in held.states.values()]
        for messages in (states, [(_MARK, wire.encode(held.mark))]):  # the mark only when all the others are safe
            producer = self._connected()
            futures = [
                producer.send(self._state_topic, value, key, partition=place.partition) for key, value in messages
            ]
            producer.flush(_DELIVERY_SECONDS)
            for future in futures:
                if not future.is_done:
                    raise KafkaTimeoutError("not acknowledged in time")
                if future.exception is not None:
                    raise future.exception

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
            )
        except (KafkaError, OSError, ValueError) as error:
            self._bury_at = time.monotonic() + _RETRY_SECONDS
            self._ledger.add(kafka.ERRORS, 1, (*_CLIENT, ("reason", kind_of(error))))

    def close(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.close(timeout=1.0)

    def _connected(self) -> Any:
        if self._producer is None:
            self._producer = KafkaProducer(
                **self._settings,
                compression_type="lz4",
                linger_ms=5,
                acks="all",
                max_request_size=wire.MOST_BYTES,
                max_block_ms=3000,
                delivery_timeout_ms=int(_DELIVERY_SECONDS * 1000),
            )
        return self._producer

    def _fail(self, error: Exception) -> None:
        self._try_at = time.monotonic() + _RETRY_SECONDS
        self.close()
        kind = kind_of(error)
        self._ledger.add(kafka.ERRORS, 1, (*_CLIENT, ("reason", kind)))
        self._said(f"evidence cannot be kept in topic {self._state_topic} ({kind}); a stop would cost reading again")

    def _said(self, problem: str) -> None:
        if problem != self._problem:
            self._problem = problem
            _LOG.warning("%s", problem or f"evidence is kept again in topic {self._state_topic}")
