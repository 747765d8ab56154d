"""What is asked of one GPU at a sample, and what of one MIG instance."""

import ctypes
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final, Protocol

from collector.accelerators.driver import (
    Ask,
    Calls,
    CountError,
    DriverError,
    Meaning,
    Measured,
    ProcessUse,
    Sampled,
)
from collector.accelerators.nvidia import codes, fields
from collector.accelerators.nvidia.gpm import METRICS, Gpm
from collector.accelerators.nvidia.library import Library
from collector.accelerators.nvidia.question import Means, Question
from collector.accelerators.seldom import RENEW_SECONDS
from watchkeeper.core.metric import Metric
from watchkeeper.core.records import Labels
from watchkeeper.core.vocabulary import devices as vocabulary

SLOW_SECONDS: Final = 15.0
"""how often limits, widths and link states are read"""
UNKNOWN_MEMORY: Final = 2**64 - 1
MOST_PROCESSES: Final = 4096
MOST_LINKS: Final = 256
"""a count of links beyond this is garbage"""
REASONS: Final = (
    (0x4, "sw_power_cap"), (0x8, "hw_slowdown"), (0x10, "sync_boost"), (0x20, "sw_thermal_slowdown"),
    (0x40, "hw_thermal_slowdown"), (0x80, "hw_power_brake_slowdown"),
)  # fmt: skip
"""bits under which clocks are held back; that nothing runs, or that somebody set them, is no reason"""

_GENERAL: Final = (("hw.gpu.task", "general"),)
_ENCODER: Final = (("hw.gpu.task", "encoder"),)
_DECODER: Final = (("hw.gpu.task", "decoder"),)
_CHIP: Final = (("hw.sensor_location", "chip"),)
_METER: Final = (("watchkeeper.obtained", "meter"),)
_CLOCKS: Final = ((1, "core"), (2, "memory"), (3, "video"))
_CLOCK_LABELS: Final = tuple((number, (("clock", name),)) for number, name in _CLOCKS)
_REASON_LABELS: Final = tuple((bit, ((vocabulary.REASON, name),)) for bit, name in REASONS)
_PCIE: Final = ((vocabulary.LINK, "pcie"),)
_THRESHOLDS: Final = ((0, "chip", "shutdown"), (1, "chip", "slowdown"), (2, "memory", "high"), (3, "chip", "high"))
_MEGA: Final = 1e6
_HANDLES_STAY: Final = Meaning.UNSUPPORTED
"""of a whole GPU until the library is opened anew: INVALID_ARGUMENT says that the call is not for this device"""


class Unit(Protocol):
    """A GPU or a MIG instance."""

    handle: Any

    def sample(self, now: float) -> Sampled: ...

    def free(self) -> None: ...


class Gpu:
    """A whole GPU. `sample` is never called twice at a time."""

    def __init__(self, library: Library, handle: Any, lock: threading.Lock, count_error: CountError) -> None:
        self.handle = handle
        self._library = library
        self._count_error = count_error
        self._calls = Calls(count_error, is_stale=_HANDLES_STAY)
        self._renewed_at: float | None = None
        self._gpm = Gpm(library, lock, handle)
        self._processes = Processes(library, handle)
        self._element = library.binding.c_nvmlFieldValue_t
        self._fast = fields.Batch(fields.FAST_WANTED, self._element)
        self._meanings = fields.Meanings()
        self._told: fields.Wanted = ()
        self._slow = fields.Batch(((fields.LINK_COUNT, 0),), self._element)
        self._knows_links = False
        self._utilization = self._question("nvmlDeviceGetUtilizationRates", "II", _utilization)
        self._encoder = self._question("nvmlDeviceGetEncoderUtilization", "II", _encoder, pointers=(0, 4))
        self._decoder = self._question("nvmlDeviceGetDecoderUtilization", "II", _decoder, pointers=(0, 4))
        self._memory = memory(library, handle)
        self._temperature = Question(library, "nvmlDeviceGetTemperatureV", (handle,), "8xi", _temperature)
        struct.pack_into("II", self._temperature.room, 0, library.binding.nvmlTemperature_v1, 0)
        self._old_temperature = self._question("nvmlDeviceGetTemperature", "I", _temperature, 0)
        self._power = self._question("nvmlDeviceGetPowerUsage", "I", _power)
        self._energy = self._question("nvmlDeviceGetTotalEnergyConsumption", "Q", _energy)
        self._clocks = [
            (f"clock {number}", self._question("nvmlDeviceGetClockInfo", "I", partial(_clock, labels), number))
            for number, labels in _CLOCK_LABELS
        ]
        self._reasons = self._question("nvmlDeviceGetCurrentClocksEventReasons", "Q", _throttled)
        self._old_reasons = self._question("nvmlDeviceGetCurrentClocksThrottleReasons", "Q", _throttled)
        self._seldom: Sequence[Measured] = ()
        self._seldom_missing: Sequence[tuple[Metric, Any]] = ()
        self._seldom_at = float("-inf")

    def sample(self, now: float) -> Sampled:
        """:raises DriverError: nothing more can be asked of it now"""
        self._renew(now)
        calls = self._calls
        calls.begin()
        if not 0 <= now - self._seldom_at < SLOW_SECONDS:
            self._read_seldom()
            self._seldom, self._seldom_missing, self._seldom_at = calls.measured, calls.missing, now
            calls.begin()
        ask = calls.ask
        self._told = ()
        ask("fields", self._read_fields, vocabulary.ENERGY, vocabulary.POWER, vocabulary.ERRORS)
        ask("utilization", self._utilization.ask, vocabulary.UTILIZATION, vocabulary.MEMORY_BUSY)
        ask("encoder", self._encoder.ask)
        ask("decoder", self._decoder.ask)
        ask("memory", self._memory.ask, vocabulary.MEMORY_USAGE)
        if not ask("temperature", self._temperature.ask, vocabulary.TEMPERATURE):
            ask("temperature, old", self._old_temperature.ask, vocabulary.TEMPERATURE)
        if (186, 0) not in self._told:
            ask("power", self._power.ask, vocabulary.POWER)
        if (fields.ENERGY, 0) not in self._told:
            ask("energy", self._energy.ask)
        for name, clock in self._clocks:
            ask(name, clock.ask, vocabulary.CLOCK)
        if not ask("reasons", self._reasons.ask):
            ask("reasons, old", self._old_reasons.ask)
        ask("gpm", partial(self._gpm.read, now), *_GPM_METRICS)
        processes = self._processes.read(ask)
        if not calls.measured:  # what was read a while ago says nothing of now
            return Sampled(missing=tuple(calls.missing))
        return Sampled((*calls.measured, *self._seldom), (*calls.missing, *self._seldom_missing), processes)

    def _renew(self, now: float) -> None:
        """What was not supported may be, once partitions are switched off."""
        if self._renewed_at is None:
            self._renewed_at = now
        elif not 0 <= now - self._renewed_at < RENEW_SECONDS:
            self._renewed_at = now
            self._calls = Calls(self._count_error, is_stale=_HANDLES_STAY)
            self._fast.renew()

    def free(self) -> None:
        self._gpm.free()

    def _question(self, name: str, layout: str, means: Means, *more: int, pointers: Sequence[int] = (0,)) -> Question:
        return Question(self._library, name, (self.handle, *more), layout, means, pointers)

    def _read_fields(self) -> Sequence[Measured]:
        told = self._fast.settled(self._fast.read(self._library.raw(fields.CALL), self.handle))
        self._told = told[0]
        return self._meanings.of(told)

    def _read_seldom(self) -> None:
        ask = self._calls.ask
        ask("power limit", self._power_limit, vocabulary.POWER_LIMIT)
        for number, labels in _CLOCK_LABELS:
            ask(f"clock limit {number}", partial(self._clock_limit, number, labels))
        for kind, place, name in _THRESHOLDS:
            limit = (("hw.sensor_location", place), ("hw.limit_type", name))
            ask(f"threshold {kind}", partial(self._threshold, kind, limit))
        for call, metric in (
            ("nvmlDeviceGetCurrPcieLinkWidth", vocabulary.LINK_WIDTH),
            ("nvmlDeviceGetMaxPcieLinkWidth", vocabulary.LINK_WIDTH_LIMIT),
            ("nvmlDeviceGetCurrPcieLinkGeneration", vocabulary.LINK_GENERATION),
            ("nvmlDeviceGetMaxPcieLinkGeneration", vocabulary.LINK_GENERATION_LIMIT),
        ):
            ask(call, partial(self._pcie, call, metric))
        ask("links", self._links)

    def _clock_limit(self, number: int, labels: Labels) -> Sequence[Measured]:
        megahertz = self._library.call("nvmlDeviceGetMaxClockInfo", self.handle, number)
        return (Measured(vocabulary.CLOCK_LIMIT, megahertz * _MEGA, labels),)

    def _power_limit(self) -> Sequence[Measured]:
        milliwatts = self._library.call("nvmlDeviceGetEnforcedPowerLimit", self.handle)
        return (Measured(vocabulary.POWER_LIMIT, milliwatts / 1000),)

    def _threshold(self, kind: int, labels: Labels) -> Sequence[Measured]:
        celsius = self._library.call("nvmlDeviceGetTemperatureThreshold", self.handle, kind)
        return (Measured(vocabulary.TEMPERATURE_LIMIT, celsius, labels),)

    def _pcie(self, call: str, metric: Metric) -> Sequence[Measured]:
        return (Measured(metric, self._library.call(call, self.handle), _PCIE),)

    def _links(self) -> Sequence[Measured]:
        get = self._library.raw(fields.CALL)
        keys, values = self._slow.read(get, self.handle)
        if not self._knows_links:
            count = int(values[0]) if keys else 0
            if not 0 < count <= MOST_LINKS:
                raise codes.error(3, fields.CALL)
            self._slow = fields.Batch([(fields.LINK_STATE, link) for link in range(count)], self._element)
            self._knows_links = True
            _, values = self._slow.read(get, self.handle)
        return tuple(fields.links(values))


def _utilization(busy: int, memory_busy: int) -> Iterator[Measured]:
    yield Measured(vocabulary.UTILIZATION, busy / 100, _GENERAL)
    yield Measured(vocabulary.MEMORY_BUSY, memory_busy / 100)


def _encoder(percent: int, _: int) -> Iterator[Measured]:
    yield Measured(vocabulary.UTILIZATION, percent / 100, _ENCODER)


def _decoder(percent: int, _: int) -> Iterator[Measured]:
    yield Measured(vocabulary.UTILIZATION, percent / 100, _DECODER)


def _temperature(celsius: int) -> Iterator[Measured]:
    yield Measured(vocabulary.TEMPERATURE, float(celsius), _CHIP)


def _power(milliwatts: int) -> Iterator[Measured]:
    yield Measured(vocabulary.POWER, milliwatts / 1000)


def _energy(millijoules: int) -> Iterator[Measured]:
    yield Measured(vocabulary.ENERGY, millijoules / 1000, _METER)


def _clock(labels: Labels, megahertz: int) -> Iterator[Measured]:
    yield Measured(vocabulary.CLOCK, megahertz * _MEGA, labels)


def _throttled(mask: int) -> Iterator[Measured]:
    for bit, labels in _REASON_LABELS:
        yield Measured(vocabulary.THROTTLED, 1.0 if mask & bit else 0.0, labels)


class Partition:
    """A MIG instance: temperature, power, clocks and energy are its GPU's."""

    def __init__(self, library: Library, handle: Any, gpm: Gpm, count_error: CountError) -> None:
        self.handle = handle
        self._library = library
        self._count_error = count_error
        self._calls = Calls(count_error)
        self._renewed_at: float | None = None
        self._gpm = gpm
        self._memory = memory(library, handle)
        self._processes = Processes(library, handle)

    def sample(self, now: float) -> Sampled:
        """:raises DriverError: STALE when the instance was destroyed"""
        if self._renewed_at is None or not 0 <= now - self._renewed_at < RENEW_SECONDS:
            self._calls, self._renewed_at = Calls(self._count_error), now
        calls = self._calls
        calls.begin()
        calls.ask("memory", self._memory_of_instance, vocabulary.MEMORY_USAGE)
        self._ask("gpm", partial(self._gpm.read, now), *_GPM_METRICS)
        processes = self._processes.read(self._ask)
        return Sampled(tuple(calls.measured), tuple(calls.missing), processes)

    def free(self) -> None:
        self._gpm.free()

    def _ask(self, name: str, ask: Ask, *metrics: Metric) -> bool:
        return self._calls.ask(name, partial(_never_stale, ask), *metrics)

    def _memory_of_instance(self) -> Sequence[Measured]:
        """Every instance has memory: that it cannot be found says that the handle is of one that is no more."""
        try:
            return self._memory.ask()
        except DriverError as failure:
            if failure.code == "NOT_FOUND":
                raise DriverError(Meaning.STALE, failure.code, failure.call) from None
            raise


class Processes:
    """Processes that compute on a device. The pid is the host's."""

    def __init__(self, library: Library, handle: Any) -> None:
        self._library = library
        self._handle = handle
        self._element = library.binding.c_nvmlProcessInfo_v3_t
        self._count = ctypes.c_uint()
        self._room = 32
        self._array = (self._element * self._room)()
        self._listed = b""
        self._found: tuple[ProcessUse, ...] = ()

    def read(self, ask: Callable[..., bool]) -> tuple[ProcessUse, ...] | None:
        """None where they cannot be listed; the same tuple while the driver tells the same."""
        return self._found if ask("processes", self._list, vocabulary.PROCESSES) else None

    def _list(self) -> Sequence[Measured]:
        name = "nvmlDeviceGetComputeRunningProcesses_v3"
        get = self._library.raw(name)
        self._count.value = self._room
        code = get(self._handle, ctypes.byref(self._count), self._array)
        if code == 7 and self._room < MOST_PROCESSES:
            self._room = min(MOST_PROCESSES, max(2 * self._room, 2 * self._count.value))
            self._array = (self._element * self._room)()
            self._count.value = self._room
            code = get(self._handle, ctypes.byref(self._count), self._array)
        if code:
            raise codes.error(code, name)
        count = min(self._count.value, self._room)
        listed = memoryview(self._array).cast("B")[: count * ctypes.sizeof(self._element)].tobytes()
        if listed != self._listed:
            self._listed = listed
            self._found = tuple(
                ProcessUse(one.pid, None if one.usedGpuMemory == UNKNOWN_MEMORY else float(one.usedGpuMemory))
                for one in self._array[:count]
            )
        return ()


_GPM_METRICS: Final = tuple(dict.fromkeys(metric for _, metric, _ in METRICS))


def memory(library: Library, handle: Any) -> Question:
    """What is in use is all that is not free: whether the driver's own share is in `used` differs between versions."""
    return Question(library, "nvmlDeviceGetMemoryInfo", (handle,), "QQQ", _memory)


def _memory(total: int, free: int, _: int) -> Iterator[Measured]:
    yield Measured(vocabulary.MEMORY_LIMIT, float(total))
    yield Measured(vocabulary.MEMORY_USAGE, float(total - free))


def _never_stale(ask: Ask) -> Sequence[Measured]:
    """Where memory was told just now, INVALID_ARGUMENT says that the call is not for an instance."""
    try:
        return ask()
    except DriverError as failure:
        if failure.meaning is Meaning.STALE:
            raise DriverError(Meaning.UNSUPPORTED, failure.code, failure.call) from None
        raise
