"""Whether partitions that are behind get on. The client says nothing of a broker that gives it nothing. Pure."""

from typing import Final

from kafka import TopicPartition

STALL_SECONDS: Final = 10.0


class Progress:
    """Times are seconds of which only differences count."""

    def __init__(self) -> None:
        self._seen: dict[TopicPartition, tuple[int, float]] = {}
        """where each was, and since when"""
        self._idle_at = float("-inf")

    def idle(self, now: float) -> None:
        """The client had nothing to give, of any partition."""
        self._idle_at = now

    def forget(self, partition: TopicPartition) -> None:
        self._seen.pop(partition, None)

    def is_stalled(self, partition: TopicPartition, offset: int, end: int, now: float) -> bool:
        """
        Once for each `STALL_SECONDS` in which it had more to give and gave nothing.

        :param offset: of the record that comes next
        :param end: offset behind the last
        """
        where, since = self._seen.get(partition, (-1, now))
        if where != offset or offset >= end:
            self._seen[partition] = (offset, now)
            return False
        if now - since < STALL_SECONDS or self._idle_at <= since:  # others may have come first
            return False
        self._seen[partition] = (offset, now)
        return True
