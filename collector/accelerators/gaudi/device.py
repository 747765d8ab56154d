"""What is asked of one Gaudi at a sample."""

import ctypes
from collections.abc import Sequence
from struct import Struct
from typing import Any, Final

from collector.accelerators.alternatives import FirstSupported
from collector.accelerators.buffer import Buffer
from collector.accelerators.driver import CountError, Measured, Sampled
from collector.accelerators.guarded import Guarded
from collector.accelerators.seldom import Seldom
from watchkeeper.core.records import Labels
from watchkeeper.core.vocabulary import devices as vocabulary

ROOM: Final = 512
UTILIZATION: Final = Struct("<II")
"""busy, and memory: an older release has the first alone"""
MEMORY: Final = Struct("<8xQQ")
UNTOLD: Final = 0xFFFFFFFF
REASONS: Final = ((1, "power"), (2, "thermal"))
"""by bit"""
PORT_WORDS: Final = 2
"""NIC ports are a mask of so many words of 64 bits"""

_GENERAL: Final = (("hw.gpu.task", "general"),)
_METER: Final = (("watchkeeper.obtained", "meter"),)
_PCIE: Final = ((vocabulary.LINK, "pcie"),)
_CORE: Final = (("clock", "core"),)
_SOC: Final = 0
_SENSORS: Final = ((0, "chip"), (1, "board"), (3, "memory"))
_SENSOR_LABELS: Final = tuple((number, (("hw.sensor_location", place),)) for number, place in _SENSORS)
_THRESHOLDS: Final = ((0, "chip", "shutdown"), (1, "chip", "slowdown"), (2, "memory", "high"), (3, "chip", "high"))
_ERRORS: Final = ((0, "corrected"), (1, "uncorrected"))
"""by HLML's number, both of the kind of error and of the cause for which a row was replaced"""
_SINCE_DRIVER_LOAD: Final = 0
_REASON_LABELS: Final = tuple((bit, ((vocabulary.REASON, name),)) for bit, name in REASONS)


class Accelerator:
    """One device, of whatever generation. Only its own thread calls `sample`."""

    def __init__(self, library: Guarded, handle: int, count_error: CountError) -> None:
        self.handle = handle
        self._library = library
        self._handle = ctypes.c_void_p(handle)
        self._buffer = Buffer(ROOM)
        self._seldom = Seldom(count_error)
        self._limit = FirstSupported(
            lambda: self._watts("hlml_device_get_power_management_limit"),
            lambda: self._watts("hlml_device_get_power_management_default_limit"),
        )

    def sample(self, now: float) -> Sampled:
        """:raises DriverError: nothing more can be asked of it now"""
        self._seldom.begin(now, lambda _now: self._read_seldom())
        ask = self._seldom.calls.ask
        ask("utilization", self._utilization, vocabulary.UTILIZATION, vocabulary.MEMORY_BUSY)
        ask("memory", self._memory, vocabulary.MEMORY_USAGE)
        for number, labels in _SENSOR_LABELS:
            of = (vocabulary.TEMPERATURE,) if number == 0 else ()
            ask(f"temperature {number}", lambda n=number, at=labels: self._temperature(n, at), *of)  # type: ignore[misc]
        ask("power", self._power, vocabulary.POWER)
        ask("energy", self._energy)
        ask("clock", self._clock, vocabulary.CLOCK)
        ask("reasons", self._throttled, vocabulary.THROTTLED)
        return self._seldom.end(None)

    def _read_seldom(self) -> None:
        ask = self._seldom.calls.ask
        ask("power limit", self._limit, vocabulary.POWER_LIMIT)
        ask("clock limit", self._clock_limit)
        for number, place, kind in _THRESHOLDS:
            labels = (("hw.sensor_location", place), ("hw.limit_type", kind))
            ask(f"threshold {number}", lambda n=number, of=labels: self._threshold(n, of))  # type: ignore[misc]
        for number, error in _ERRORS:
            ask(f"errors {error}", lambda n=number, of=error: self._errors(n, of), vocabulary.ERRORS)  # type: ignore[misc]
            ask(f"rows {error}", lambda n=number, of=error: self._rows(n, of), vocabulary.REMAPPED)  # type: ignore[misc]
        ask("pending", self._pending, vocabulary.REPAIR_PENDING)
        ask("replays", self._replays)
        for call, metric in (
            ("hlml_device_get_curr_pcie_link_width", vocabulary.LINK_WIDTH),
            ("hlml_device_get_curr_pcie_link_generation", vocabulary.LINK_GENERATION),
        ):
            ask(call, lambda c=call, m=metric: (Measured(m, self._number(c), _PCIE),))  # type: ignore[misc]
        ask("ports", self._ports)

    def _number(self, call: str, *of: int) -> int:
        """What calls tell that have one 32-bit number to tell."""
        number = ctypes.c_uint32()
        self._library.call(call, self._handle, *of, ctypes.byref(number))
        return number.value

    def _long_number(self, call: str, *of: int) -> int:
        number = ctypes.c_uint64()
        self._library.call(call, self._handle, *of, ctypes.byref(number))
        return number.value

    def _utilization(self) -> Sequence[Measured]:
        self._library.call("hlml_device_get_utilization_rates", self._handle, self._buffer.fresh())
        busy, memory = UTILIZATION.unpack_from(self._buffer.view)
        found = [Measured(vocabulary.UTILIZATION, busy / 100, _GENERAL)]
        if memory != UNTOLD:
            found.append(Measured(vocabulary.MEMORY_BUSY, memory / 100))
        return found

    def _memory(self) -> Sequence[Measured]:
        self._library.call("hlml_device_get_memory_info", self._handle, self._buffer.fresh())
        total, used = MEMORY.unpack_from(self._buffer.view)
        return Measured(vocabulary.MEMORY_LIMIT, total), Measured(vocabulary.MEMORY_USAGE, used)

    def _temperature(self, sensor: int, place: Labels) -> Sequence[Measured]:
        return (Measured(vocabulary.TEMPERATURE, self._number("hlml_device_get_temperature", sensor), place),)

    def _threshold(self, number: int, labels: Labels) -> Sequence[Measured]:
        celsius = self._number("hlml_device_get_temperature_threshold", number)
        return (Measured(vocabulary.TEMPERATURE_LIMIT, celsius, labels),) if celsius else ()

    def _power(self) -> Sequence[Measured]:
        return (Measured(vocabulary.POWER, self._number("hlml_device_get_power_usage") / 1000),)

    def _watts(self, call: str) -> Sequence[Measured]:
        """A limit of 0 is none that was set."""
        milliwatts = self._number(call)
        return (Measured(vocabulary.POWER_LIMIT, milliwatts / 1000),) if milliwatts else ()

    def _energy(self) -> Sequence[Measured]:
        millijoules = self._long_number("hlml_device_get_total_energy_consumption")
        return (Measured(vocabulary.ENERGY, millijoules / 1000, _METER),)

    def _clock(self) -> Sequence[Measured]:
        return (Measured(vocabulary.CLOCK, self._number("hlml_device_get_clock_info", _SOC) * 1e6, _CORE),)

    def _clock_limit(self) -> Sequence[Measured]:
        megahertz = self._number("hlml_device_get_max_clock_info", _SOC)
        return (Measured(vocabulary.CLOCK_LIMIT, megahertz * 1e6, _CORE),) if megahertz else ()

    def _throttled(self) -> Sequence[Measured]:
        mask = self._long_number("hlml_device_get_current_clocks_throttle_reasons")
        return [Measured(vocabulary.THROTTLED, 1.0 if mask & bit else 0.0, labels) for bit, labels in _REASON_LABELS]

    def _errors(self, number: int, error: str) -> Sequence[Measured]:
        count = self._long_number("hlml_device_get_total_ecc_errors", number, _SINCE_DRIVER_LOAD)
        return (Measured(vocabulary.ERRORS, count, (("hw.type", "gpu"), ("error.type", error))),)

    def _rows(self, cause: int, error: str) -> Sequence[Measured]:
        """How many were replaced; without room for their addresses it tells the number alone."""
        count = ctypes.c_uint32()
        self._library.call("hlml_device_get_replaced_rows", self._handle, cause, ctypes.byref(count), None)
        return (Measured(vocabulary.REMAPPED, count.value, (("error.type", error),)),)

    def _pending(self) -> Sequence[Measured]:
        pending = self._number("hlml_device_get_replaced_rows_pending_status")
        return (Measured(vocabulary.REPAIR_PENDING, float(pending != 0)),)

    def _replays(self) -> Sequence[Measured]:
        count = self._number("hlml_device_get_pcie_replay_counter")
        return (Measured(vocabulary.LINK_ERRORS, count, (*_PCIE, ("error.type", "replay"))),)

    def _ports(self) -> Sequence[Measured]:
        """NIC ports up and down."""
        mask, external = (ctypes.c_uint64 * PORT_WORDS)(), (ctypes.c_uint64 * PORT_WORDS)()
        self._library.call("hlml_get_mac_addr_info", self._handle, mask, external)
        ports = [port for port in range(64 * PORT_WORDS) if mask[port // 64] >> port % 64 & 1]
        up = sum(self._is_up(port) for port in ports)
        return [
            Measured(vocabulary.LINKS, float(count), ((vocabulary.LINK, "nic"), ("hw.state", state)))
            for state, count in (("up", up), ("down", len(ports) - up))
            if ports
        ]

    def _is_up(self, port: int) -> bool:
        is_up: Any = ctypes.c_bool()
        self._library.call("hlml_nic_get_link", self._handle, ctypes.c_uint32(port), ctypes.byref(is_up))
        return bool(is_up.value)
