"""What is asked of one GPU at a sample, and what of one partition of it."""

import ctypes
from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from collector.accelerators.alternatives import FirstSupported
from collector.accelerators.amd import layouts
from collector.accelerators.amd.layouts import Layout
from collector.accelerators.amd.processes import Processes
from collector.accelerators.amd.violations import Violations
from collector.accelerators.buffer import Buffer
from collector.accelerators.driver import CountError, DriverError, Meaning, Measured, ProcessUse, Sampled
from collector.accelerators.guarded import Guarded
from collector.accelerators.seldom import Seldom
from watchkeeper.core.records import Labels
from watchkeeper.core.vocabulary import devices as vocabulary

MOST_ROOM: Final = 8192
"""of the largest structure, 6016 bytes"""
MIB: Final = 2**20
KIB: Final = 1024
UNTOLD: Final = frozenset((0xFFFF, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF))
"""small numbers that are not known; which it is depends on the width of the driver's own field"""
UNTOLD_TOTAL: Final = 0xFFFFFFFFFFFFFFFF
GENERATIONS: Final = {2500: 1, 5000: 2, 8000: 3, 16000: 4, 32000: 5, 64000: 6, 128000: 7}
"""PCIe generation by megatransfers per second"""
MOST_PAGES: Final = 4096

_GENERAL: Final = (("hw.gpu.task", "general"),)
_CHIP, _MEMORY = (("hw.sensor_location", "chip"),), (("hw.sensor_location", "memory"),)
_METER: Final = (("watchkeeper.obtained", "meter"),)
_PCIE: Final = ((vocabulary.LINK, "pcie"),)
_EDGE, _HOTSPOT, _VRAM, _HBM_0, _HBM_3 = 0, 1, 2, 3, 6
_CURRENT, _CRITICAL, _EMERGENCY = 0, 5, 7
_CLOCKS: Final = ((0, "core"), (4, "memory"))
_LIMITS: Final = tuple(
    (sensor, metric, (("hw.sensor_location", place), ("hw.limit_type", kind)))
    for sensor, place in ((_HOTSPOT, "chip"), (_VRAM, "memory"))
    for metric, kind in ((_CRITICAL, "slowdown"), (_EMERGENCY, "shutdown"))
)
_PENDING, _UNRESERVABLE = 1, 2
_TOTALS: Final = ("replay", "recovery", "replay_rollover", "nak_sent", "nak_received")


class Unit(Protocol):
    handle: int

    def sample(self, now: float) -> Sampled: ...


class Gpu:
    """A whole GPU. Only its own thread calls `sample`. `is_divided`: memory and processes are its partitions'."""

    def __init__(
        self, library: Guarded, layout: Layout | None, handle: int, count_error: CountError, is_divided: bool
    ) -> None:
        self.handle = handle
        self.is_divided = is_divided
        self._library = library
        self._layout = layout
        self._buffer = Buffer(MOST_ROOM)
        self._seldom = Seldom(count_error)
        self._violations = Violations(library, layout, handle)
        self._processes = Processes(library, layout, handle)
        self._listed: tuple[ProcessUse, ...] | None = None
        self._chip_temperature = FirstSupported(
            lambda: self._temperature(_HOTSPOT, _CHIP), lambda: self._temperature(_EDGE, _CHIP)
        )
        self._memory_temperature = FirstSupported(lambda: self._temperature(_VRAM, _MEMORY), self._stacks)
        self._pages = (ctypes.c_ubyte * (layouts.PAGE.size * MOST_PAGES))()

    def sample(self, now: float) -> Sampled:
        """:raises DriverError: nothing more can be asked of it now"""
        self._seldom.begin(now, self._read_seldom)
        ask = self._seldom.calls.ask
        ask("activity", self._activity, vocabulary.UTILIZATION, vocabulary.MEMORY_BUSY)
        if not self.is_divided:
            ask("memory", lambda: memory(self._library, self._buffer, self.handle), vocabulary.MEMORY_USAGE)
        ask("temperature", self._chip_temperature, vocabulary.TEMPERATURE)
        ask("memory temperature", self._memory_temperature)
        ask("power", self._power, vocabulary.POWER)
        ask("energy", self._energy)
        for number, name in _CLOCKS:
            ask(f"clock {number}", lambda n=number, of=name: self._clock(n, of), vocabulary.CLOCK)  # type: ignore[misc]
        return self._seldom.end(None if self.is_divided else self._listed)

    def _read_seldom(self, now: float) -> None:
        ask = self._seldom.calls.ask
        ask("power limit", self._power_limit, vocabulary.POWER_LIMIT)
        for sensor, metric, labels in _LIMITS:
            ask(f"limit {sensor}.{metric}", lambda s=sensor, m=metric, of=labels: self._limit(s, m, of))  # type: ignore[misc]
        ask("pcie", self._pcie, vocabulary.LINK_WIDTH)
        ask("xgmi", self._xgmi)
        ask("ecc", self._ecc, vocabulary.ERRORS)
        ask("bad pages", self._bad_pages, vocabulary.REMAPPED, vocabulary.REPAIR_PENDING, vocabulary.REPAIR_FAILED)
        ask("violations", lambda: self._violations.read(now), vocabulary.THROTTLED)
        if not self.is_divided:
            self._listed = self._processes.read(ask)

    def _ask_into(self, call: str, *arguments: object) -> None:
        self._library.call(call, ctypes.c_void_p(self.handle), *arguments, self._buffer.fresh())

    def _activity(self) -> Sequence[Measured]:
        self._ask_into("amdsmi_get_gpu_activity")
        gfx, umc = layouts.ACTIVITY.unpack_from(self._buffer.view)
        return [
            Measured(metric, percent / 100, labels)
            for metric, percent, labels in (
                (vocabulary.UTILIZATION, gfx, _GENERAL), (vocabulary.MEMORY_BUSY, umc, ()),
            )
            if percent not in UNTOLD
        ]  # fmt: skip

    def _read_temperature(self, sensor: int, metric: int) -> int:
        celsius = ctypes.c_int64()
        self._library.call(
            "amdsmi_get_temp_metric", ctypes.c_void_p(self.handle), sensor, metric, ctypes.byref(celsius)
        )
        return celsius.value

    def _temperature(self, sensor: int, place: Labels) -> Sequence[Measured]:
        return (Measured(vocabulary.TEMPERATURE, self._read_temperature(sensor, _CURRENT), place),)

    def _stacks(self) -> Sequence[Measured]:
        """Of memory in stacks, the hottest."""
        hottest = max(self._read_temperature(sensor, _CURRENT) for sensor in range(_HBM_0, _HBM_3 + 1))
        return (Measured(vocabulary.TEMPERATURE, hottest, _MEMORY),)

    def _limit(self, sensor: int, metric: int, labels: Labels) -> Sequence[Measured]:
        celsius = self._read_temperature(sensor, metric)
        return (Measured(vocabulary.TEMPERATURE_LIMIT, celsius, labels),) if celsius > 0 else ()

    def _power(self) -> Sequence[Measured]:
        """MI300 and later tell the power now, earlier ones an average."""
        if self._layout is None:
            raise DriverError(Meaning.UNSUPPORTED, "LAYOUT_NOT_KNOWN", "amdsmi_get_power_info")
        self._ask_into("amdsmi_get_power_info")
        current, average = self._layout.power.unpack_from(self._buffer.view)
        told = [watts for watts in (current, average) if watts not in UNTOLD and watts]
        return (Measured(vocabulary.POWER, told[0]),) if told else ()

    def _power_limit(self) -> Sequence[Measured]:
        self._library.call(
            "amdsmi_get_power_cap_info", ctypes.c_void_p(self.handle), ctypes.c_uint32(0), self._buffer.fresh()
        )
        (microwatts,) = layouts.POWER_CAP.unpack_from(self._buffer.view)
        return (Measured(vocabulary.POWER_LIMIT, microwatts / 1e6),) if microwatts not in UNTOLD else ()

    def _energy(self) -> Sequence[Measured]:
        count, resolution, at = ctypes.c_uint64(), ctypes.c_float(), ctypes.c_uint64()
        self._library.call(
            "amdsmi_get_energy_count", ctypes.c_void_p(self.handle), ctypes.byref(count), ctypes.byref(resolution),
            ctypes.byref(at),
        )  # fmt: skip
        if count.value == UNTOLD_TOTAL or resolution.value <= 0:
            return ()
        return (Measured(vocabulary.ENERGY, count.value * resolution.value / 1e6, _METER),)

    def _clock(self, number: int, name: str) -> Sequence[Measured]:
        self._ask_into("amdsmi_get_clock_info", ctypes.c_uint32(number))
        now, highest = layouts.CLOCK.unpack_from(self._buffer.view)
        labels = (("clock", name),)
        return [
            Measured(metric, megahertz * 1e6, labels)
            for metric, megahertz in ((vocabulary.CLOCK, now), (vocabulary.CLOCK_LIMIT, highest))
            if megahertz not in UNTOLD
        ]

    def _pcie(self) -> Sequence[Measured]:
        self._ask_into("amdsmi_get_pcie_info")
        widest, fastest = layouts.PCIE_LIMIT.unpack_from(self._buffer.view)
        width, speed, *totals = layouts.PCIE.unpack_from(self._buffer.view, layouts.PCIE_OFFSET)
        found = [
            Measured(metric, lanes, _PCIE)
            for metric, lanes in ((vocabulary.LINK_WIDTH, width), (vocabulary.LINK_WIDTH_LIMIT, widest))
            if lanes not in UNTOLD and lanes
        ]
        for metric, transfers in ((vocabulary.LINK_GENERATION, speed), (vocabulary.LINK_GENERATION_LIMIT, fastest)):
            if transfers in GENERATIONS:
                found.append(Measured(metric, GENERATIONS[transfers], _PCIE))
        for error, total in zip(_TOTALS, totals, strict=True):
            if total != UNTOLD_TOTAL:
                found.append(Measured(vocabulary.LINK_ERRORS, total, (*_PCIE, ("error.type", error))))
        return found

    def _xgmi(self) -> Sequence[Measured]:
        """Over all links: which of them is which differs from GPU to GPU."""
        if self._layout is None:
            raise DriverError(Meaning.UNSUPPORTED, "LAYOUT_NOT_KNOWN", "amdsmi_get_link_metrics")
        self._ask_into("amdsmi_get_link_metrics")
        sums = {"receive": 0, "transmit": 0}
        links = 0
        for kind, read, written in self._links():
            if kind == self._layout.xgmi and UNTOLD_TOTAL not in (read, written):
                links += 1
                sums["receive"] += read * KIB
                sums["transmit"] += written * KIB
        return [
            Measured(vocabulary.IO, total, ((vocabulary.LINK, "xgmi"), (vocabulary.DIRECTION, direction)))
            for direction, total in sums.items()
            if links
        ]

    def _links(self) -> Iterator[tuple[int, int, int]]:
        count = int.from_bytes(self._buffer.view[:4], "little")
        for place in range(count if count <= layouts.MOST_LINKS else 0):
            offset = layouts.LINKS_OFFSET + place * layouts.LINK.size
            kind, read, written = layouts.LINK.unpack_from(self._buffer.view, offset)
            yield kind, read, written

    def _ecc(self) -> Sequence[Measured]:
        self._ask_into("amdsmi_get_gpu_total_ecc_count")
        counts = layouts.ECC.unpack_from(self._buffer.view)
        return [
            Measured(vocabulary.ERRORS, count, (("hw.type", "gpu"), ("error.type", name)))
            for name, count in zip(("corrected", "uncorrected"), counts, strict=True)
            if count != UNTOLD_TOTAL
        ]

    def _bad_pages(self) -> Sequence[Measured]:
        """Pages are taken out of use after uncorrected errors, at once or with the next reset."""
        call, handle, count = "amdsmi_get_gpu_bad_page_info", ctypes.c_void_p(self.handle), ctypes.c_uint32()
        self._library.call(call, handle, ctypes.byref(count), None)
        found = count.value
        states = set()
        if 0 < found <= MOST_PAGES:
            self._library.call(call, handle, ctypes.byref(count), self._pages)
            states = {state for (state,) in layouts.PAGE.iter_unpack(bytes(self._pages)[: found * layouts.PAGE.size])}
        return (
            Measured(vocabulary.REMAPPED, found, (("error.type", "uncorrected"),)),
            Measured(vocabulary.REPAIR_PENDING, float(_PENDING in states)),
            Measured(vocabulary.REPAIR_FAILED, float(_UNRESERVABLE in states)),
        )


class Partition:
    """
    A part of a GPU (DPX, QPX, CPX). Only memory and processes are its own: of power, temperature, clocks and activity
    the driver says 0 for all parts but the first, and the first says them of the whole.
    """

    def __init__(self, library: Guarded, layout: Layout | None, handle: int, count_error: CountError) -> None:
        self.handle = handle
        self._library = library
        self._buffer = Buffer(MOST_ROOM)
        self._seldom = Seldom(count_error)
        self._processes = Processes(library, layout, handle)
        self._listed: tuple[ProcessUse, ...] | None = None

    def sample(self, now: float) -> Sampled:
        """:raises DriverError: nothing more can be asked of it now"""
        self._seldom.begin(now, self._read_seldom)
        self._seldom.calls.ask(
            "memory", lambda: memory(self._library, self._buffer, self.handle), vocabulary.MEMORY_USAGE
        )
        return self._seldom.end(self._listed)

    def _read_seldom(self, _now: float) -> None:
        self._listed = self._processes.read(self._seldom.calls.ask)


def memory(library: Guarded, buffer: Buffer, handle: int) -> Sequence[Measured]:
    library.call("amdsmi_get_gpu_vram_usage", ctypes.c_void_p(handle), buffer.fresh())
    total, used = layouts.VRAM.unpack_from(buffer.view)
    return [
        Measured(metric, mebibytes * MIB)
        for metric, mebibytes in ((vocabulary.MEMORY_LIMIT, total), (vocabulary.MEMORY_USAGE, used))
        if mebibytes != 0xFFFFFFFF
    ]
