"""Errors that a Gaudi reports, through one event set."""

import contextlib
import ctypes
from collections.abc import Mapping, Sequence
from struct import Struct
from typing import Final

from collector.accelerators.driver import DriverError, Fault, Meaning
from collector.accelerators.guarded import Guarded
from watchkeeper.core.vocabulary.faults import GAUDI_EVENTS

EVENT: Final = Struct("<QQ")
"""the device's handle, and bits of what happened"""
MASK: Final = sum(GAUDI_EVENTS)
_MOST_AT_ONCE: Final = 1024
_NOT_NOW: Final = (Meaning.RESTARTED, Meaning.NOT_LOADED)


class Events:
    """Only one thread calls `wait`."""

    def __init__(self, library: Guarded) -> None:
        self._library = library
        self._set = ctypes.c_void_p()
        self._registered: frozenset[int] = frozenset()

    def wait(self, devices: Mapping[int, str], timeout_seconds: float, now: float) -> Sequence[Fault]:
        """
        :param devices: ids by handle
        :raises DriverError: UNSUPPORTED or NOT_PERMITTED where no device's events can be heard
        """
        self._register(devices)
        found: list[Fault] = []
        timeout_ms = max(1, int(timeout_seconds * 1000))
        event = (ctypes.c_ubyte * EVENT.size)()
        while len(found) < _MOST_AT_ONCE:
            try:
                self._library.call("hlml_event_set_wait", self._set, event, ctypes.c_uint32(timeout_ms))
            except DriverError as failure:
                if failure.code == "TIMEOUT" or failure.meaning is Meaning.NO_SAMPLE:
                    break
                self._free()
                raise
            handle, bits = EVENT.unpack_from(event)
            found += _faults(devices.get(handle, ""), bits, now)
            timeout_ms = 1
        return found

    def _register(self, devices: Mapping[int, str]) -> None:
        if self._set and self._registered == devices.keys():
            return
        self._free()
        self._library.call("hlml_event_set_create", ctypes.byref(self._set))
        refused: DriverError | None = None
        hears = 0
        for handle in devices:
            try:
                self._library.call(
                    "hlml_device_register_events", ctypes.c_void_p(handle), ctypes.c_uint64(MASK), self._set
                )
            except DriverError as failure:
                if failure.meaning in _NOT_NOW:
                    self._free()
                    raise
                refused = failure
                continue
            hears += 1
        if refused is not None and not hears:
            self._free()
            raise DriverError(Meaning.UNSUPPORTED, refused.code, refused.call)
        self._registered = frozenset(devices)

    def _free(self) -> None:
        """It is made anew at the next wait."""
        old, self._set, self._registered = self._set, ctypes.c_void_p(), frozenset()
        if old:
            with contextlib.suppress(DriverError):
                self._library.call("hlml_event_set_free", old)


def _faults(device_id: str, bits: int, now: float) -> Sequence[Fault]:
    return [
        Fault(
            device_id, now, known.code, known.fault_class, known.severity,
            f"{known.code}: {known.text} ({known.severity.value}). To do: {known.action}",
        )
        for bit, known in GAUDI_EVENTS.items()
        if bits & bit
    ]  # fmt: skip
