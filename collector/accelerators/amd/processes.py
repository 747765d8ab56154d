"""Processes on one device."""

import ctypes
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from collector.accelerators.amd.layouts import Layout
from collector.accelerators.driver import DriverError, Meaning, Measured, ProcessUse
from collector.accelerators.guarded import Guarded
from watchkeeper.core.vocabulary import devices as vocabulary

MOST: Final = 4096
_FIRST: Final = 32
_CALL: Final = "amdsmi_get_gpu_process_list"
_TOO_MANY: Final = frozenset(("OUT_OF_RESOURCES", "INSUFFICIENT_SIZE", "MORE_DATA"))
_UNTOLD: Final = 0xFFFFFFFFFFFFFFFF


class Processes:
    """The pid is that of the /proc that the library reads: the host's, where the host's /proc is seen."""

    def __init__(self, library: Guarded, layout: Layout | None, handle: int) -> None:
        self._library = library
        self._element = layout.process if layout else None
        self._handle = handle
        self._room = _FIRST

    def read(self, ask: Callable[..., bool]) -> tuple[ProcessUse, ...] | None:
        """None where they cannot be listed."""
        found: list[ProcessUse] = []

        def read() -> Sequence[Measured]:
            found.extend(self._list())
            return ()

        return tuple(found) if ask("processes", read, vocabulary.PROCESSES) else None

    def _list(self) -> Iterator[ProcessUse]:
        element = self._element
        if element is None:
            raise DriverError(Meaning.UNSUPPORTED, "LAYOUT_NOT_KNOWN", _CALL)
        while True:
            room = self._room
            count = ctypes.c_uint32(room)
            array = (ctypes.c_ubyte * (element.size * room))()
            try:
                self._library.call(_CALL, ctypes.c_void_p(self._handle), ctypes.byref(count), array)
            except DriverError as failure:
                if failure.code not in _TOO_MANY or room >= MOST:
                    raise
                self._room = min(MOST, max(2 * room, count.value))
                continue
            for pid, held in element.iter_unpack(bytes(array)[: element.size * min(count.value, room)]):
                yield ProcessUse(pid, None if held == _UNTOLD else float(held))
            return
