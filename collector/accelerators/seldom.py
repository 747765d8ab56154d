"""Of one device: calls that are made at every sample, and calls that are made now and then."""

from collections.abc import Callable, Sequence
from typing import Final

from collector.accelerators.driver import Calls, CountError, Measured, ProcessUse, Sampled
from watchkeeper.core.metric import Metric
from watchkeeper.core.records import Reason

SLOW_SECONDS: Final = 15.0
"""how often limits, errors, links and processes are read"""
RENEW_SECONDS: Final = 600.0
"""how often what was found unsupported is tried again: a driver that was reloaded may have it"""


class Seldom:
    """What is read every SLOW_SECONDS and told with every sample in between."""

    def __init__(self, count_error: CountError) -> None:
        self._count_error = count_error
        self.calls = Calls(count_error)
        self._renewed_at: float | None = None
        self._read_at = float("-inf")
        self._measured: Sequence[Measured] = ()
        self._missing: Sequence[tuple[Metric, Reason]] = ()

    def begin(self, now: float, read: Callable[[float], None]) -> None:
        """A new sample; `read` makes the calls that are made seldom."""
        if self._renewed_at is None or not 0 <= now - self._renewed_at < RENEW_SECONDS:
            self.calls, self._renewed_at = Calls(self._count_error), now
        self.calls.begin()
        if not 0 <= now - self._read_at < SLOW_SECONDS:
            read(now)
            self._measured, self._missing, self._read_at = self.calls.measured, self.calls.missing, now
            self.calls.begin()

    def end(self, processes: tuple[ProcessUse, ...] | None) -> Sampled:
        """With nothing measured now, what was read a while ago says nothing, and nothing counts as unsupported."""
        if not self.calls.measured:
            self._renewed_at, self._read_at = None, float("-inf")
            return Sampled(missing=tuple(self.calls.missing))
        return Sampled(
            (*self.calls.measured, *self._measured), (*self.calls.missing, *self._missing), processes
        )  # fmt: skip
