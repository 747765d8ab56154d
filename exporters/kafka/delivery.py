"""
A few messages to the brokers, and what became of each. Imports the client.

The client is used without idempotence: with it, one message that a broker refuses fails all others, too, even those on
their way, and who may not ask for a producer id sends nothing. One request at a time keeps the order; what is sent
twice is known again by who reads.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, cast

from kafka import KafkaProducer
from kafka.errors import (
    CorruptRecordError,
    InvalidRecordError,
    InvalidRequestError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    PolicyViolationError,
    RecordListTooLargeError,
    UnknownError,
    UnsupportedForMessageFormatError,
)

from exporters.kafka.spool import Lane, Waiting
from watchkeeper.core import wire
from watchkeeper.core.kafka import end

_DELIVERY_SECONDS: Final = 15.0
_CONNECT_SECONDS: Final = 3.0
_FEWEST_SECONDS: Final = 0.1
_CLOSE_SECONDS: Final = 0.5
_BATCH_BYTES: Final = 256 << 10
"""what is sent to a partition at once is seldom more, and then taken or refused together"""
_STEP_SECONDS: Final = 0.25
_RETRIES: Final = 10
"""of the client, 0.1 s apart: a partition that changes its leader is seldom longer without one"""
_TOO_LARGE: Final = (MessageSizeTooLargeError, RecordListTooLargeError)
_REFUSED: Final = (*_TOO_LARGE, InvalidRecordError, PolicyViolationError)
_DOUBTED: Final = (CorruptRecordError, UnknownError, InvalidRequestError, UnsupportedForMessageFormatError)

Wrong = dict[int, Exception]
"""why, by the id of each message that was not acknowledged"""


def is_refused(error: Exception) -> bool:
    """Whether the message will never be taken."""
    return isinstance(error, _REFUSED)


def is_doubted(error: Exception) -> bool:
    """Whether it may be the message that is wrong, or the brokers."""
    return isinstance(error, _DOUBTED)


class Delivery:
    """
    Belongs to one thread.

    :param settings: of the client
    :param left: seconds that are left before the process ends; asked while something is waited for
    """

    def __init__(self, settings: dict[str, Any], compression: str | None, left: Callable[[], float]) -> None:
        self._settings = settings
        self._compression = compression
        self._left = left
        self._producer: Any = None

    def deliver(self, waiting: Sequence[Waiting]) -> Wrong:
        """:raises KafkaError: no broker answers"""
        wrong = self._together(waiting)
        stuck: set[Lane] = set()
        for one in waiting if len(waiting) > 1 else ():
            lane = one.message.lane
            if one.id in wrong and _may_be_of_another(wrong[one.id]):
                del wrong[one.id]
                may_try = lane not in stuck and self._left() > 0
                wrong |= self._together([one]) if may_try else {one.id: KafkaTimeoutError("behind another")}
            if one.id in wrong and not is_refused(wrong[one.id]):
                stuck.add(lane)
        return wrong

    def discard(self) -> None:
        """What is on its way is given up; the next client begins anew."""
        producer, self._producer = self._producer, None
        if producer is not None:
            end(producer, _CLOSE_SECONDS)

    def _together(self, waiting: Sequence[Waiting]) -> Wrong:
        producer = self._connected()
        futures: dict[int, Any] = {}
        wrong: Wrong = {}
        missing: dict[str, Exception] = {}
        for one in waiting:
            topic = one.message.topic
            if topic in missing:
                wrong[one.id] = missing[topic]
                continue
            try:
                future = futures[one.id] = producer.send(topic, one.message.value, one.message.key)
                if future.is_done and future.exception is not None:  # the client may know no more of a topic
                    missing[topic] = future.exception
            except _TOO_LARGE as error:
                wrong[one.id] = error
            except (KafkaError, ValueError) as error:
                wrong[one.id] = missing[topic] = error
        self._wait(futures)
        wrong |= {number: found for number, future in futures.items() if (found := _error(future)) is not None}
        if any(isinstance(error, KafkaTimeoutError) for error in wrong.values()):
            self.discard()
        return wrong

    def _wait(self, futures: dict[int, Any]) -> None:
        until = time.monotonic() + _DELIVERY_SECONDS
        for future in futures.values():
            while not future.is_done and (seconds := min(until - time.monotonic(), self._left(), _STEP_SECONDS)) > 0:
                with suppress(KafkaError):
                    future.get(seconds)

    def _connected(self) -> Any:
        if self._producer is None:
            left = max(_FEWEST_SECONDS, self._left())
            self._producer = KafkaProducer(
                **(self._settings | {"bootstrap_timeout_ms": int(min(_CONNECT_SECONDS, left) * 1000)}),
                compression_type=self._compression,
                linger_ms=5,
                batch_size=_BATCH_BYTES,
                acks="all",
                enable_idempotence=False,
                max_in_flight_requests_per_connection=1,
                retries=_RETRIES,
                max_request_size=wire.MOST_BYTES,
                max_block_ms=int(min(_CONNECT_SECONDS, left) * 1000),
                delivery_timeout_ms=int(_DELIVERY_SECONDS * 1000),
            )
        return self._producer


def _may_be_of_another(error: Exception) -> bool:
    """A message in the same batch: the client then gives all others an error of no kind."""
    return isinstance(error, (InvalidRecordError, PolicyViolationError, *_DOUBTED)) or type(error) is KafkaError


def _error(future: Any) -> Exception | None:
    return cast(Exception | None, future.exception) if future.is_done else KafkaTimeoutError("not acknowledged in time")
