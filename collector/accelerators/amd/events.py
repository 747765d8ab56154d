"""What the kernel driver reports of GPUs through /dev/kfd: page faults, thermal throttling, resets."""

import ctypes
from collections.abc import Mapping, Sequence
from typing import Final

from collector.accelerators.amd.layouts import EVENT
from collector.accelerators.buffer import Buffer
from collector.accelerators.driver import DriverError, Fault, Meaning
from collector.accelerators.guarded import Guarded
from watchkeeper.core.vocabulary.faults import AMD_EVENTS

MASK: Final = sum(1 << (number - 1) for number in AMD_EVENTS)
_CALL: Final = "amdsmi_get_gpu_event_notification"
_MOST_AT_ONCE: Final = 1024
_ROOM: Final = 1024
"""one event is up to 272 bytes, by release: so one is asked for at a time"""
_NOT_NOW: Final = (Meaning.RESTARTED, Meaning.NOT_LOADED)


class Events:
    """Only one thread calls `wait`."""

    def __init__(self, library: Guarded) -> None:
        self._library = library
        self._buffer = Buffer(_ROOM)
        self._asked: frozenset[int] = frozenset()
        self._hears: set[int] = set()

    def wait(self, gpus: Mapping[int, str], timeout_seconds: float, now: float) -> Sequence[Fault]:
        """
        :param gpus: ids by handle
        :raises DriverError: UNSUPPORTED or NOT_PERMITTED where no GPU's events can be heard
        """
        self._ask_for(gpus)
        found: list[Fault] = []
        timeout_ms = max(1, int(timeout_seconds * 1000))
        while len(found) < _MOST_AT_ONCE:
            count = ctypes.c_uint32(1)
            try:
                self._library.call(_CALL, ctypes.c_int(timeout_ms), ctypes.byref(count), self._buffer.fresh())
            except DriverError as failure:
                if failure.meaning is Meaning.NO_SAMPLE or failure.code == "TIMEOUT":
                    break
                raise
            if count.value == 0:
                break
            handle, number = EVENT.unpack_from(self._buffer.view)
            known = AMD_EVENTS.get(number)
            if known is not None and handle in gpus:
                text = f"{known.code}: {known.text} ({known.severity.value}). To do: {known.action}"
                found.append(Fault(gpus[handle], now, known.code, known.fault_class, known.severity, text))
            timeout_ms = 1
        return found

    def _ask_for(self, gpus: Mapping[int, str]) -> None:
        if self._asked == gpus.keys():
            return
        refused: DriverError | None = None
        for handle in gpus.keys() - self._hears:
            try:
                self._library.call("amdsmi_init_gpu_event_notification", ctypes.c_void_p(handle))
                self._library.call(
                    "amdsmi_set_gpu_event_notification_mask", ctypes.c_void_p(handle), ctypes.c_uint64(MASK)
                )
            except DriverError as failure:
                if failure.meaning in _NOT_NOW:
                    raise
                refused = failure
                continue
            self._hears.add(handle)
        if refused is not None and not self._hears:
            permitted = refused.meaning is not Meaning.NOT_PERMITTED
            raise DriverError(Meaning.UNSUPPORTED if permitted else refused.meaning, refused.code, refused.call)
        self._asked = frozenset(gpus)
