"""AMD through AMD SMI."""

import ctypes
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from collector.accelerators.amd import NAMES, codes, layouts
from collector.accelerators.amd.device import MOST_ROOM, Gpu, Partition, Unit
from collector.accelerators.amd.events import Events
from collector.accelerators.amd.layouts import Layout
from collector.accelerators.buffer import Buffer
from collector.accelerators.driver import CountError, Device, DriverError, Fault, Listing, Meaning, Sampled
from collector.accelerators.guarded import Guarded
from collector.accelerators.native import Native

SYSFS: Final = Path("/sys")
REOPEN_SECONDS: Final = 60.0
"""a device of which nothing can be read makes the library look anew, no more often than this"""
_GPUS: Final = ctypes.c_uint64(2)
_MOST: Final = 256
_NOT_NOW: Final = (Meaning.RESTARTED, Meaning.NOT_LOADED, Meaning.ABSENT)
_PLATFORM: Final = "amdgpu_xcp_"
"""how a partition other than the first stands in /sys, and what AMD's device plugin calls it"""


class _Found(msgspec.Struct, frozen=True):
    """A processor as the library lists it: a GPU or a part of one."""

    handle: int
    address: int
    """its PCI address, without the function"""
    function: int
    partition: int


class Amd:
    """`names` are what the dynamic linker is asked for, or paths; `sysfs` is where the host's /sys is seen."""

    def __init__(self, count_error: CountError, names: Sequence[str] = NAMES, sysfs: Path = SYSFS) -> None:
        self._count_error = count_error
        self._library = Guarded(Native(names, codes.error))
        self._sysfs = sysfs
        self._is_initialised = False
        self._layout: Layout | None = None
        self._buffer = Buffer(MOST_ROOM)
        self._units: Mapping[str, Unit] = {}
        self._addresses: Mapping[str, str] = {}
        self._gpus: Mapping[int, str] = {}
        self._events: Events | None = None
        self._gone: frozenset[str] = frozenset()
        self._opened_at = float("-inf")

    def open(self) -> None:
        """The library lists GPUs when it is initialised and never again."""
        self._library.load()
        with self._library.alone() as library:
            if self._is_initialised:
                self._is_initialised = False
                library.call("amdsmi_shut_down")
            self._units, self._gpus, self._events = {}, {}, None
            self._gone = frozenset(address for address in self._gone if not self._is_there(address))
            library.call("amdsmi_init", _GPUS)
            self._is_initialised = True
            self._opened_at = time.monotonic()
        self._layout = layouts.layout(self._version())
        if self._layout is None:
            self._count_error("amdsmi_get_lib_version", "LAYOUT_NOT_KNOWN")
        self._events = Events(self._library)

    def devices(self) -> Listing:
        self._look_for_returned()
        listed: list[Device] = []
        units: dict[str, Unit] = {}
        addresses: dict[str, str] = {}
        gpus: dict[int, str] = {}
        unaddressable = 0
        for index, parts in enumerate(self._grouped()):
            if not parts:
                unaddressable += 1
                continue
            whole = parts[0]
            address = pci_address(whole.address, whole.function)
            if address in self._gone or not self._is_there(address):
                self._gone |= {address}
                unaddressable += 1
                continue
            is_divided = len(parts) > 1
            device = self._describe(whole, str(index), address, is_divided)
            if device.id in units:
                continue  # another part of the same GPU, of which an old library does not say that it is one
            kept = self._units.get(device.id)
            same = isinstance(kept, Gpu) and kept.handle == whole.handle and kept.is_divided == is_divided
            units[device.id] = (
                kept if same and kept else Gpu(self._library, self._layout, whole.handle, self._count_error, is_divided)
            )
            addresses[device.id] = address
            gpus[whole.handle] = device.id
            listed.append(device)
            for part, unit in self._partitions(device, address, parts) if is_divided else ():
                units[part.id], addresses[part.id] = unit, address
                listed.append(part)
        self._units, self._addresses, self._gpus = units, addresses, gpus
        return Listing(tuple(listed), unaddressable)

    def sample(self, device: Device, now: float) -> Sampled:
        unit, address = self._units.get(device.id), self._addresses.get(device.id, "")
        if unit is None:
            raise DriverError(Meaning.STALE, "NOT_LISTED", "amdsmi_get_processor_handles")
        if not self._is_there(address):
            self._gone |= {address}
            raise DriverError(Meaning.LOST, "NOT_IN_SYSFS", "stat")
        sampled = unit.sample(now)
        if not sampled.measured and time.monotonic() - self._opened_at >= REOPEN_SECONDS:
            self._opened_at = time.monotonic()
            raise DriverError(Meaning.RESTARTED, "NOTHING_TOLD", "amdsmi_get_gpu_activity")
        return sampled

    def faults(self, timeout_seconds: float) -> Sequence[Fault]:
        events, gpus = self._events, self._gpus
        if events is None:
            return ()
        if not gpus:
            time.sleep(timeout_seconds)
            return ()
        return events.wait(gpus, timeout_seconds, time.time())

    def close(self) -> None:
        """Left open when somebody hangs in it."""
        try:
            with self._library.alone() as library:
                if self._is_initialised:
                    self._is_initialised = False
                    library.call("amdsmi_shut_down")
        except DriverError:
            return

    def _look_for_returned(self) -> None:
        """:raises DriverError: RESTARTED, a GPU that was gone is back, and only a library opened anew will list it"""
        if not self._library.hangs and any(self._is_there(address) for address in self._gone):
            raise DriverError(Meaning.RESTARTED, "RETURNED", "stat")

    def _is_there(self, address: str) -> bool:
        """
        Its place in /sys. The library goes on listing one that is gone, and calls of files that are missing
        unsupported. Where /sys is not to be seen, it is there.
        """
        devices = self._sysfs / "bus/pci/devices"
        return not devices.exists() or (devices / address).exists()

    def _version(self) -> tuple[int, int]:
        self._library.call("amdsmi_get_lib_version", self._buffer.fresh())
        first, second = layouts.VERSION.unpack_from(self._buffer.view)
        return first, second

    def _grouped(self) -> list[list[_Found]]:
        """GPUs in the library's order, each with its partitions by number; empty where one cannot be located."""
        groups: dict[int, list[_Found]] = {}
        for place, handle in enumerate(self._handles()):
            try:
                found = self._locate(handle)
            except DriverError as failure:
                if failure.meaning in _NOT_NOW:
                    raise
                groups[-1 - place] = []
                self._count_error(failure.call, failure.code)
                continue
            groups.setdefault(found.address, []).append(found)
        for parts in groups.values():
            parts.sort(key=lambda found: found.partition)
        return list(_wholes(groups.values()))

    def _handles(self) -> Iterator[int]:
        sockets = self._list("amdsmi_get_socket_handles")
        for socket in sockets:
            yield from self._list("amdsmi_get_processor_handles", ctypes.c_void_p(socket))

    def _list(self, call: str, *of: object) -> list[int]:
        count = ctypes.c_uint32(_MOST)
        handles = (ctypes.c_void_p * _MOST)()
        self._library.call(call, *of, ctypes.byref(count), handles)
        return [handle for handle in handles[: min(count.value, _MOST)] if handle]

    def _locate(self, handle: int) -> _Found:
        self._library.call("amdsmi_get_gpu_device_bdf", ctypes.c_void_p(handle), self._buffer.fresh())
        bits = int.from_bytes(self._buffer.view[:8], "little")
        return _Found(handle, bits >> 3, bits & 7, self._partition_number(handle))

    def _partition_number(self, handle: int) -> int:
        """0 for a whole GPU, and where the library is too old to tell."""
        try:
            self._library.call("amdsmi_get_gpu_kfd_info", ctypes.c_void_p(handle), self._buffer.fresh())
        except DriverError as failure:
            if failure.meaning in _NOT_NOW:
                raise
            return 0
        (number,) = layouts.PARTITION.unpack_from(self._buffer.view)
        return number if number < _MOST else 0

    def _describe(self, found: _Found, name: str, address: str, is_divided: bool) -> Device:
        layout = self._layout
        serial = self._text("amdsmi_get_gpu_asic_info", found.handle, layout.serial if layout else None)
        driver = self._text("amdsmi_get_gpu_driver_info", found.handle, layout.driver_version if layout else None)
        firmware = self._text("amdsmi_get_gpu_vbios_info", found.handle, layout.firmware_version if layout else None)
        return Device(
            id=self._uuid(found.handle) or address,
            name=name,
            vendor="amd",
            model=self._text("amdsmi_get_gpu_asic_info", found.handle, layouts.MARKET_NAME),
            serial="" if set(serial.lower().removeprefix("0x")) <= {"f", "0"} else serial,
            driver_version=driver,
            firmware_version=firmware,
            pci_address="" if is_divided else address,  # by the address, AMD's plugin means the first partition
            aliases=() if is_divided else self._names(found.handle),
        )

    def _partitions(self, parent: Device, address: str, parts: Sequence[_Found]) -> Iterator[tuple[Device, Unit]]:
        profile = self._text("amdsmi_get_gpu_compute_partition", parts[0].handle, (0, 16))
        for place, found in enumerate(parts):
            device = msgspec.structs.replace(
                parent, id=f"{parent.id}/{place}", name=f"{parent.name}:{place}", parent=parent.id, pci_address=address,
                profile=profile, aliases=(*((address,) if place == 0 else ()), *self._names(found.handle)),
            )  # fmt: skip
            kept = self._units.get(device.id)
            same = kept is not None and kept.handle == found.handle
            unit = kept if same else Partition(self._library, self._layout, found.handle, self._count_error)
            yield device, unit  # type: ignore[misc]

    def _names(self, handle: int) -> tuple[str, ...]:
        """By which AMD's device plugin and DRA driver may know it."""
        try:
            self._library.call("amdsmi_get_gpu_enumeration_info", ctypes.c_void_p(handle), self._buffer.fresh())
        except DriverError as failure:
            if failure.meaning in _NOT_NOW:
                raise
            return ()
        render, card = layouts.NODES.unpack_from(self._buffer.view)
        if 0xFFFFFFFF in (render, card):
            return ()
        names = [f"renderD{render}", f"card{card}", f"gpu-{card}-{render}"]
        place = os.path.basename(os.path.realpath(self._sysfs / f"class/drm/renderD{render}/device"))
        if place.startswith(_PLATFORM):
            names.append(place)
        uuid = self._buffer.text(*layouts.HIP_UUID)
        return (*names, uuid) if uuid else tuple(names)

    def _uuid(self, handle: int) -> str:
        length, text = ctypes.c_uint32(64), ctypes.create_string_buffer(64)
        try:
            self._library.call("amdsmi_get_gpu_device_uuid", ctypes.c_void_p(handle), ctypes.byref(length), text)
        except DriverError as failure:
            if failure.meaning in _NOT_NOW:
                raise
            return ""
        return text.value.decode("ascii", errors="replace")

    def _text(self, call: str, handle: int, place: tuple[int, int] | None) -> str:
        """Part of the inventory; empty when it is not told."""
        if place is None:
            return ""
        size = (ctypes.c_uint32(place[1]),) if call.endswith("_partition") else ()
        try:
            self._library.call(call, ctypes.c_void_p(handle), self._buffer.fresh(), *size)
        except DriverError as failure:
            if failure.meaning in _NOT_NOW:
                raise
            return ""
        said = self._buffer.text(*place)
        return "" if said == "N/A" else said


def pci_address(address: int, function: int) -> str:
    """As the kernel writes it: domain, bus, device, function."""
    return f"{address >> 13:04x}:{address >> 5 & 0xFF:02x}:{address & 0x1F:02x}.{function}"


def _wholes(groups: Iterable[list[_Found]]) -> Iterator[list[_Found]]:
    """Processors at one address are parts of a GPU, if they are numbered; else each stands for itself."""
    for parts in groups:
        if len({found.partition for found in parts}) == len(parts):
            yield parts
        else:
            yield from ([found] for found in parts)
