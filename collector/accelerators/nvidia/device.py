"""What is asked of one GPU at a sample, and what of one MIG instance."""

import ctypes
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

from collector.accelerators.driver import (
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
_CHIP: Final = (("hw.sensor_location", "chip"),)
_METER: Final = (("watchkeeper.obtained", "meter"),)
_CLOCKS: Final = ((1, "core"), (2, "memory"), (3, "video"))
_CLOCK_LABELS: Final = tuple((number, (("clock", name),)) for number, name in _CLOCKS)
_REASON_LABELS: Final = tuple((bit, ((vocabulary.REASON, name),)) for bit, name in REASONS)
_PCIE: Final = ((vocabulary.LINK, "pcie"),)
_THRESHOLDS: Final = ((0, "chip", "shutdown"), (1, "chip", "slowdown"), (2, "memory", "high"), (3, "chip", "high"))
_MEGA: Final = 1e6

Ask = Callable[[], Sequence[Measured]]


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
        self._calls = Calls(count_error)
        self._renewed_at: float | None = None
        self._gpm = Gpm(library, lock, handle)
        self._processes = Processes(library, handle)
        self._element = library.binding.c_nvmlFieldValue_t
        self._fast = fields.Batch(fields.FAST_WANTED, self._element)
        self._meanings = fields.Meanings()
        self._slow = fields.Batch(((fields.LINK_COUNT, 0),), self._element)
        self._knows_links = False
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
        values = self._read_fields()
        self._ask("utilization", self._utilization, vocabulary.UTILIZATION, vocabulary.MEMORY_BUSY)
        self._ask("encoder", lambda: self._task("nvmlDeviceGetEncoderUtilization", "encoder"))
        self._ask("decoder", lambda: self._task("nvmlDeviceGetDecoderUtilization", "decoder"))
        self._ask("memory", lambda: memory(self._library, self.handle), vocabulary.MEMORY_USAGE)
        if not self._ask("temperature", self._temperature, vocabulary.TEMPERATURE):
            self._ask("temperature, old", self._old_temperature, vocabulary.TEMPERATURE)
        if (186, 0) not in values:
            self._ask("power", self._power, vocabulary.POWER)
        if (fields.ENERGY, 0) not in values:
            self._ask("energy", self._energy)
        for number, labels in _CLOCK_LABELS:
            self._ask(f"clock {number}", lambda n=number, of=labels: self._clock(n, of), vocabulary.CLOCK)  # type: ignore[misc]
        if not self._ask("reasons", lambda: self._throttled("nvmlDeviceGetCurrentClocksEventReasons")):
            self._ask("reasons, old", lambda: self._throttled("nvmlDeviceGetCurrentClocksThrottleReasons"))
        self._ask("gpm", lambda: self._gpm.read(now), *_GPM_METRICS)
        processes = self._processes.read(self._ask)
        if not calls.measured:  # what was read a while ago says nothing of now
            return Sampled(missing=tuple(calls.missing))
        return Sampled((*calls.measured, *self._seldom), (*calls.missing, *self._seldom_missing), processes)

    def _renew(self, now: float) -> None:
        """What was not supported may be, once partitions are switched off."""
        if self._renewed_at is None:
            self._renewed_at = now
        elif not 0 <= now - self._renewed_at < RENEW_SECONDS:
            self._renewed_at = now
            self._calls = Calls(self._count_error)
            self._fast.renew()

    def free(self) -> None:
        self._gpm.free()

    def _ask(self, name: str, ask: Ask, *metrics: Metric) -> bool:
        return self._calls.ask(name, lambda: _never_stale(ask), *metrics)

    def _read_fields(self) -> Mapping[tuple[int, int], float]:
        values: dict[tuple[int, int], float] = {}

        def ask() -> Sequence[Measured]:
            values.update(self._fast.read(self._library.raw(fields.CALL), self.handle))
            self._fast.settle(values)
            return self._meanings.of(values)

        self._ask("fields", ask, vocabulary.ENERGY, vocabulary.POWER, vocabulary.ERRORS)
        return values

    def _read_seldom(self) -> None:
        self._ask("power limit", self._power_limit, vocabulary.POWER_LIMIT)
        for number, labels in _CLOCK_LABELS:
            self._ask(f"clock limit {number}", lambda n=number, of=labels: self._clock_limit(n, of))  # type: ignore[misc]
        for kind, place, name in _THRESHOLDS:
            limit = (("hw.sensor_location", place), ("hw.limit_type", name))
            self._ask(f"threshold {kind}", lambda k=kind, of=limit: self._threshold(k, of))  # type: ignore[misc]
        for call, metric in (
            ("nvmlDeviceGetCurrPcieLinkWidth", vocabulary.LINK_WIDTH),
            ("nvmlDeviceGetMaxPcieLinkWidth", vocabulary.LINK_WIDTH_LIMIT),
            ("nvmlDeviceGetCurrPcieLinkGeneration", vocabulary.LINK_GENERATION),
            ("nvmlDeviceGetMaxPcieLinkGeneration", vocabulary.LINK_GENERATION_LIMIT),
        ):
            self._ask(call, lambda c=call, m=metric: self._pcie(c, m))  # type: ignore[misc]
        self._ask("links", self._links)

    def _utilization(self) -> Sequence[Measured]:
        rates = self._library.call("nvmlDeviceGetUtilizationRates", self.handle)
        return (
            Measured(vocabulary.UTILIZATION, rates.gpu / 100, _GENERAL),
            Measured(vocabulary.MEMORY_BUSY, rates.memory / 100),
        )

    def _task(self, call: str, task: str) -> Sequence[Measured]:
        percent = self._library.call(call, self.handle)[0]
        return (Measured(vocabulary.UTILIZATION, percent / 100, (("hw.gpu.task", task),)),)

    def _temperature(self) -> Sequence[Measured]:
        return (
            Measured(vocabulary.TEMPERATURE, self._library.call("nvmlDeviceGetTemperatureV", self.handle, 0), _CHIP),
        )

    def _old_temperature(self) -> Sequence[Measured]:
        return (
            Measured(vocabulary.TEMPERATURE, self._library.call("nvmlDeviceGetTemperature", self.handle, 0), _CHIP),
        )

    def _power(self) -> Sequence[Measured]:
        return (Measured(vocabulary.POWER, self._library.call("nvmlDeviceGetPowerUsage", self.handle) / 1000),)

    def _energy(self) -> Sequence[Measured]:
        millijoules = self._library.call("nvmlDeviceGetTotalEnergyConsumption", self.handle)
        return (Measured(vocabulary.ENERGY, millijoules / 1000, _METER),)

    def _clock(self, number: int, labels: Labels) -> Sequence[Measured]:
        return (
            Measured(
                vocabulary.CLOCK, self._library.call("nvmlDeviceGetClockInfo", self.handle, number) * _MEGA, labels
            ),
        )

    def _clock_limit(self, number: int, labels: Labels) -> Sequence[Measured]:
        megahertz = self._library.call("nvmlDeviceGetMaxClockInfo", self.handle, number)
        return (Measured(vocabulary.CLOCK_LIMIT, megahertz * _MEGA, labels),)

    def _throttled(self, call: str) -> Sequence[Measured]:
        mask = self._library.call(call, self.handle)
        return [Measured(vocabulary.THROTTLED, 1.0 if mask & bit else 0.0, labels) for bit, labels in _REASON_LABELS]

    def _power_limit(self) -> Sequence[Measured]:
        milliwatts = self._library.call("nvmlDeviceGetEnforcedPowerLimit", self.handle)
        return (Measured(vocabulary.POWER_LIMIT, milliwatts / 1000),)

    def _threshold(self, kind: int, labels: Labels) -> Sequence[Measured]:
        celsius = self._library.call("nvmlDeviceGetTemperatureThreshold", self.handle, kind)
        return (Measured(vocabulary.TEMPERATURE_LIMIT, celsius, labels),)

    def _pcie(self, call: str, metric: Metric) -> Sequence[Measured]:
        return (Measured(metric, self._library.call(call, self.handle), _PCIE),)

    def _links(self) -> Sequence[Measured]:
        values = self._slow.read(self._library.raw(fields.CALL), self.handle)
        if not self._knows_links:
            count = int(values.get((fields.LINK_COUNT, 0), 0))
            if not 0 < count <= MOST_LINKS:
                raise codes.error(3, fields.CALL)
            self._slow = fields.Batch([(fields.LINK_STATE, link) for link in range(count)], self._element)
            self._knows_links = True
            values = self._slow.read(self._library.raw(fields.CALL), self.handle)
        return tuple(fields.links(values))


class Partition:
    """A MIG instance: temperature, power, clocks and energy are its GPU's."""

    def __init__(self, library: Library, handle: Any, gpm: Gpm, count_error: CountError) -> None:
        self.handle = handle
        self._library = library
        self._calls = Calls(count_error)
        self._gpm = gpm
        self._processes = Processes(library, handle)

    def sample(self, now: float) -> Sampled:
        """:raises DriverError: STALE when the instance was destroyed"""
        calls = self._calls
        calls.begin()
        calls.ask("memory", self._memory, vocabulary.MEMORY_USAGE)
        self._ask("gpm", lambda: self._gpm.read(now), *_GPM_METRICS)
        processes = self._processes.read(self._ask)
        return Sampled(tuple(calls.measured), tuple(calls.missing), processes)

    def free(self) -> None:
        self._gpm.free()

    def _ask(self, name: str, ask: Ask, *metrics: Metric) -> bool:
        return self._calls.ask(name, lambda: _never_stale(ask), *metrics)

    def _memory(self) -> Sequence[Measured]:
        """Every instance has memory: that it cannot be found says that the handle is of one that is no more."""
        try:
            return memory(self._library, self.handle)
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

    def read(self, ask: Callable[..., bool]) -> tuple[ProcessUse, ...] | None:
        """None where they cannot be listed."""
        found: list[ProcessUse] = []

        def read() -> Sequence[Measured]:
            found.extend(self._list())
            return ()

        return tuple(found) if ask("processes", read, vocabulary.PROCESSES) else None

    def _list(self) -> Iterator[ProcessUse]:
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
        for place in range(min(self._count.value, self._room)):
            one = self._array[place]
            held = one.usedGpuMemory
            yield ProcessUse(one.pid, None if held == UNKNOWN_MEMORY else float(held))


_GPM_METRICS: Final = tuple(dict.fromkeys(metric for _, metric, _ in METRICS))


def memory(library: Library, handle: Any) -> Sequence[Measured]:
    """What is in use is all that is not free: whether the driver's own share is in `used` differs between versions."""
    info = library.call("nvmlDeviceGetMemoryInfo", handle)
    return (
        Measured(vocabulary.MEMORY_LIMIT, info.total),
        Measured(vocabulary.MEMORY_USAGE, info.total - info.free),
    )


def _never_stale(ask: Ask) -> Sequence[Measured]:
    """A handle is good until the library is opened anew: INVALID_ARGUMENT says that the call is not for this device."""
    try:
        return ask()
    except DriverError as failure:
        if failure.meaning is Meaning.STALE:
            raise DriverError(Meaning.UNSUPPORTED, failure.code, failure.call) from None
        raise
