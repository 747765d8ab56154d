"""What watchkeeper itself costs: processor time, resident memory, when it started."""

import ctypes
import os
import resource
import sys
from contextlib import suppress

from watchkeeper.core.ledger import Ledger
from watchkeeper.core.vocabulary import health

_STATM = "/proc/self/statm"
_STATM_BYTES = 256
_PAGE_BYTES = resource.getpagesize()
_M_ARENA_MAX = -8
"""glibc's number for how many heaps its malloc may make"""


def share_one_heap() -> None:
    """
    glibc gives threads heaps of their own, and what one has freed no other takes. A role that waits most of the time
    has no use for that. To be called before threads start; other C libraries have one heap, or stay as they are.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


class ProcessMeter:
    """Sets the process gauges in a ledger at every call of `report`."""

    def __init__(self, ledger: Ledger, started_at: float, version: str, role: str) -> None:
        self._ledger = ledger
        self._started_at = started_at
        self._info = (("version", version), ("role", role))
        self._cpu_seconds = 0.0

    def report(self) -> None:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        cpu_seconds = usage.ru_utime + usage.ru_stime
        self._ledger.add(health.CPU_TIME, cpu_seconds - self._cpu_seconds)
        self._cpu_seconds = cpu_seconds
        self._ledger.set(health.MEMORY, resident_bytes())
        self._ledger.set(health.START_TIME, self._started_at)
        self._ledger.set(health.BUILD_INFO, 1, self._info)


def resident_bytes() -> int:
    """Resident memory now; where /proc is absent, the highest so far."""
    try:
        file = os.open(_STATM, os.O_RDONLY | os.O_CLOEXEC)  # twice a second: a file object would cost ten times as much
        try:
            return int(os.read(file, _STATM_BYTES).split()[1]) * _PAGE_BYTES
        finally:
            os.close(file)
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
