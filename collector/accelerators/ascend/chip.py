"""What is asked of one NPU chip at a sample."""

import ctypes
from collections.abc import Callable, Sequence
from typing import Any, Final

from collector.accelerators.alternatives import FirstSupported
from collector.accelerators.ascend import codes, structs
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
)
from collector.accelerators.edges import Edges
from collector.accelerators.native import Native
from watchkeeper.core.metric import Metric
from watchkeeper.core.records import Labels, Reason
from watchkeeper.core.vocabulary import devices as vocabulary
from watchkeeper.core.vocabulary.faults import dcmi_fault

SLOW_SECONDS: Final = 15.0
"""how often error counts, links and limits are read"""
DROPPED: Final = "40F84E00"
"""the fault that the vendor's plugin sees in a chip whose health is not ready: the driver's list does not have it"""
STATES: Final = ("ok", "degraded", "failed", "predicted_failure")
OF_HEALTH: Final = ("ok", "degraded", "degraded", "failed")
"""by health: none, minor, major, critical"""
NETWORK_DOWN: Final = frozenset((1, 2, 3, 4, 5, 7))
"""enum dcmi_rdfx_detect_result; 6 and 8 say that nothing was detected yet"""
_MIB: Final = float(2**20)
_MEGA: Final = 1e6
_GENERAL: Final = (("hw.gpu.task", "general"),)
_CORE: Final = (("clock", "core"),)
_MEMORY_CLOCK: Final = (("clock", "memory"),)
_CHIP: Final = (("hw.sensor_location", "chip"),)
_MEMORY: Final = (("hw.sensor_location", "memory"),)
_CORRECTED: Final = (("error.type", "corrected"),)
_UNCORRECTED: Final = (("error.type", "uncorrected"),)
_OF_GPU: Final = (("hw.type", "gpu"),)
_STATE_LABELS: Final = tuple((state, (*_OF_GPU, ("hw.state", state))) for state in STATES)
_HCCS: Final = ((vocabulary.LINK, "hccs"),)
_NIC: Final = ((vocabulary.LINK, "nic"),)
_MOST_CELSIUS: Final = 200
_MOST_POWER: Final = 0xFFFF
_NOTHING_32: Final = 0xFFFFFFFF
_NOTHING_64: Final = 2**64 - 1
_TEXT_BYTES: Final = 256
"""with less the library shortens"""


class Chip:
    """
    Only its own thread calls `sample`.

    :param sharing: chips on its card, which share the card's power where only the card's micro-controller measures it
    """

    def __init__(
        self, library: Native, device_id: str, place: tuple[int, int], model: str, sharing: int, edges: Edges,
        count_error: CountError,
    ) -> None:  # fmt: skip
        self.place = place
        self._library = library
        self._id = device_id
        self._sharing = sharing
        self._edges = edges
        self._calls = Calls(count_error)
        self._is_there = False
        self._has_dropped = False
        self._seldom: tuple[Measured, ...] = ()
        self._seldom_missing: tuple[tuple[Metric, Reason], ...] = ()
        self._seldom_at = float("-inf")
        self._number = ctypes.c_uint()
        self._signed = ctypes.c_int()
        self._codes = (ctypes.c_uint * structs.MOST_CODES)()
        self._processes = (structs.ProcessMemory * structs.ROOM_PROCESSES)()
        self._utilization = FirstSupported(
            self._all_utilization, self._rate(structs.UTIL_AICORE, *_BUSY), self._rate(structs.UTIL_NPU, *_BUSY)
        )
        self._memory = FirstSupported(self._hbm, self._ddr)
        power = (self._chip_power, self._card_power)
        self._power = FirstSupported(*(reversed(power) if "310P" in model else power))
        self._ecc = FirstSupported(lambda: self._errors_of(structs.HBM), lambda: self._errors_of(structs.DDR))
        self._hccs = FirstSupported(
            lambda: self._hccs_errors(structs.HCCS_COUNTS_U64, structs.HccsCountsU64, _NOTHING_64),
            lambda: self._hccs_errors(structs.HCCS_COUNTS, structs.HccsCounts, _NOTHING_32),
        )

    def sample(self, now: float) -> Sampled:
        """:raises DriverError: nothing more can be asked of it now"""
        calls = self._calls
        calls.begin()
        self._is_there = self._has_dropped = False
        self._ask("health", self._health, vocabulary.STATUS)
        self._ask("faults", lambda: self._faults(now))
        self._ask("utilization", self._utilization, vocabulary.UTILIZATION)
        if self._utilization.place:
            self._ask("vector", self._rate(structs.UTIL_VECTOR, vocabulary.COMPUTE_ACTIVE))
            self._ask("cube", self._rate(structs.UTIL_CUBE, vocabulary.MATRIX_ACTIVE))
        self._ask("memory", self._memory, vocabulary.MEMORY_USAGE)
        if self._memory.place:
            self._ask("bandwidth", self._rate(structs.UTIL_DDR_BANDWIDTH, vocabulary.MEMORY_BANDWIDTH))
        self._ask("temperature", self._temperature, vocabulary.TEMPERATURE)
        self._ask("power", self._power, vocabulary.POWER)
        self._ask("clock", self._clock(structs.CORE, vocabulary.CLOCK), vocabulary.CLOCK)
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
        self._ask("clock limit", self._clock(structs.CORE_RATED, vocabulary.CLOCK_LIMIT))
        self._ask("errors", self._ecc, vocabulary.ERRORS)
        self._ask("hccs", self._hccs)
        if self._is_there:  # this call blocks for long when the chip has dropped off
            self._ask("network", self._network)
        self._seldom, self._seldom_missing = tuple(self._calls.measured), tuple(self._calls.missing)

    def _ask(self, name: str, ask: Ask, *metrics: Metric) -> bool:
        return self._calls.ask(name, lambda: self._for_itself(ask), *metrics)

    def _for_itself(self, ask: Ask) -> Sequence[Measured]:
        """A chip that just told its health is there: DEVICE_NOT_EXIST is then about what was asked for."""
        try:
            return ask()
        except DriverError as failure:
            if self._is_there and failure.meaning in (Meaning.LOST, Meaning.STALE):
                raise DriverError(Meaning.FAILING, failure.code, failure.call) from None
            raise

    def _call(self, name: str, *arguments: Any) -> None:
        self._library.call(name, *self.place, *arguments)

    def _health(self) -> Sequence[Measured]:
        call = "dcmi_get_device_health"
        try:
            self._call(call, ctypes.byref(self._number))
        except DriverError as failure:
            self._has_dropped = failure.code == codes.NOT_READY
            raise
        self._is_there = True
        health = self._number.value
        if health >= len(OF_HEALTH):
            raise DriverError(Meaning.FAILING, "NOT_STARTED" if health == _NOTHING_32 else str(health), call)
        return [
            Measured(vocabulary.STATUS, float(state == OF_HEALTH[health]), labels) for state, labels in _STATE_LABELS
        ]

    def _faults(self, now: float) -> Sequence[Measured]:
        dropped = {DROPPED} if self._has_dropped else set()
        try:
            found = self._read_faults()
        except DriverError:
            if dropped:
                self._tell_faults(self._edges.present(self._id) | dropped, now)
            raise
        self._tell_faults(found | dropped, now)
        return ()

    def _read_faults(self) -> set[str]:
        """What is wrong now, in hexadecimal."""
        ctypes.memset(self._codes, 0, ctypes.sizeof(self._codes))
        self._call("dcmi_get_device_errorcode_v2", ctypes.byref(self._signed), self._codes, structs.MOST_CODES)
        count = min(max(self._signed.value, 0), structs.MOST_CODES)
        return {f"{code:08X}" for code in self._codes[:count] if code}

    def _tell_faults(self, present: frozenset[str] | set[str], now: float) -> None:
        self._edges.see(self._id, present, lambda code: self._describe(code, now))

    def _describe(self, code: str, now: float) -> Fault:
        known = dcmi_fault(code)
        text = f"DCMI {code}: {self._words(code) or known.text} ({known.severity.value}). To do: {known.action}"
        return Fault(self._id, now, code, known.fault_class, known.severity, text)

    def _words(self, code: str) -> str:
        """The driver's own, or none."""
        room = ctypes.create_string_buffer(_TEXT_BYTES)
        try:
            self._call("dcmi_get_device_errorcode_string", ctypes.c_uint(int(code, 16)), room, _TEXT_BYTES)
        except DriverError:
            return ""
        return " ".join(room.value.decode(errors="replace").split())

    def _all_utilization(self) -> Sequence[Measured]:
        rates = structs.Utilization()
        call = "dcmi_get_device_multi_utilization_rate"
        self._call(call, ctypes.byref(rates))
        busy = rates.npu_util if rates.npu_util <= 100 else rates.aicore_util
        told = (
            (vocabulary.UTILIZATION, busy, _GENERAL), (vocabulary.COMPUTE_ACTIVE, rates.aiv_util, ()),
            (vocabulary.MATRIX_ACTIVE, rates.aic_util, ()),
        )  # fmt: skip
        return _some([_ratio(metric, percent, labels) for metric, percent, labels in told], call)

    def _rate(self, kind: int, metric: Metric, labels: Labels = ()) -> Ask:
        def read() -> Sequence[Measured]:
            call = "dcmi_get_device_utilization_rate"
            self._call(call, kind, ctypes.byref(self._number))
            return _some([_ratio(metric, self._number.value, labels)], call)

        return read

    def _hbm(self) -> Sequence[Measured]:
        info = structs.HbmInfo()
        call = "dcmi_get_device_hbm_info"
        self._call(call, ctypes.byref(info))
        if not 0 < info.memory_size < _NOTHING_32:
            raise DriverError(Meaning.UNSUPPORTED, "NO_HBM", call)
        found = [
            *_amounts(info.memory_size, info.memory_usage), _celsius(info.temp, _MEMORY),
            _ratio(vocabulary.MEMORY_BANDWIDTH, info.bandwidth_util_rate),
            _hertz(vocabulary.CLOCK, info.freq, _MEMORY_CLOCK),
        ]  # fmt: skip
        return _some(found, call)

    def _ddr(self) -> Sequence[Measured]:
        info = structs.MemoryInfo()
        call = "dcmi_get_device_memory_info_v3"
        self._call(call, ctypes.byref(info))
        if not 0 < info.memory_size < _NOTHING_32:
            raise DriverError(Meaning.UNSUPPORTED, "NO_DDR", call)
        used = info.memory_size - info.memory_available
        return _some([*_amounts(info.memory_size, used), _hertz(vocabulary.CLOCK, info.freq, _MEMORY_CLOCK)], call)

    def _temperature(self) -> Sequence[Measured]:
        call = "dcmi_get_device_temperature"
        self._call(call, ctypes.byref(self._signed))
        return _some([_celsius(self._signed.value, _CHIP)], call)

    def _chip_power(self) -> Sequence[Measured]:
        call = "dcmi_get_device_power_info"
        self._call(call, ctypes.byref(self._signed))
        return _watts(self._signed.value, call)

    def _card_power(self) -> Sequence[Measured]:
        call = "dcmi_mcu_get_power_info"
        try:
            self._library.call(call, self.place[0], ctypes.byref(self._signed))
        except DriverError as failure:
            if failure.meaning is Meaning.LOST:  # there is no such micro-controller
                raise DriverError(Meaning.UNSUPPORTED, failure.code, call) from None
            raise
        return _watts(self._signed.value, call, self._sharing)

    def _clock(self, kind: int, metric: Metric) -> Ask:
        def read() -> Sequence[Measured]:
            call = "dcmi_get_device_frequency"
            self._call(call, kind, ctypes.byref(self._number))
            return _some([_hertz(metric, self._number.value, _CORE)], call)

        return read

    def _errors_of(self, kind: int) -> Sequence[Measured]:
        info = structs.EccInfo()
        info.single_bit_next_isolated_pages = info.double_bit_next_isolated_pages = _NOTHING_32
        call = "dcmi_get_device_ecc_info"
        self._call(call, kind, ctypes.byref(info))
        if info.enable_flag != 1:
            raise DriverError(Meaning.NO_SAMPLE, "ECC_OFF", call)
        corrected = _greatest(info.single_bit, info.total_single_bit)
        uncorrected = _greatest(info.double_bit, info.total_double_bit)
        waiting = _greatest(info.single_bit_next_isolated_pages, info.double_bit_next_isolated_pages)
        told = (
            (vocabulary.ERRORS, corrected, (*_OF_GPU, *_CORRECTED)),
            (vocabulary.ERRORS, uncorrected, (*_OF_GPU, *_UNCORRECTED)),
            (vocabulary.REMAPPED, _greatest(info.single_bit_isolated_pages), _CORRECTED),
            (vocabulary.REMAPPED, _greatest(info.double_bit_isolated_pages), _UNCORRECTED),
            (vocabulary.REPAIR_PENDING, None if waiting is None else float(waiting > 0), ()),
        )
        return [Measured(metric, value, labels) for metric, value, labels in told if value is not None]

    def _hccs_errors(self, command: int, layout: Callable[[], Any], nothing: int) -> Sequence[Measured]:
        counts = layout()
        size = ctypes.c_uint(ctypes.sizeof(counts))
        self._call(
            "dcmi_get_device_info", structs.HCCS_COMMAND, command, ctypes.byref(counts), ctypes.byref(size)
        )  # fmt: skip
        told = (("crc", counts.crc_err_cnt), ("replay", counts.retry_cnt))
        sums = ((kind, sum(one for one in ports if one != nothing)) for kind, ports in told)
        return [Measured(vocabulary.LINK_ERRORS, float(count), (*_HCCS, ("error.type", kind))) for kind, count in sums]

    def _network(self) -> Sequence[Measured]:
        call = "dcmi_get_device_network_health"
        self._call(call, ctypes.byref(self._number))
        is_down = self._number.value in NETWORK_DOWN
        if self._number.value and not is_down:
            raise DriverError(Meaning.NO_SAMPLE, "NOT_DETECTED", call)
        return [
            Measured(vocabulary.LINKS, float(is_down == (state == "down")), (*_NIC, ("hw.state", state)))
            for state in ("up", "down")
        ]

    def _list_processes(self) -> tuple[ProcessUse, ...] | None:
        found: list[ProcessUse] = []

        def read() -> Sequence[Measured]:
            self._signed.value = 0
            self._call("dcmi_get_device_resource_info", self._processes, ctypes.byref(self._signed))
            count = min(max(self._signed.value, 0), structs.ROOM_PROCESSES)
            found.extend(ProcessUse(one.proc_id, float(one.proc_mem_usage)) for one in self._processes[:count])
            return ()

        return tuple(found) if self._ask("processes", read, vocabulary.PROCESSES) else None


_BUSY: Final = (vocabulary.UTILIZATION, _GENERAL)


def _some(found: Sequence[Measured | None], call: str) -> Sequence[Measured]:
    """:raises DriverError: no sample, when every number was one of those that mean nothing"""
    told = [one for one in found if one is not None]
    if not told:
        raise DriverError(Meaning.NO_SAMPLE, "NO_NUMBER", call)
    return told


def _ratio(metric: Metric, percent: int, labels: Labels = ()) -> Measured | None:
    return Measured(metric, percent / 100, labels) if 0 <= percent <= 100 else None


def _celsius(value: int, labels: Labels) -> Measured | None:
    return Measured(vocabulary.TEMPERATURE, float(value), labels) if 0 <= value <= _MOST_CELSIUS else None


def _hertz(metric: Metric, megahertz: int, labels: Labels) -> Measured | None:
    return Measured(metric, megahertz * _MEGA, labels) if 0 < megahertz < _MOST_POWER else None


def _watts(tenths: int, call: str, sharing: int = 1) -> Sequence[Measured]:
    if not 0 <= tenths < _MOST_POWER:
        raise DriverError(Meaning.NO_SAMPLE, "NO_NUMBER", call)
    return (Measured(vocabulary.POWER, tenths / 10 / max(1, sharing)),)


def _amounts(size: int, used: int) -> Sequence[Measured]:
    limit = Measured(vocabulary.MEMORY_LIMIT, size * _MIB)
    return (limit, Measured(vocabulary.MEMORY_USAGE, used * _MIB)) if 0 <= used <= size else (limit,)


def _greatest(*counts: int) -> float | None:
    """Errors of the whole life where they are kept, else those since the start; None when none is told."""
    told = [float(count) for count in counts if count != _NOTHING_32]
    return max(told) if told else None
