"""Faults of vendors that tell what is wrong now, not what has happened: each counts when it appears."""

import queue
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from collector.accelerators.driver import Fault

MOST_WAITING: Final = 1024
"""faults that nobody has fetched; what comes then is lost"""


class Edges:
    """`see` is called in each device's own thread, `wait` in one more. Keeps what is present through a reopening."""

    def __init__(self) -> None:
        self._present: dict[str, frozenset[str]] = {}
        self._waiting: queue.Queue[Fault] = queue.Queue(MOST_WAITING)

    def present(self, device_id: str) -> frozenset[str]:
        """What was wrong with it when it was last asked."""
        return self._present.get(device_id, frozenset())

    def see(self, device_id: str, codes: Iterable[str], describe: Callable[[str], Fault]) -> None:
        """
        :param codes: all that is wrong with the device now
        :param describe: asked for those that were not before
        """
        now = frozenset(codes)
        for code in sorted(now - self.present(device_id)):
            try:
                self._waiting.put_nowait(describe(code))
            except queue.Full:
                break
        self._present[device_id] = now

    def wait(self, timeout_seconds: float) -> Sequence[Fault]:
        """Those that appeared; waits for the first, at most so long."""
        found: list[Fault] = []
        try:
            found.append(self._waiting.get(timeout=timeout_seconds))
            while True:
                found.append(self._waiting.get_nowait())
        except queue.Empty:
            return found
