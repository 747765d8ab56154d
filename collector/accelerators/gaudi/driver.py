"""Intel Gaudi through HLML."""

import ctypes
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from collector.accelerators.buffer import Buffer
from collector.accelerators.driver import (
    MOST_DEVICES,
    CountError,
    Device,
    DriverError,
    Fault,
    Listing,
    Meaning,
    Sampled,
)
from collector.accelerators.gaudi import NAMES, codes
from collector.accelerators.gaudi.device import ROOM, Accelerator
from collector.accelerators.gaudi.events import Events
from collector.accelerators.guarded import Guarded
from collector.accelerators.native import Native
from collector.accelerators.roll_call import NOT_NOW, RollCall

REOPEN_SECONDS: Final = 60.0
"""a device of which nothing can be read makes the library look anew, no more often than this"""
_BUS_ID: Final = (4, 19)
"""in the structure of PCI; what stands behind it has moved between releases"""
_TEXT: Final = 128


class Gaudi:
    """`names` are what the dynamic linker is asked for, or paths."""

    def __init__(self, count_error: CountError, names: Sequence[str] = NAMES) -> None:
        self._count_error = count_error
        self._library = Guarded(Native(names, codes.error))
        self._is_initialised = False
        self._roll: RollCall[tuple[Device, int]] = RollCall("gaudi", "hlml_device_get_handle_by_index", count_error)
        self._units: Mapping[str, Accelerator] = {}
        self._events: Events | None = None
        self._version = ""
        self._opened_at = float("-inf")

    def open(self) -> None:
        self._library.load()
        with self._library.alone() as library:
            if self._is_initialised:
                self._is_initialised = False
                library.call("hlml_shutdown")
            self._units, self._events = {}, None
            self._roll.forget()
            try:
                library.call("hlml_init")
            except DriverError as failure:
                if failure.code != "ALREADY_INITIALIZED":
                    raise
            self._is_initialised = True
            self._opened_at = time.monotonic()
        self._version = self._text("hlml_get_driver_version")
        self._events = Events(self._library)

    def devices(self) -> Listing:
        count = ctypes.c_uint32()
        self._library.call("hlml_device_get_count", ctypes.byref(count))
        listed: list[Device] = []
        units: dict[str, Accelerator] = {}
        asked = {str(index): partial(self._look, index) for index in range(min(count.value, MOST_DEVICES))}
        found = self._roll.of(asked)
        for device, value in found.values():
            kept = self._units.get(device.id)
            same = kept is not None and kept.handle == value
            units[device.id] = kept if same and kept else Accelerator(self._library, value, self._count_error)
            listed.append(device)
        self._units = units
        return Listing(tuple(listed), len(asked) - len(found))

    def _look(self, index: int) -> tuple[Device, int]:
        """:raises DriverError: it is gone"""
        handle = ctypes.c_void_p()
        self._library.call("hlml_device_get_handle_by_index", ctypes.c_uint32(index), ctypes.byref(handle))
        return self._describe(handle, index), handle.value or 0

    def sample(self, device: Device, now: float) -> Sampled:
        unit = self._units.get(device.id)
        if unit is None:
            raise DriverError(Meaning.STALE, "NOT_LISTED", "hlml_device_get_handle_by_index")
        sampled = unit.sample(now)
        if not sampled.measured and time.monotonic() - self._opened_at >= REOPEN_SECONDS:
            self._opened_at = time.monotonic()
            raise DriverError(Meaning.RESTARTED, "NOTHING_TOLD", "hlml_device_get_utilization_rates")
        return sampled

    def faults(self, timeout_seconds: float) -> Sequence[Fault]:
        events, handles = self._events, {unit.handle: key for key, unit in self._units.items()}
        if events is None:
            return ()
        if not handles:
            time.sleep(timeout_seconds)
            return ()
        return events.wait(handles, timeout_seconds, time.time())

    def close(self) -> None:
        """Left open when somebody hangs in it."""
        self._roll.stop()
        try:
            with self._library.alone() as library:
                if self._is_initialised:
                    self._is_initialised = False
                    library.call("hlml_shutdown")
        except DriverError:
            return

    def _describe(self, handle: ctypes.c_void_p, index: int) -> Device:
        """:raises DriverError: it is gone"""
        address = self._pci_address(handle)
        serial = self._text("hlml_device_get_serial", handle)
        minor = self._minor(handle)
        return Device(
            id=self._text("hlml_device_get_uuid", handle) or serial or address or str(index),
            name=str(index),
            vendor="gaudi",
            model=self._text("hlml_device_get_name", handle),
            serial=serial,
            driver_version=self._version,
            firmware_version=self._text("hlml_get_fw_os_version", handle),
            pci_address=address,
            aliases=() if minor is None else (f"accel{minor}", f"hl{minor}"),
        )

    def _minor(self, handle: ctypes.c_void_p) -> int | None:
        """The number of its device file."""
        minor = ctypes.c_uint32()
        return minor.value if self._told("hlml_device_get_minor_number", handle, ctypes.byref(minor)) else None

    def _pci_address(self, handle: ctypes.c_void_p) -> str:
        buffer = Buffer(ROOM)
        said = self._told("hlml_device_get_pci_info", handle, buffer.fresh())
        return buffer.text(*_BUS_ID).lower() if said else ""

    def _text(self, call: str, *of: ctypes.c_void_p) -> str:
        """Part of the inventory; empty when it is not told."""
        buffer = Buffer(ROOM)
        said = self._told(call, *of, buffer.fresh(), ctypes.c_uint32(_TEXT))
        return buffer.text(0, _TEXT) if said else ""

    def _told(self, call: str, *arguments: Any) -> bool:
        try:
            self._library.call(call, *arguments)
        except DriverError as failure:
            if failure.meaning in (*NOT_NOW, Meaning.LOST):
                raise
            return False
        return True
