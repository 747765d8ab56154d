"""The log looked at beside the consumer: where partitions begin and end, and all that one of them holds."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaTimeoutError

from watchkeeper.core.errors import Retryable

_WHOLE_SECONDS: Final = 60.0
_SILENT_SECONDS: Final = 10.0
_FIRST_MILLISECONDS: Final = 1000
_ANSWER_MILLISECONDS: Final = 5000
"""for where a partition ends: nothing is read meanwhile"""
_POLL_MILLISECONDS: Final = 250


class Log:
    """
    Belongs to the thread that reads. Its client is of no group, is made at the first question, and stays.

    It reads uncommitted: ends are those of all that was written, and no reader of committed records is past them.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = dict(settings)
        self._client: Any = None

    def begins(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Offsets of the oldest records. :raises KafkaError:"""
        return self._listed("beginning_offsets", partitions)

    def ends(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Offsets of the records that come next. :raises KafkaError:"""
        return self._listed("end_offsets", partitions)

    def _listed(self, question: str, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """kafka-python goes on asking a broker that leads no longer, without a pause: a new client asks who does."""
        try:
            found: dict[TopicPartition, int] = getattr(self._connected(), question)(partitions, _FIRST_MILLISECONDS)
        except KafkaTimeoutError:
            self.close()
            found = getattr(self._connected(), question)(partitions, _ANSWER_MILLISECONDS)
        return found

    def reaches(self, partition: TopicPartition, offset: int, listed: int) -> bool:
        """
        Whether all records before `offset` are in the log, whose end the brokers list so. Brokers exist that list the
        first record of the last batch: what lies behind is read. One that is slow to give it has not said that there is
        nothing.

        :raises KafkaError:
        """
        if listed >= offset:
            return True
        client = self._connected()
        until = time.monotonic() + _ANSWER_MILLISECONDS / 1000
        try:
            client.assign([partition])
            client.seek(partition, listed)
            while client.position(partition) < offset:
                if not client.poll(timeout_ms=_POLL_MILLISECONDS):
                    if client.highwater(partition) is not None:  # a broker has answered
                        return False
                    if time.monotonic() > until:
                        raise KafkaTimeoutError("what lies behind the end that is listed was not given in time")
            return True
        finally:
            client.unsubscribe()

    def values(self, partition: TopicPartition) -> list[bytes | None]:
        """
        All that is in a partition now, in order.

        :raises KafkaError:
        :raises Retryable: it takes longer than a minute, or nothing comes for long
        """
        end = self.ends([partition])[partition]
        client = self._connected()
        values: list[bytes | None] = []
        until = time.monotonic() + _WHOLE_SECONDS
        silent = time.monotonic() + _SILENT_SECONDS
        try:
            client.assign([partition])
            client.seek_to_beginning(partition)
            while client.position(partition) < end:
                if time.monotonic() > min(until, silent):
                    seconds = _SILENT_SECONDS if silent < until else _WHOLE_SECONDS
                    raise Retryable(f"topic {partition.topic} could not be read in {seconds:g} s")
                for records in client.poll(timeout_ms=500).values():
                    values += [record.value for record in records]
                    silent = time.monotonic() + _SILENT_SECONDS
        finally:
            client.unsubscribe()
        return values

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close(timeout_ms=500)

    def _connected(self) -> Any:
        if self._client is None:
            self._client = KafkaConsumer(
                **(self._settings | {"request_timeout_ms": _ANSWER_MILLISECONDS}), enable_auto_commit=False
            )
        return self._client
