"""XIDs and other events of all GPUs, through one event set."""

import contextlib
import ctypes
from collections.abc import Mapping, Sequence
from typing import Any, Final

from collector.accelerators.driver import DriverError, Fault, Meaning
from collector.accelerators.nvidia.library import Library
from watchkeeper.core.records import Severity
from watchkeeper.core.vocabulary.faults import FaultClass, KnownFault, xid

XID: Final = 0x8
OTHERS: Final[Mapping[int, KnownFault]] = {
    0x200: KnownFault(
        "sbe_storm", "storm of single-bit ECC errors", FaultClass.MEMORY, Severity.WARNING, "plan a replacement"
    ),
    0x1000: KnownFault(
        "nonfatal_poison", "poisoned memory was contained", FaultClass.MEMORY, Severity.WARNING,
        "restart the application",
    ),
    0x2000: KnownFault(
        "fatal_poison", "poisoned memory was used", FaultClass.MEMORY, Severity.CRITICAL,
        "drain the node and reset the GPU",
    ),
    0x4000: KnownFault(
        "gpu_unavailable", "the GPU has become unavailable", FaultClass.BUS, Severity.CRITICAL,
        "drain the node; reset the GPU or reboot",
    ),
}  # fmt: skip
"""by bit: events that come without an XID. Those that come with one (double-bit errors, retirement, recovery action)
are not asked for, or they would count twice"""
WANTED: Final = XID | sum(OTHERS)
_MOST_AT_ONCE: Final = 1024


class Events:
    """An event set over the GPUs that are listed. Only one thread calls `wait`."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._set: Any = None
        self._registered: frozenset[int] = frozenset()

    def wait(self, gpus: Mapping[int, tuple[str, Any]], timeout_seconds: float, now: float) -> Sequence[Fault]:
        """
        :param gpus: by the handle's address: the GPU's id and its handle
        :raises DriverError: UNSUPPORTED where there are no events
        """
        self._register(gpus)
        found: list[Fault] = []
        timeout_ms = max(1, int(timeout_seconds * 1000))
        while len(found) < _MOST_AT_ONCE:
            try:
                event = self._library.call("nvmlEventSetWait_v2", self._set, timeout_ms)
            except DriverError as failure:
                if failure.code == "TIMEOUT":
                    break
                self.free()
                raise
            device_id = gpus.get(address(event.device), ("", None))[0]
            found.append(_fault(device_id, int(event.eventType), int(event.eventData), now))
            timeout_ms = 1
        return found

    def free(self) -> None:
        """It is made anew at the next wait."""
        old, self._set, self._registered = self._set, None, frozenset()
        if old is not None:
            with contextlib.suppress(DriverError):
                self._library.call("nvmlEventSetFree", old)

    def _register(self, gpus: Mapping[int, tuple[str, Any]]) -> None:
        if self._set is not None and self._registered == gpus.keys():
            return
        self.free()
        self._set = self._library.call("nvmlEventSetCreate")
        hears = 0
        for _, handle in gpus.values():
            try:
                supported = self._library.call("nvmlDeviceGetSupportedEventTypes", handle)
                self._library.call("nvmlDeviceRegisterEvents", handle, supported & WANTED, self._set)
            except DriverError as failure:
                if failure.meaning in (Meaning.RESTARTED, Meaning.NOT_LOADED):
                    self.free()
                    raise
                continue
            hears += 1
        if gpus and not hears:
            self.free()
            raise DriverError(Meaning.UNSUPPORTED, "NOT_SUPPORTED", "nvmlDeviceRegisterEvents")
        self._registered = frozenset(gpus)


def address(handle: Any) -> int:
    """Where a handle points: the same for the same GPU as long as the library is open."""
    return ctypes.cast(handle, ctypes.c_void_p).value or 0


def _fault(device_id: str, kind: int, data: int, now: float) -> Fault:
    known = xid(str(data)) if kind == XID else OTHERS.get(kind)
    if known is None:
        known = KnownFault(f"event_{kind:x}", "unknown event", FaultClass.OTHER, Severity.WARNING, "look it up")
    name = f"XID {known.code}" if kind == XID else known.code
    text = f"{name}: {known.text} ({known.severity.value}). To do: {known.action}"
    return Fault(device_id, now, known.code, known.fault_class, known.severity, text)
