"""What is asked of one MLU at a sample."""

import ctypes
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from collector.accelerators.alternatives import FirstSupported
from collector.accelerators.cambricon import codes, fields, structs
from collector.accelerators.cambricon.links import Links
from collector.accelerators.driver import (
    Ask,
    Calls,
    CountError,
    DriverError,
    Fault,
    Meaning,
    Measured,
    ProcessUse,
    Sampled,
)  # fmt: skip
from collector.accelerators.edges import Edges
from collector.accelerators.native import Native
from watchkeeper.core.metric import Metric
from watchkeeper.core.records import Labels, Reason
from watchkeeper.core.vocabulary import devices as vocabulary
from watchkeeper.core.vocabulary.faults import mlu_incident

SLOW_SECONDS: Final = 15.0
"""how often limits, links and error counts are read"""
STATES: Final = ("ok", "degraded", "failed", "predicted_failure")
REASONS: Final = ("tdp", "power_setting", "clock_setting", "frequency_locked", "power_brake", "thermal_slowdown")
MOST_PROCESSES: Final = 4096
_MIB: Final = float(2**20)
_KIB: Final = 1024.0
_MEGA: Final = 1e6
_MOST_CELSIUS: Final = 200
_OF_GPU: Final = (("hw.type", "gpu"),)
_STATE_LABELS: Final = tuple((state, (*_OF_GPU, ("hw.state", state))) for state in STATES)
_REASON_LABELS: Final = tuple((reason, ((vocabulary.REASON, reason),)) for reason in REASONS)
_CORRECTED: Final = (("error.type", "corrected"),)
_UNCORRECTED: Final = (("error.type", "uncorrected"),)
_PLACES: Final = ("board", "chip", "memory")
_CORE: Final = (("clock", "core"),)


class Card:
    """Only its own thread calls `sample`."""

    def __init__(self, library: Native, handle: int, device_id: str, edges: Edges, count_error: CountError) -> None:
        self.handle = handle
        self._library = library
        self._id = device_id
        self._edges = edges
        self._calls = Calls(count_error)
        self._is_there = False
        self._now = 0.0
        self._seldom: tuple[Measured, ...] = ()
        self._seldom_missing: tuple[tuple[Metric, Reason], ...] = ()
        self._seldom_at = float("-inf")
        self._room_for_report = structs.Health()
        self._room = 32
        self._processes = (structs.Process * self._room)()
        self._links = Links(library, handle)
        self._fast = fields.Batch(library, handle, fields.FAST)
        self._limits = fields.Batch(library, handle, fields.LIMITS)
        self._link_bytes: Ask | None = None
        self._health = FirstSupported(self._report, self._old_report)
        self._memory = FirstSupported(self._new_memory, self._old_memory)
        self._power = FirstSupported(
            lambda: self._power_by("cndevGetDevicePowerInfo"), lambda: self._power_by("cndevGetPowerInfoV2")
        )
        self._ecc = FirstSupported(self._ecc_counter, self._ecc_info)
        self._rows = FirstSupported(
            lambda: self._remapped("cndevGetRemappedRowsV2"), lambda: self._remapped("cndevGetRemappedRows")
        )
        self._repair = FirstSupported(self._repair_status, self._pending_rows)
        self._link_errors = FirstSupported(self._links.errors, self._links.old_errors)

    def sample(self, now: float) -> Sampled:
        """:raises DriverError: nothing more can be asked of it now"""
        calls = self._calls
        calls.begin()
        self._is_there = False
        self._now = now
        self._ask("health", self._health, vocabulary.STATUS)
        self._ask("utilization", self._utilization, vocabulary.UTILIZATION)
        self._ask("codec", self._codec)
        self._ask("memory", self._memory, vocabulary.MEMORY_USAGE)
        self._ask("temperature", self._temperature, vocabulary.TEMPERATURE)
        self._ask("power", self._power, vocabulary.POWER)
        self._ask("clock", self._frequency, vocabulary.CLOCK)
        self._ask("throttle", self._throttled)
        self._ask("fields", self._fast.read)
        self._ask("link bytes", self._read_link_bytes)
        processes = self._list_processes()
        measured, missing = tuple(calls.measured), tuple(calls.missing)
        if not measured:  # what was read a while ago says nothing of now
            return Sampled(missing=missing)
        if not 0 <= now - self._seldom_at < SLOW_SECONDS:
            self._read_seldom()
            self._seldom_at = now
        return Sampled((*measured, *self._seldom), (*missing, *self._seldom_missing), processes)

    def _read_seldom(self) -> None:
        self._calls.begin()
        self._ask("limits", self._limits.read)
        self._ask("errors", self._ecc, vocabulary.ERRORS)
        self._ask("rows", self._rows)
        self._ask("repair", self._repair)
        self._ask("link states", self._links.states)
        self._ask("link errors", self._link_errors)
        if not self._link_errors.place:
            self._ask("link events", self._links.events)
        self._ask("pcie", self._links.pcie_now)
        self._ask("pcie limit", self._links.pcie_limit)
        self._ask("pcie replays", self._links.pcie_replays)
        self._ask("pcie bytes", self._links.pcie_bytes)
        self._seldom, self._seldom_missing = tuple(self._calls.measured), tuple(self._calls.missing)

    def _ask(self, name: str, ask: Ask, *metrics: Metric) -> bool:
        return self._calls.ask(name, lambda: self._for_itself(ask), *metrics)

    def _for_itself(self, ask: Ask) -> Sequence[Measured]:
        """A card that just told its health is there: INVALID_DEVICE_ID is then about what was asked for."""
        try:
            return ask()
        except DriverError as failure:
            if self._is_there and failure.meaning is Meaning.STALE:
                raise DriverError(Meaning.FAILING, failure.code, failure.call) from None
            raise

    def _call(self, name: str, out: Any) -> None:
        self._library.call(name, ctypes.byref(out), self.handle)

    def _get(self, name: str, layout: Callable[..., Any]) -> Any:
        """One of the structures that begin with a version."""
        out = layout(version=structs.VERSION)
        self._call(name, out)
        return out

    def _report(self) -> Sequence[Measured]:
        report = self._room_for_report
        self._call("cndevGetCardHealthStateV2", report)
        self._is_there = True
        found = report.incidents[: min(report.incident_count, len(report.incidents))]
        failures = {one.code: one.health == structs.FAIL for one in found if one.health in (structs.WARN, structs.FAIL)}
        known = {number: mlu_incident(number, failed) for number, failed in failures.items()}
        faults = {
            one.code: Fault(
                self._id, self._now, one.code, one.fault_class, one.severity,
                f"{one.code}: {one.text} ({one.severity.value}). To do: {one.action}",
            )
            for one in known.values()
        }  # fmt: skip
        self._edges.see(self._id, faults, faults.__getitem__)
        if report.health == 0 or report.device_state == 0 or report.overall == structs.FAIL:
            return _status("failed")
        return _status("degraded" if report.overall or report.driver_state != structs.RUNNING else "ok")

    def _old_report(self) -> Sequence[Measured]:
        call = "cndevGetCardHealthState"
        report = self._get(call, structs.OldHealth)
        self._is_there = True
        if report.health not in (0, 1):
            raise DriverError(Meaning.FAILING, str(report.health), call)
        return _status("ok" if report.health else "failed")

    def _utilization(self) -> Sequence[Measured]:
        average = self._get("cndevGetDeviceUtilizationInfo", structs.Utilization).average
        return list(_ratios([("general", [average])]))

    def _codec(self) -> Sequence[Measured]:
        codec = self._get("cndevGetVideoCodecUtilization", structs.Codec)
        encoders = codec.encoders[: max(0, codec.encoder_count)]
        return list(_ratios([("encoder", encoders), ("decoder", codec.decoders[: max(0, codec.decoder_count)])]))

    def _new_memory(self) -> Sequence[Measured]:
        info = structs.Memory()
        self._call("cndevGetMemoryUsageV2", info)
        return _amounts(info, "cndevGetMemoryUsageV2")

    def _old_memory(self) -> Sequence[Measured]:
        return _amounts(self._get("cndevGetMemoryUsage", structs.OldMemory), "cndevGetMemoryUsage")

    def _temperature(self) -> Sequence[Measured]:
        told = self._get("cndevGetTemperatureInfo", structs.Temperature)
        return [
            Measured(vocabulary.TEMPERATURE, float(celsius), (("hw.sensor_location", place),))
            for place in _PLACES
            if 0 < (celsius := getattr(told, place)) <= _MOST_CELSIUS
        ]

    def _power_by(self, call: str) -> Sequence[Measured]:
        told = structs.Power()
        self._call(call, told)
        both = ((vocabulary.POWER, told.usage, 0), (vocabulary.POWER_LIMIT, told.cap, 1))
        return [Measured(metric, float(watts)) for metric, watts, least in both if least <= watts < 0xFFFF]

    def _frequency(self) -> Sequence[Measured]:
        told = self._get("cndevGetFrequencyInfo", structs.Frequency)
        both = ((vocabulary.CLOCK, told.board), (vocabulary.CLOCK_LIMIT, told.most))
        return [Measured(metric, megahertz * _MEGA, _CORE) for metric, megahertz in both if 0 < megahertz < 0xFFFF]

    def _throttled(self) -> Sequence[Measured]:
        told = self._get("cndevGetPerformanceThrottleReason", structs.Throttle)
        return [
            Measured(vocabulary.THROTTLED, float(getattr(told, reason) == 1), labels)
            for reason, labels in _REASON_LABELS
        ]

    def _read_link_bytes(self) -> Sequence[Measured]:
        if self._link_bytes is None:
            batch = fields.Batch(self._library, self.handle, fields.link_bytes(self._links.ports()))
            self._link_bytes = FirstSupported(batch.read, self._links.old_bytes)
        return self._link_bytes()

    def _ecc_counter(self) -> Sequence[Measured]:
        sram_single, sram_double, sram_parity, dram_single, dram_double = self._get(
            "cndevGetMemEccCounter", structs.EccCounter
        ).volatile
        return _errors(sram_single + dram_single, sram_double + sram_parity + dram_double)

    def _ecc_info(self) -> Sequence[Measured]:
        told = self._get("cndevGetECCInfo", structs.EccInfo)
        return _errors(told.corrected, told.uncorrected)

    def _remapped(self, call: str) -> Sequence[Measured]:
        told = self._get(call, structs.RemappedRows)
        both = ((told.corrected, _CORRECTED), (told.uncorrected, _UNCORRECTED))
        return [Measured(vocabulary.REMAPPED, float(rows), labels) for rows, labels in both]

    def _repair_status(self) -> Sequence[Measured]:
        told = self._get("cndevGetRepairStatus", structs.Repair)
        return _repair(told.is_pending or told.is_retire_pending, told.is_failure)

    def _pending_rows(self) -> Sequence[Measured]:
        told = self._get("cndevGetRemappedRows", structs.RemappedRows)
        return _repair(told.pending > 0, told.failed > 0)

    def _list_processes(self) -> tuple[ProcessUse, ...] | None:
        found: list[ProcessUse] = []

        def read() -> Sequence[Measured]:
            found.extend(self._read_processes())
            return ()

        return tuple(found) if self._ask("processes", read, vocabulary.PROCESSES) else None

    def _read_processes(self) -> Iterator[ProcessUse]:
        call = "cndevGetProcessInfo"
        count = ctypes.c_uint(self._room)
        self._processes[0].version = structs.VERSION
        get = self._library.function(call)
        code = get(ctypes.byref(count), self._processes, self.handle)
        if code == codes.INSUFFICIENT_SPACE and self._room < MOST_PROCESSES:
            self._room = min(MOST_PROCESSES, max(2 * self._room, 2 * count.value))
            self._processes = (structs.Process * self._room)()
            self._processes[0].version = structs.VERSION
            count.value = self._room
            code = get(ctypes.byref(count), self._processes, self.handle)
        if code:
            raise codes.error(code, call)
        for one in self._processes[: min(count.value, self._room)]:
            yield ProcessUse(one.pid, one.physical * _KIB)


def _status(state: str) -> Sequence[Measured]:
    return [Measured(vocabulary.STATUS, float(known == state), labels) for known, labels in _STATE_LABELS]


def _ratios(told: Sequence[tuple[str, Sequence[int]]]) -> Iterator[Measured]:
    """The mean of those that say something."""
    for task, percents in told:
        known = [percent for percent in percents if 0 <= percent <= 100]
        if known:
            labels: Labels = (("hw.gpu.task", task),)
            yield Measured(vocabulary.UTILIZATION, sum(known) / len(known) / 100, labels)


def _amounts(info: Any, call: str) -> Sequence[Measured]:
    if info.total <= 0:
        raise DriverError(Meaning.UNSUPPORTED, "NO_MEMORY", call)
    limit = Measured(vocabulary.MEMORY_LIMIT, info.total * _MIB)
    return (limit, Measured(vocabulary.MEMORY_USAGE, info.used * _MIB)) if 0 <= info.used <= info.total else (limit,)


def _errors(corrected: int, uncorrected: int) -> Sequence[Measured]:
    both = ((corrected, _CORRECTED), (uncorrected, _UNCORRECTED))
    return [Measured(vocabulary.ERRORS, float(count), (*_OF_GPU, *labels)) for count, labels in both]


def _repair(is_pending: bool, is_failed: bool) -> Sequence[Measured]:
    return (
        Measured(vocabulary.REPAIR_PENDING, float(is_pending)), Measured(vocabulary.REPAIR_FAILED, float(is_failed)),
    )  # fmt: skip
