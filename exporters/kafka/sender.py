"""Sends what waits in the spool, oldest first, in a thread of its own."""

import logging
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any, Final

from kafka.errors import KafkaError

from exporters.kafka.delivery import Delivery, Wrong, is_doubted, is_refused
from exporters.kafka.spool import Lane, Message, Spool, Waiting
from watchkeeper.core.kafka import kind_of, words
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.vocabulary import health, kafka

_LOG: Final = logging.getLogger("watchkeeper.exporter.kafka")
_AT_ONCE: Final = 64
"""messages sent before the spool is told: as many as a detector knows again when they come twice"""
_MOST_UNSPOOLED: Final = 10_000
_MOST_HELD: Final = 500
"""lanes that are passed over; with more, nothing is sent for a while"""
_IDLE_SECONDS: Final = 0.2
_BACKOFF_SECONDS: Final = (0.5, 10.0)
_DOUBT_SECONDS: Final = 60.0
"""that a message is tried alone which may be at fault for what the brokers answer"""
_LAST_SECONDS: Final = 4.0
"""for what is sent at a stop: a little less than is waited for it"""
_BACKLOG_SECONDS: Final = 30.0
_PACE: Final = 20.0
"""
seconds of a backlog that are sent in one: senders that come back one after another stay near each other, so that a
detector holds few ticks open
"""
_CLIENT: Final = (("client", "exporter"),)
_QUEUE: Final = (("queue", "kafka"),)


class Sender:
    """
    `put` never waits. `problem` says what keeps messages from leaving, empty when nothing does. Messages of a lane that
    cannot leave wait, and the others go on.

    :param settings: of the client
    """

    def __init__(
        self, settings: dict[str, Any], compression: str, file: Path | None, most_bytes: int, ledger: Ledger
    ) -> None:
        self.problem = ""
        self._servers = ", ".join(settings["bootstrap_servers"])
        self._delivery = Delivery(settings, None if compression == "none" else compression, self._left)
        self._file = file
        self._most_bytes = most_bytes
        self._ledger = ledger
        self._lock = Lock()
        self._unspooled: deque[Message] = deque(maxlen=_MOST_UNSPOOLED)
        self._wake, self._stop = Event(), Event()
        self._end = float("inf")
        self._held: set[Lane] = set()
        """lanes that wait for the next try"""
        self._is_away = False
        """no lane is sent before the next try"""
        self._failed = 0
        self._try_at = 0.0
        self._doubted_at: dict[int, float] = {}
        """when each was first refused alone, by id: the first of lanes that are held"""
        self._told: set[tuple[str, str]] = set()
        """topics and why they refused a message, as far as it was said"""
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
        self._end = time.monotonic() + _LAST_SECONDS
        self._stop.set()
        self._wake.set()
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _left(self) -> float:
        return self._end - time.monotonic()

    def _run(self) -> None:
        spool = Spool(self._file, self._most_bytes, self._dropped)
        try:
            while not self._stop.is_set():
                self._wake.wait(_IDLE_SECONDS)
                self._wake.clear()
                self._take_in(spool)
                while not self._stop.is_set() and self._may_send() and self._send(spool):
                    self._take_in(spool)
                self._report(spool)
            self._send_last(spool)
        finally:
            self._delivery.discard()
            spool.close()

    def _may_send(self) -> bool:
        if time.monotonic() >= self._try_at:
            self._held, self._is_away = set(), False
        return not self._is_away

    def _send_last(self, spool: Spool) -> None:
        """What is in no file gets a last try, though the one before failed: it is lost otherwise."""
        self._take_in(spool)
        if not spool.is_kept:
            self._held, self._is_away = set(), False
        while not self._is_away and self._left() > 0 and self._send(spool, is_last=True):
            pass
        if spool.messages and not spool.is_kept:
            self._dropped("shutdown", spool.messages)
            why = self.problem or "no time was left to send them"
            _LOG.warning("%d messages waited in memory and are lost: %s", spool.messages, why)

    def _take_in(self, spool: Spool) -> None:
        with self._lock:
            messages, self._unspooled = self._unspooled, deque(maxlen=_MOST_UNSPOOLED)
        if messages:
            spool.put(messages)

    def _send(self, spool: Spool, *, is_last: bool = False) -> bool:
        """
        The oldest of what waits; what is not acknowledged stays, and is tried again.

        :return: whether there was anything to send
        """
        waiting = spool.first(_AT_ONCE, self._held) if spool.messages else []
        if not waiting:
            return False
        started = time.monotonic()
        try:
            with self._ledger.steps.timed("send kafka"):
                wrong = self._delivery.deliver(waiting)
        except (KafkaError, OSError, ValueError) as error:
            self._is_away = True
            self._fail({"": error})
            return True
        self._settle(spool, waiting, wrong)
        if not is_last and not wrong and time.time() - waiting[0].message.at > _BACKLOG_SECONDS:
            span = max(0.0, waiting[-1].message.at - waiting[0].message.at)
            self._stop.wait(max(0.0, span / _PACE - (time.monotonic() - started)))
        return True

    def _settle(self, spool: Spool, waiting: Sequence[Waiting], wrong: Wrong) -> None:
        """What was sent or will never be leaves the spool, in each lane up to the first that is to be tried again."""
        failed: dict[str, Exception] = {}
        done: list[Waiting] = []
        refused: set[int] = set()
        held: set[Lane] = set()
        for one in waiting:
            lane, error = one.message.lane, wrong.get(one.id)
            if lane in held:
                continue
            if error is not None and self._is_refused(one, error):
                refused.add(one.id)
            elif error is not None:
                held.add(lane)
                failed.setdefault(lane[0], error)
                continue
            done.append(one)
        spool.take_off(done)
        self._count(done, refused)
        if failed:
            self._fail(failed)
            self._held |= held
            self._is_away = len(self._held) > _MOST_HELD
        elif not self._held:
            self._well()

    def _is_refused(self, one: Waiting, error: Exception) -> bool:
        """Also one that was doubted for long."""
        if is_doubted(error):
            now = time.monotonic()
            if now - self._doubted_at.setdefault(one.id, now) < _DOUBT_SECONDS:
                return False
        elif not is_refused(error):
            return False
        self._doubted_at.pop(one.id, None)
        self._tell_refused(one.message, kind_of(error))
        return True

    def _tell_refused(self, message: Message, kind: str) -> None:
        if (message.topic, kind) not in self._told:
            self._told.add((message.topic, kind))
            _LOG.warning(
                "topic %s refuses a message of %d bytes (%s): %s; it is dropped and counted, as are others like it",
                message.topic, len(message.value), kind, _REFUSALS.get(kind, "look at the brokers' log"),
            )  # fmt: skip

    def _count(self, done: Sequence[Waiting], refused: set[int]) -> None:
        self._dropped("refused", sum(one.id in refused for one in done))
        for one in done:
            if one.id not in refused:
                topic = (("topic", one.message.topic),)
                self._ledger.add(kafka.SENT, 1, topic)
                self._ledger.add(kafka.SENT_SIZE, len(one.message.value), topic)

    def _fail(self, errors: Mapping[str, Exception]) -> None:
        """:param errors: by topic; of no topic where no broker answers"""
        if not self._held:
            low, high = _BACKOFF_SECONDS
            self._try_at = time.monotonic() + min(high, low * 2.0 ** min(self._failed, 10))
            self._failed += 1
        kinds = {topic: kind_of(error) for topic, error in errors.items()}
        for kind in sorted(set(kinds.values())):
            self._ledger.add(kafka.ERRORS, 1, (*_CLIENT, ("reason", kind)))
        self.problem = f"brokers {self._servers}: {_said(kinds)}; messages wait in the spool"

    def _well(self) -> None:
        self._failed = 0
        self._doubted_at.clear()
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


_REFUSALS: Final = {
    "MessageSizeTooLarge": "raise max.message.bytes of the topic",
    "RecordListTooLarge": "raise segment.bytes of the topic",
    "InvalidRecord": "look at what the topic demands of messages",
    "PolicyViolation": "look at what the brokers' policy demands of messages",
}


def _said(kinds: Mapping[str, str]) -> str:
    return ", ".join((f"topic {topic}: " if topic else "") + _meaning(kind) for topic, kind in sorted(kinds.items()))


def _meaning(kind: str) -> str:
    return "no answer, or it is not there (topics: docs/fleet.md)" if kind == "KafkaTimeout" else words(kind)
