"""NVIDIA through NVML."""

import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

import msgspec

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
from collector.accelerators.nvidia.device import Gpu, Partition, Unit
from collector.accelerators.nvidia.events import Events, address
from collector.accelerators.nvidia.gpm import Gpm
from collector.accelerators.nvidia.library import NAME, Library
from collector.accelerators.roll_call import NOT_NOW, RollCall

_PROFILE: Final = re.compile(r"MIG (\S+)$")
_UNKNOWN: Final = Device(id="", name="", vendor="nvidia")


class _Seen(msgspec.Struct, frozen=True):
    """A GPU as it was listed: itself and then its instances, each with what reads it."""

    handle: Any
    listed: tuple[tuple[Device, Unit], ...]


class Nvidia:
    """`library` is what the dynamic linker is asked for, or a path."""

    def __init__(self, count_error: CountError, library: str = NAME) -> None:
        self._count_error = count_error
        self._library = Library(library)
        self._gpm_lock = threading.Lock()
        self._roll: RollCall[_Seen] = RollCall("nvidia", "nvmlDeviceGetHandleByIndex", count_error)
        self._units: Mapping[str, Unit] = {}
        self._known: Mapping[str, Device] = {}
        """by id, as listed last"""
        self._gpus: Mapping[int, tuple[str, Any]] = {}
        self._events: Events | None = None
        self._version = ""

    def open(self) -> None:
        self._units, self._known, self._gpus, self._events = {}, {}, {}, None
        self._roll.forget()
        self._gpm_lock = threading.Lock()  # the old one may be held by a thread that hangs
        self._library.open()
        self._events = Events(self._library)
        self._version = self._text("nvmlSystemGetDriverVersion")

    def devices(self) -> Listing:
        count = min(self._library.call("nvmlDeviceGetCount"), MOST_DEVICES)
        seen = self._roll.of({str(index): partial(self._look, index) for index in range(count)}).values()
        listed = [pair for one in seen for pair in one.listed]
        units = {device.id: unit for device, unit in listed}
        gone = [unit for key, unit in self._units.items() if units.get(key) is not unit]
        self._units, self._known = units, {device.id: device for device, _ in listed}
        self._gpus = {address(one.handle): (one.listed[0][0].id, one.handle) for one in seen}
        for unit in gone:
            unit.free()
        return Listing(tuple(device for device, _ in listed), count - len(seen))

    def _look(self, index: int) -> _Seen:
        handle = self._library.call("nvmlDeviceGetHandleByIndex", index)
        device = self._describe(handle, index)
        unit = self._kept(device.id, handle) or Gpu(self._library, handle, self._gpm_lock, self._count_error)
        return _Seen(handle, ((device, unit), *self._partitions(device, handle)))

    def sample(self, device: Device, now: float) -> Sampled:
        unit = self._units.get(device.id)
        if unit is None:
            raise DriverError(Meaning.STALE, "NOT_LISTED", "nvmlDeviceGetHandleByIndex")
        return unit.sample(now)

    def faults(self, timeout_seconds: float) -> Sequence[Fault]:
        events = self._events
        if events is None:
            return ()
        return events.wait(self._gpus, timeout_seconds, time.time())

    def close(self) -> None:
        self._roll.stop()
        self._library.close()

    def _kept(self, device_id: str, handle: Any) -> Unit | None:
        """What is known of it from the last listing, if its handle is still the same."""
        unit = self._units.get(device_id)
        return unit if unit is not None and address(unit.handle) == address(handle) else None

    def _describe(self, handle: Any, index: int) -> Device:
        uuid = self._library.call("nvmlDeviceGetUUID", handle)
        # a name that is not told this time would give every series other labels
        known = self._known.get(uuid, _UNKNOWN)
        minor = self._text("nvmlDeviceGetMinorNumber", handle)
        return Device(
            id=uuid,
            name=str(index),
            vendor="nvidia",
            model=self._text("nvmlDeviceGetName", handle) or known.model,
            serial=self._text("nvmlDeviceGetSerial", handle) or known.serial,
            driver_version=self._version,
            firmware_version=self._text("nvmlDeviceGetVbiosVersion", handle) or known.firmware_version,
            pci_address=self._pci_address(handle) or known.pci_address,
            aliases=(f"nvidia{minor}",) if minor else known.aliases,
        )

    def _partitions(self, parent: Device, handle: Any) -> Iterator[tuple[Device, Unit]]:
        try:
            if not self._library.call("nvmlDeviceGetMigMode", handle)[0]:
                return
            places = self._library.call("nvmlDeviceGetMaxMigDeviceCount", handle)
        except DriverError as failure:
            if failure.meaning in NOT_NOW:
                raise
            return
        for place in range(places):
            try:
                yield self._partition(parent, handle, place)
            except DriverError as failure:
                if failure.meaning in NOT_NOW:
                    raise
                if failure.meaning is not Meaning.NO_SAMPLE:  # NOT_FOUND: no instance in this place
                    self._count_error(failure.call, failure.code)

    def _partition(self, parent: Device, parent_handle: Any, place: int) -> tuple[Device, Unit]:
        handle = self._library.call("nvmlDeviceGetMigDeviceHandleByIndex", parent_handle, place)
        uuid = self._library.call("nvmlDeviceGetUUID", handle)
        instance = self._library.call("nvmlDeviceGetGpuInstanceId", handle)
        profile = _PROFILE.search(self._text("nvmlDeviceGetName", handle))
        device = msgspec.structs.replace(
            parent,
            id=uuid,
            name=f"{parent.name}:{place}",
            parent=parent.id,
            profile=profile[1] if profile else self._known.get(uuid, _UNKNOWN).profile,
            aliases=tuple(f"{alias}/gi{instance}" for alias in parent.aliases),
        )
        unit = self._kept(uuid, handle) or Partition(
            self._library, handle, Gpm(self._library, self._gpm_lock, parent_handle, instance), self._count_error
        )
        return device, unit

    def _pci_address(self, handle: Any) -> str:
        try:
            raw = self._library.call("nvmlDeviceGetPciInfo_v3", handle).busId
        except DriverError as failure:
            if failure.meaning in NOT_NOW:
                raise
            return ""
        return (raw.decode(errors="replace") if isinstance(raw, bytes) else str(raw)).lower()

    def _text(self, call: str, *arguments: Any) -> str:
        """Part of the inventory; empty when it is not told."""
        try:
            return str(self._library.call(call, *arguments))
        except DriverError as failure:
            if failure.meaning in (*NOT_NOW, Meaning.LOST):
                raise
            return ""
