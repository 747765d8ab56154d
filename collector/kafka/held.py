"""What is known of a partition that is read, and whether it gets on: a client says nothing of a silent broker. Pure."""

from dataclasses import dataclass
from typing import Final

STALL_SECONDS: Final = 10.0


@dataclass(slots=True)
class Held:
    """A partition that is ours and read."""

    next: int
    """offset of the record that comes next"""
    listed: int = 0
    """its end, as the brokers told it last"""
    newest_at: float | None = None
    """unix seconds at which the record was sent that was read last"""
    stalled_at: int | None = None
    """offset from which the brokers give no more"""
    _seen: int = -1
    _since: float = 0.0
    """when `next` was first seen where it is"""

    def is_stalled(self, end: int, now: float, idle_at: float) -> bool:
        """
        Once for each `STALL_SECONDS` in which it had more to give and gave nothing.

        :param end: offset behind the last
        :param now: seconds, of which only differences count
        :param idle_at: when the client had nothing to give last, of any partition: others may come first
        """
        if self._seen != self.next or self.next >= end:
            self._seen, self._since = self.next, now
            return False
        if now - self._since < STALL_SECONDS or idle_at <= self._since:
            return False
        self._since = now
        return True
