"""XIDs of all cards, through one event handle."""

import contextlib
import ctypes
from collections.abc import Mapping, Sequence
from typing import Final

from collector.accelerators.cambricon import codes, structs
from collector.accelerators.driver import DriverError, Fault, Meaning
from collector.accelerators.native import Native
from watchkeeper.core.vocabulary.faults import mlu_xid

_MOST_AT_ONCE: Final = 1024
_GONE: Final = (Meaning.RESTARTED, Meaning.NOT_LOADED)


class Events:
    """Only one thread calls `wait`. Registered anew when other cards are there."""

    def __init__(self, library: Native) -> None:
        self._library = library
        self._handle: ctypes.c_void_p | None = None
        self._registered: Mapping[int, str] = {}
        self._event = structs.Event()

    def wait(self, cards: Mapping[int, str], timeout_seconds: float, now: float) -> Sequence[Fault]:
        """
        :param cards: by CNDev's handle: the card's id
        :raises DriverError: UNSUPPORTED where there are no events
        """
        self._register(cards)
        found: list[Fault] = []
        timeout_ms = max(1, int(timeout_seconds * 1000))
        while len(found) < _MOST_AT_ONCE and self._next(timeout_ms):
            timeout_ms = 1
            card_id = cards.get(self._event.device)
            if card_id is not None and self._event.kind == structs.XID_EVENT:
                found.append(_fault(card_id, self._event.data, now))
        return found

    def free(self) -> None:
        """It is made anew at the next wait."""
        old, self._handle, self._registered = self._handle, None, {}
        if old is not None:
            with contextlib.suppress(DriverError):
                self._library.call("cndevEventHandleDestroy", old)

    def _next(self, timeout_ms: int) -> bool:
        """Whether there was one in time."""
        call = "cndevEventWait"
        self._event.version = structs.VERSION
        code = int(self._library.function(call)(self._handle, ctypes.byref(self._event), timeout_ms))
        if code and code != codes.TIMEOUT:
            self.free()
            raise codes.error(code, call)
        return not code

    def _register(self, cards: Mapping[int, str]) -> None:
        if self._handle is not None and self._registered == cards:
            return
        self.free()
        handle = ctypes.c_void_p()
        self._library.call("cndevEventHandleCreate", ctypes.byref(handle))
        self._handle = handle
        hears = 0
        for card in cards:
            try:
                self._library.call("cndevRegisterEvents", handle, ctypes.c_ulonglong(structs.ALL_EVENTS), card)
            except DriverError as failure:
                if failure.meaning in _GONE:
                    self.free()
                    raise
                continue
            hears += 1
        if cards and not hears:
            self.free()
            raise DriverError(Meaning.UNSUPPORTED, "NOT_SUPPORTED", "cndevRegisterEvents")
        self._registered = dict(cards)


def _fault(card_id: str, number: int, now: float) -> Fault:
    known = mlu_xid(number)
    text = f"XID {known.code}: {known.text} ({known.severity.value}). To do: {known.action}"
    return Fault(card_id, now, known.code, known.fault_class, known.severity, text)
