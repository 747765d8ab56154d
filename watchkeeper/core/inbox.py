"""The bounded queue between a push protocol and `Source.read`."""

from collections import deque
from collections.abc import Sequence
from threading import Lock
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Inbox(Generic[Item]):
    """
    Holds what was acknowledged until the pipeline has folded it: what was taken counts until it is released. Bounded in
    bytes; refuses when full, never drops.

    >>> inbox = Inbox(capacity_bytes=10)
    >>> inbox.put("a", size_bytes=8), inbox.put("b", size_bytes=8)
    (True, False)
    >>> inbox.take()
    ['a']
    """

    def __init__(self, capacity_bytes: int) -> None:
        self.capacity_bytes = capacity_bytes
        self._lock = Lock()
        self._items: deque[tuple[Item, int]] = deque()
        self._size_bytes = 0
        self._taken: tuple[int, int] = (0, 0)
        """items and bytes"""
        self._closed = False

    def put(self, item: Item, size_bytes: int) -> bool:
        """False when it is full or closed: refuse the sender with a retryable answer."""
        with self._lock:
            full = bool(len(self)) and self.size_bytes + size_bytes > self.capacity_bytes
            if self._closed or full:
                return False
            self._items.append((item, size_bytes))
            self._size_bytes += size_bytes
            return True

    def take(self) -> Sequence[Item]:
        """Everything that waits, oldest first."""
        with self._lock:
            taken, self._items = self._items, deque()
            items, size_bytes = self._taken
            self._taken = items + len(taken), size_bytes + self._size_bytes
            self._size_bytes = 0
        return [item for item, _ in taken]

    def release(self) -> None:
        """What was taken is worked off."""
        with self._lock:
            self._taken = 0, 0

    def close(self) -> None:
        """Refuse from now on; what is held can still be taken."""
        with self._lock:
            self._closed = True

    @property
    def size_bytes(self) -> int:
        return self._size_bytes + self._taken[1]

    def __len__(self) -> int:
        return len(self._items) + self._taken[0]
