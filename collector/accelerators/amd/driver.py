"""AMD through AMD SMI."""

import ctypes
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from collector.accelerators.amd import NAMES, codes, layouts
from collector.accelerators.amd.device import MOST_ROOM, Gpu, Partition, Unit
from collector.accelerators.amd.events import Events
from collector.accelerators.amd.identity import MOST, Described, Found, Identity, pci_address
from collector.accelerators.amd.layouts import Layout
from collector.accelerators.buffer import Buffer
from collector.accelerators.driver import CountError, Device, DriverError, Fault, Listing, Meaning, Sampled
from collector.accelerators.guarded import Guarded
from collector.accelerators.native import Native
from collector.accelerators.roll_call import RollCall

SYSFS: Final = Path("/sys")
REOPEN_SECONDS: Final = 60.0
"""a device of which nothing can be read makes the library look anew, no more often than this"""
_GPUS: Final = ctypes.c_uint64(2)


class Amd:
    """`names` are what the dynamic linker is asked for, or paths; `sysfs` is where the host's /sys is seen."""

    def __init__(self, count_error: CountError, names: Sequence[str] = NAMES, sysfs: Path = SYSFS) -> None:
        self._count_error = count_error
        self._library = Guarded(Native(names, codes.error))
        self._sysfs = sysfs
        self._is_initialised = False
        self._layout: Layout | None = None
        self._located: RollCall[Found] = RollCall("amd-places", "amdsmi_get_gpu_device_bdf", count_error)
        self._described: RollCall[Described] = RollCall("amd", "amdsmi_get_gpu_asic_info", count_error)
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
            self._located.forget()
            self._described.forget()
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
        groups = [parts if parts and self._keep(parts[0]) else [] for parts in self._grouped()]
        found = self._described.of(
            {
                str(parts[0].handle): partial(self._describe, parts, str(index))
                for index, parts in enumerate(groups)
                if parts
            }
        )
        for one in found.values():
            device = one.device
            if device.id in units:
                continue  # another part of the same GPU, of which an old library does not say that it is one
            units[device.id] = self._gpu(device.id, one.handle, bool(one.parts))
            addresses[device.id] = one.address
            gpus[one.handle] = device.id
            listed.append(device)
            for part, handle in one.parts:
                units[part.id], addresses[part.id] = self._partition(part.id, handle), one.address
                listed.append(part)
        self._units, self._addresses, self._gpus = units, addresses, gpus
        return Listing(tuple(listed), len(groups) - len(found))

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
        self._located.stop()
        self._described.stop()
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
        buffer = Buffer(MOST_ROOM)
        self._library.call("amdsmi_get_lib_version", buffer.fresh())
        first, second = layouts.VERSION.unpack_from(buffer.view)
        return first, second

    def _keep(self, whole: Found) -> bool:
        """Whether it is there; one that is gone is so until the library is opened anew."""
        address = pci_address(whole.address, whole.function)
        if address not in self._gone and self._is_there(address):
            return True
        self._gone |= {address}
        return False

    def _describe(self, parts: list[Found], name: str) -> Described:
        return Identity(self._library, self._layout, self._sysfs).describe(parts, name)

    def _gpu(self, device_id: str, handle: int, is_divided: bool) -> Unit:
        """What is known of it from the last listing, if it is still the same."""
        kept = self._units.get(device_id)
        if isinstance(kept, Gpu) and kept.handle == handle and kept.is_divided == is_divided:
            return kept
        return Gpu(self._library, self._layout, handle, self._count_error, is_divided)

    def _partition(self, device_id: str, handle: int) -> Unit:
        kept = self._units.get(device_id)
        if isinstance(kept, Partition) and kept.handle == handle:
            return kept
        return Partition(self._library, self._layout, handle, self._count_error)

    def _grouped(self) -> list[list[Found]]:
        """GPUs in the library's order, each with its partitions by number; empty where one cannot be located."""
        handles = list(self._handles())
        located = self._located.of(
            {
                str(handle): partial(Identity(self._library, self._layout, self._sysfs).locate, handle)
                for handle in handles
            }
        )
        groups: dict[int, list[Found]] = {}
        for place, handle in enumerate(handles):
            found = located.get(str(handle))
            if found is None:
                groups[-1 - place] = []
            else:
                groups.setdefault(found.address, []).append(found)
        for parts in groups.values():
            parts.sort(key=lambda found: found.partition)
        return list(_wholes(groups.values()))

    def _handles(self) -> Iterator[int]:
        sockets = self._list("amdsmi_get_socket_handles")
        for socket in sockets:
            yield from self._list("amdsmi_get_processor_handles", ctypes.c_void_p(socket))

    def _list(self, call: str, *of: object) -> list[int]:
        count = ctypes.c_uint32(MOST)
        handles = (ctypes.c_void_p * MOST)()
        self._library.call(call, *of, ctypes.byref(count), handles)
        return [handle for handle in handles[: min(count.value, MOST)] if handle]


def _wholes(groups: Iterable[list[Found]]) -> Iterator[list[Found]]:
    """Processors at one address are parts of a GPU, if they are numbered; else each stands for itself."""
    for parts in groups:
        if len({found.partition for found in parts}) == len(parts):
            yield parts
        else:
            yield from ([found] for found in parts)
