"""Who a processor of AMD's library is: where it sits, its names, its inventory."""

import ctypes
import os
from pathlib import Path
from typing import Final

import msgspec

from collector.accelerators.amd import layouts
from collector.accelerators.amd.device import MOST_ROOM
from collector.accelerators.amd.layouts import Layout
from collector.accelerators.buffer import Buffer
from collector.accelerators.driver import Device, DriverError
from collector.accelerators.guarded import Guarded
from collector.accelerators.roll_call import NOT_NOW

MOST: Final = 256
_PLATFORM: Final = "amdgpu_xcp_"
"""how a partition other than the first stands in /sys, and what AMD's device plugin calls it"""


class Found(msgspec.Struct, frozen=True):
    """A processor as the library lists it: a GPU or a part of one."""

    handle: int
    address: int
    """its PCI address, without the function"""
    function: int
    partition: int


class Described(msgspec.Struct, frozen=True):
    """A GPU and its partitions, each with the handle of what reads it."""

    device: Device
    handle: int
    address: str
    """by which it is known in /sys"""
    parts: tuple[tuple[Device, int], ...] = ()


class Identity:
    """Asked in one thread; room for answers is its own."""

    def __init__(self, library: Guarded, layout: Layout | None, sysfs: Path) -> None:
        self._library = library
        self._layout = layout
        self._sysfs = sysfs
        self._buffer = Buffer(MOST_ROOM)

    def locate(self, handle: int) -> Found:
        """:raises DriverError: it cannot be located"""
        self._library.call("amdsmi_get_gpu_device_bdf", ctypes.c_void_p(handle), self._buffer.fresh())
        bits = int.from_bytes(self._buffer.view[:8], "little")
        return Found(handle, bits >> 3, bits & 7, self._partition_number(handle))

    def describe(self, parts: list[Found], name: str) -> Described:
        """:param parts: the whole GPU, or all its partitions by number"""
        whole = parts[0]
        address = pci_address(whole.address, whole.function)
        is_divided = len(parts) > 1
        device = self._device(whole.handle, name, address, is_divided)
        if not is_divided:
            return Described(device, whole.handle, address)
        profile = self._text("amdsmi_get_gpu_compute_partition", whole.handle, (0, 16))
        divided = (
            msgspec.structs.replace(
                device, id=f"{device.id}/{place}", name=f"{name}:{place}", parent=device.id, pci_address=address,
                profile=profile, aliases=(*((address,) if place == 0 else ()), *self._names(found.handle)),
            )
            for place, found in enumerate(parts)
        )  # fmt: skip
        return Described(
            device, whole.handle, address, tuple(zip(divided, (found.handle for found in parts), strict=True))
        )

    def _partition_number(self, handle: int) -> int:
        """0 for a whole GPU, and where the library is too old to tell."""
        if not self._told("amdsmi_get_gpu_kfd_info", ctypes.c_void_p(handle), self._buffer.fresh()):
            return 0
        (number,) = layouts.PARTITION.unpack_from(self._buffer.view)
        return number if number < MOST else 0

    def _device(self, handle: int, name: str, address: str, is_divided: bool) -> Device:
        layout = self._layout
        serial = self._text("amdsmi_get_gpu_asic_info", handle, layout.serial if layout else None)
        return Device(
            id=self._uuid(handle) or address,
            name=name,
            vendor="amd",
            model=self._text("amdsmi_get_gpu_asic_info", handle, layouts.MARKET_NAME),
            serial="" if set(serial.lower().removeprefix("0x")) <= {"f", "0"} else serial,
            driver_version=self._text("amdsmi_get_gpu_driver_info", handle, layout.driver_version if layout else None),
            firmware_version=self._text(
                "amdsmi_get_gpu_vbios_info", handle, layout.firmware_version if layout else None
            ),
            pci_address="" if is_divided else address,  # by the address, AMD's plugin means the first partition
            aliases=() if is_divided else self._names(handle),
        )

    def _names(self, handle: int) -> tuple[str, ...]:
        """By which AMD's device plugin and DRA driver may know it."""
        if not self._told("amdsmi_get_gpu_enumeration_info", ctypes.c_void_p(handle), self._buffer.fresh()):
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
        said = self._told("amdsmi_get_gpu_device_uuid", ctypes.c_void_p(handle), ctypes.byref(length), text)
        return text.value.decode("ascii", errors="replace") if said else ""

    def _text(self, call: str, handle: int, place: tuple[int, int] | None) -> str:
        """Part of the inventory; empty when it is not told."""
        if place is None:
            return ""
        size = (ctypes.c_uint32(place[1]),) if call.endswith("_partition") else ()
        if not self._told(call, ctypes.c_void_p(handle), self._buffer.fresh(), *size):
            return ""
        said = self._buffer.text(*place)
        return "" if said == "N/A" else said

    def _told(self, call: str, *arguments: object) -> bool:
        """:raises DriverError: what it says is about the whole library"""
        try:
            self._library.call(call, *arguments)
        except DriverError as failure:
            if failure.meaning in NOT_NOW:
                raise
            return False
        return True


def pci_address(address: int, function: int) -> str:
    """As the kernel writes it: domain, bus, device, function."""
    return f"{address >> 13:04x}:{address >> 5 & 0xFF:02x}:{address & 0x1F:02x}.{function}"
