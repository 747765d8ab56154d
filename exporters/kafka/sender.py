"""Sends what waits in the spool, oldest first, in a thread of its own. Imports the client; only where switched on."""

import logging
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any, Final

from kafka import KafkaProducer
from kafka.errors import KafkaError, KafkaTimeoutError, MessageSizeTooLargeError, RecordListTooLargeError

from exporters.kafka.spool import Message, Spool, Waiting
from watchkeeper.core import wire
from watchkeeper.core.kafka import kind_of
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.vocabulary import health, kafka

_LOG: Final = logging.getLogger("watchkeeper.exporter.kafka")
_AT_ONCE: Final = 64
"""messages sent before the spool is told: as many as a detector knows again when they come twice"""
_MOST_UNSPOOLED: Final = 10_000
_IDLE_SECONDS: Final = 0.2
_BACKOFF_SECONDS: Final = (0.5, 10.0)
_DELIVERY_SECONDS: Final = 15.0
_LAST_TRY_MILLISECONDS: Final = 1000
"""for brokers to answer, of the few seconds that a stop has"""
_BACKLOG_SECONDS: Final = 30.0
_PACE: Final = 20.0
"""
seconds of a backlog that are sent in one: senders that come back one after another stay near each other, so that a
detector holds few ticks open
"""
_TOO_LARGE: Final = (MessageSizeTooLargeError, RecordListTooLargeError)
_CLIENT: Final = (("client", "exporter"),)
_QUEUE: Final = (("queue", "kafka"),)


class Sender:
    """
    `put` never waits. `problem` says what keeps messages from leaving, empty when nothing does.

    :param settings: of the client
    """

    def __init__(
        self, settings: dict[str, Any], compression: str, file: Path | None, most_bytes: int, ledger: Ledger
    ) -> None:
        self.problem = ""
        self._settings = settings
        self._compression = None if compression == "none" else compression
        self._file = file
        self._most_bytes = most_bytes
        self._ledger = ledger
        self._lock = Lock()
        self._unspooled: deque[Message] = deque(maxlen=_MOST_UNSPOOLED)
        self._wake, self._stop = Event(), Event()
        self._producer: Any = None
        self._failed = 0
        self._try_at = 0.0
        self._thread = Thread(target=self._run, name="exporter-kafka", daemon=True)
        self._thread.start()

    def put(self, messages: Sequence[Message]) -> None:
        with self._lock:
            lost = max(0, len(self._unspooled) + len(messages) - _MOST_UNSPOOLED)
            self._unspooled.extend(messages)
        self._dropped("full", lost)
        self._wake.set()

    def close(self, seconds: float) -> bool:
        """Spools what is held, sends what can be sent. :return: whether it ended in time"""
        self._stop.set()
        self._wake.set()
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        spool = Spool(self._file, self._most_bytes, self._dropped)
        try:
            while not self._stop.is_set():
                self._wake.wait(_IDLE_SECONDS)
                self._wake.clear()
                self._take_in(spool)
                while spool.messages and time.monotonic() >= self._try_at and not self._stop.is_set():
                    self._send(spool)
                    self._take_in(spool)
                self._report(spool)
            self._send_last(spool)
        finally:
            self._discard()
            spool.close()

    def _send_last(self, spool: Spool) -> None:
        """What is in no file gets a last try, though the one before failed: it is lost otherwise."""
        self._take_in(spool)
        if not spool.is_kept:
            self.problem = ""
        while spool.messages and not self.problem:
            self._send(spool, is_last=True)
        if spool.messages and not spool.is_kept:
            self._dropped("shutdown", spool.messages)
            _LOG.warning("%d messages waited in memory and are lost: %s", spool.messages, self.problem)

    def _take_in(self, spool: Spool) -> None:
        with self._lock:
            messages, self._unspooled = self._unspooled, deque(maxlen=_MOST_UNSPOOLED)
        if messages:
            spool.put(messages)

    def _send(self, spool: Spool, *, is_last: bool = False) -> None:
        """The oldest of what waits; what is not acknowledged stays, and is tried again."""
        waiting = spool.first(_AT_ONCE)
        started = time.monotonic()
        try:
            with self._ledger.steps.timed("send kafka"):
                refused = self._deliver(waiting)
        except (KafkaError, OSError, ValueError) as error:
            self._fail(error)
            return
        self._well()
        spool.take_off(waiting[-1])
        self._dropped("refused", len(refused))
        for one in waiting:
            if one.id not in refused:
                topic = (("topic", one.message.topic),)
                self._ledger.add(kafka.SENT, 1, topic)
                self._ledger.add(kafka.SENT_SIZE, len(one.message.value), topic)
        if not is_last and time.time() - waiting[0].message.at > _BACKLOG_SECONDS:
            span = max(0.0, waiting[-1].message.at - waiting[0].message.at)
            self._stop.wait(max(0.0, span / _PACE - (time.monotonic() - started)))

    def _deliver(self, waiting: Sequence[Waiting]) -> set[int]:
        """
        :return: ids of messages that the brokers will never take
        :raises KafkaError: not all the others were acknowledged
        """
        refused = self._deliver_together(waiting)
        # after one that is too large the client refuses all others, too: each of them is tried alone
        return {one.id for one in waiting if one.id in refused and self._deliver_together([one])}

    def _deliver_together(self, waiting: Sequence[Waiting]) -> set[int]:
        producer = self._connected()
        refused: set[int] = set()
        futures = []
        for one in waiting:
            try:
                futures.append((one.id, producer.send(one.message.topic, one.message.value, one.message.key)))
            except _TOO_LARGE:
                refused.add(one.id)
        producer.flush(_DELIVERY_SECONDS)
        for number, future in futures:
            if not future.is_done:
                raise KafkaTimeoutError("not acknowledged in time")
            if isinstance(future.exception, _TOO_LARGE):
                refused.add(number)
            elif future.exception is not None:
                raise future.exception
        if refused:
            self._discard()
        return refused

    def _connected(self) -> Any:
        if self._producer is None:
            hurry = {"bootstrap_timeout_ms": _LAST_TRY_MILLISECONDS} if self._stop.is_set() else {}
            self._producer = KafkaProducer(
                **(self._settings | hurry),
                compression_type=self._compression,
                linger_ms=5,
                acks="all",
                enable_idempotence=True,
                max_request_size=wire.MOST_BYTES,
                max_block_ms=int(_BACKOFF_SECONDS[1] * 1000),
                delivery_timeout_ms=int(_DELIVERY_SECONDS * 1000),
            )
        return self._producer

    def _discard(self) -> None:
        """A producer that gave up a message may not go on in its order; the next begins anew."""
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.close(timeout=0.5)

    def _fail(self, error: Exception) -> None:
        self._discard()
        low, high = _BACKOFF_SECONDS
        self._try_at = time.monotonic() + min(high, low * 2.0 ** min(self._failed, 10))
        self._failed += 1
        kind = kind_of(error)
        self._ledger.add(kafka.ERRORS, 1, (*_CLIENT, ("reason", kind)))
        self.problem = f"brokers {', '.join(self._settings['bootstrap_servers'])}: {_said(kind)}"

    def _well(self) -> None:
        self._failed = 0
        self.problem = ""

    def _report(self, spool: Spool) -> None:
        oldest = spool.oldest() if spool.messages else None
        age = max(0.0, time.time() - oldest) if oldest is not None else 0.0
        self._ledger.set(health.QUEUE_LENGTH, spool.messages, _QUEUE)
        self._ledger.set(health.QUEUE_SIZE, spool.size_bytes, _QUEUE)
        self._ledger.set(health.QUEUE_CAPACITY, self._most_bytes, _QUEUE)
        self._ledger.set(health.QUEUE_AGE, age, _QUEUE)
        self._ledger.set(kafka.CONNECTED, 0.0 if self.problem else 1.0, _CLIENT)

    def _dropped(self, reason: str, count: int) -> None:
        if count:
            self._ledger.add(kafka.DROPPED, count, (("reason", reason),))


_WORDS: Final = {
    "KafkaTimeout": "no answer, or a topic is not there; messages wait in the spool (topics: docs/fleet.md)",
    "NoBrokersAvailable": "none answers; messages wait in the spool",
    "UnknownTopicOrPartition": "a topic is not there; make it as docs/fleet.md says; messages wait in the spool",
    "TopicAuthorizationFailed": "we may not write to a topic; messages wait in the spool",
    "SaslAuthenticationFailed": "user or password is wrong; messages wait in the spool",
    "UnsupportedSaslMechanism": "they know no such connection.sasl; messages wait in the spool",
    "TlsHandshake": "TLS failed, look at connection.tls_ca_file and their certificate; messages wait in the spool",
}


def _said(kind: str) -> str:
    return _WORDS.get(kind, f"{kind}; messages wait in the spool")
