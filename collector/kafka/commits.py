"""Where the group's partitions are read to, told to the brokers: what counts for calls, and for ticks a hint."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import Any, Final

from kafka import OffsetAndMetadata, TopicPartition
from kafka.errors import FencedInstanceIdError, KafkaError

from watchkeeper.core.fleet import Place, Reached
from watchkeeper.core.kafka import advice, kind_of
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.vocabulary import kafka

_LOG: Final = logging.getLogger("watchkeeper.source.kafka")
_RETRY_SECONDS: Final = 5.0
_ANSWER_MILLISECONDS: Final = 2000
"""nothing is read meanwhile"""


class Commits:
    """`reached` may be called from any thread, the rest from the one that reads. What goes wrong is counted."""

    def __init__(self, group: str, ledger: Ledger) -> None:
        self.is_fenced = False
        """another has our name"""
        self._group = group
        self._ledger = ledger
        self._lock = Lock()
        self._reached: dict[Place, int] = {}
        self._try_at = float("-inf")
        self._problem = ""

    def reached(self, places: Sequence[Reached]) -> None:
        with self._lock:
            for one in places:
                self._reached[one.place] = one.offset

    def hint(self, consumer: Any, place: Place, offset: int) -> None:
        """Of a mark: is left out for a while after it went wrong."""
        if time.monotonic() >= self._try_at:
            self._commit(consumer, {place: offset})

    def write(self, consumer: Any, is_ours: Callable[[Place], bool], *, now: bool) -> None:
        """
        What was reached, of partitions that are ours; what could not be written waits on.

        :param now: also shortly after it went wrong
        """
        if not self._reached or (time.monotonic() < self._try_at and not now):
            return
        with self._lock:
            reached, self._reached = self._reached, {}
        ours = {place: offset for place, offset in reached.items() if is_ours(place)}
        if ours and not self._commit(consumer, ours):
            with self._lock:
                self._reached = ours | self._reached

    def _commit(self, consumer: Any, offsets: Mapping[Place, int]) -> bool:
        """Whether it was done."""
        committed = {TopicPartition(*at): OffsetAndMetadata(offset, "", -1) for at, offset in offsets.items()}
        try:
            if consumer is not None:
                consumer.commit(committed, timeout_ms=_ANSWER_MILLISECONDS)
        except KafkaError as error:
            self._try_at = time.monotonic() + _RETRY_SECONDS
            kind = kind_of(error)
            self._ledger.add(kafka.ERRORS, 1, (("client", "source"), ("reason", kind)))
            if isinstance(error, FencedInstanceIdError):
                self.is_fenced = True
            elif advice(kind):  # others come and go with each rebalance
                said = f"group {self._group} does not take where we are ({kind}{advice(kind)})"
                self._say(f"{said}; after a stop calls are read again")
            return False
        self._say("")
        return True

    def _say(self, problem: str) -> None:
        if problem != self._problem:
            self._problem = problem
            _LOG.warning("%s", problem or f"group {self._group} takes where we are again")
