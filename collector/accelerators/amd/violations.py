"""
Why clocks are held back (MI300 and later), from the firmware's own count of its ticks and of those with a violation.

The library waits 100 ms in this call for figures that are not used here; so it is made seldom. Nothing is missed: the
counts go on, and what is added between two calls is the share of that time.
"""

import ctypes
from collections.abc import Sequence
from typing import Final

from collector.accelerators.amd.layouts import ACTIVE, VIOLATIONS, Layout
from collector.accelerators.buffer import Buffer
from collector.accelerators.driver import DriverError, Meaning, Measured
from collector.accelerators.guarded import Guarded
from watchkeeper.core.vocabulary import devices as vocabulary

CALL: Final = "amdsmi_get_violation_status"
REASONS: Final = ("prochot", "ppt_power", "socket_thermal", "vr_thermal", "hbm_thermal")
"""in the structure's order: an external signal, the package's power, and heat of socket, voltage regulators, memory"""
LONGEST_SECONDS: Final = 600.0
"""a share over a longer time than this is not told as time"""
_LABELS: Final = tuple(((vocabulary.REASON, reason),) for reason in REASONS)
_ROOM: Final = 8192
_UNTOLD: Final = 0xFFFFFFFFFFFFFFFF
_UNTOLD_ACTIVE: Final = 0xFF


class Violations:
    """Of one device."""

    def __init__(self, library: Guarded, layout: Layout | None, handle: int) -> None:
        self._library = library
        self._layout = layout
        self._handle = handle
        self._buffer = Buffer(_ROOM)
        self._last: tuple[float, int, Sequence[int]] | None = None
        self._seconds = [0.0] * len(REASONS)

    def read(self, now: float) -> Sequence[Measured]:
        """:raises DriverError: UNSUPPORTED before MI300"""
        if self._layout is None:
            raise DriverError(Meaning.UNSUPPORTED, "LAYOUT_NOT_KNOWN", CALL)
        self._library.call(CALL, ctypes.c_void_p(self._handle), self._buffer.fresh())
        ticks, *counts = VIOLATIONS.unpack_from(self._buffer.view)
        active = ACTIVE.unpack_from(self._buffer.view, self._layout.active_offset)
        self._add(now, ticks, counts)
        found = [
            Measured(vocabulary.THROTTLED, 1.0 if on else 0.0, labels)
            for on, labels in zip(active, _LABELS, strict=True)
            if on != _UNTOLD_ACTIVE
        ]
        if ticks != _UNTOLD:
            found += [
                Measured(vocabulary.THROTTLE_TIME, seconds, labels)
                for seconds, count, labels in zip(self._seconds, counts, _LABELS, strict=True)
                if count != _UNTOLD
            ]
        return found

    def _add(self, now: float, ticks: int, counts: Sequence[int]) -> None:
        last, self._last = self._last, (now, ticks, counts)
        if last is None or not 0 < now - last[0] <= LONGEST_SECONDS or not ticks > last[1] or ticks == _UNTOLD:
            return
        for place, (count, before) in enumerate(zip(counts, last[2], strict=True)):
            if count >= before and count != _UNTOLD:
                self._seconds[place] += min(1.0, (count - before) / (ticks - last[1])) * (now - last[0])
