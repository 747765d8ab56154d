"""The batched read of field values: which fields are asked for, and what becomes of each."""

import ctypes
import struct
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, compress
from operator import ne
from typing import Any, Final

import msgspec

from collector.accelerators.driver import Meaning, Measured
from collector.accelerators.nvidia import codes
from watchkeeper.core.metric import Metric
from watchkeeper.core.records import Labels
from watchkeeper.core.vocabulary import devices as vocabulary

CALL: Final = "nvmlDeviceGetFieldValues"
ALL_LINKS: Final = 0xFFFFFFFF
_ELEMENT: Final = struct.Struct("=IIqqII8s")
_HEAD: Final = "24xQ"
"""of an element, before its value: what is known already, then the value's type and the field's status in one number"""
_VALUES: Final = ("d", "I4x", "Q", "Q", "q", "i4x", "H6x")
"""by valueType; unsigned long has 8 bytes wherever there is NVML for Linux"""


class Field(msgspec.Struct, frozen=True):
    """One field: its id, what it fills, its unit as a factor, and for link fields whether the sum is asked for."""

    id: int
    metric: Metric
    labels: Labels = ()
    factor: float = 1.0
    scope: int = 0


def _reason(name: str) -> Labels:
    return ((vocabulary.REASON, name),)


def _errors(link: str, kind: str) -> Labels:
    return ((vocabulary.LINK, link), ("error.type", kind))


def _io(link: str, direction: str) -> Labels:
    return ((vocabulary.LINK, link), (vocabulary.DIRECTION, direction))


_CORRECTED: Final = (("hw.type", "gpu"), ("error.type", "corrected"))
_UNCORRECTED: Final = (("hw.type", "gpu"), ("error.type", "uncorrected"))
_MEMORY: Final = (("hw.sensor_location", "memory"),)

FAST: Final = (
    Field(3, vocabulary.ERRORS, _CORRECTED),
    Field(4, vocabulary.ERRORS, _UNCORRECTED),
    Field(74, vocabulary.THROTTLE_TIME, _reason("sw_power_cap"), 1e-9),
    Field(76, vocabulary.THROTTLE_TIME, _reason("sync_boost"), 1e-9),
    Field(82, vocabulary.TEMPERATURE, _MEMORY),
    Field(94, vocabulary.LINK_ERRORS, _errors("pcie", "replay")),
    Field(138, vocabulary.IO, _io("nvlink", "transmit"), 1024, ALL_LINKS),
    Field(139, vocabulary.IO, _io("nvlink", "receive"), 1024, ALL_LINKS),
    Field(142, vocabulary.REMAPPED, (("error.type", "corrected"),)),
    Field(143, vocabulary.REMAPPED, (("error.type", "uncorrected"),)),
    Field(144, vocabulary.REPAIR_PENDING),
    Field(145, vocabulary.REPAIR_FAILED),
    Field(161, vocabulary.LINK_ERRORS, _errors("nvlink", "replay"), scope=ALL_LINKS),
    Field(162, vocabulary.LINK_ERRORS, _errors("nvlink", "recovery"), scope=ALL_LINKS),
    Field(163, vocabulary.LINK_ERRORS, _errors("nvlink", "crc"), scope=ALL_LINKS),
    Field(173, vocabulary.LINK_ERRORS, _errors("pcie", "correctable")),
    Field(174, vocabulary.LINK_ERRORS, _errors("pcie", "nak_received")),
    Field(175, vocabulary.LINK_ERRORS, _errors("pcie", "receiver")),
    Field(176, vocabulary.LINK_ERRORS, _errors("pcie", "bad_tlp")),
    Field(177, vocabulary.LINK_ERRORS, _errors("pcie", "nak_sent")),
    Field(178, vocabulary.LINK_ERRORS, _errors("pcie", "bad_dllp")),
    Field(179, vocabulary.LINK_ERRORS, _errors("pcie", "nonfatal")),
    Field(180, vocabulary.LINK_ERRORS, _errors("pcie", "fatal")),
    Field(181, vocabulary.LINK_ERRORS, _errors("pcie", "unsupported_request")),
    Field(182, vocabulary.LINK_ERRORS, _errors("pcie", "lcrc")),
    Field(183, vocabulary.LINK_ERRORS, _errors("pcie", "lane")),
    Field(186, vocabulary.POWER, (), 1e-3),
    Field(197, vocabulary.IO, _io("pcie", "transmit")),
    Field(198, vocabulary.IO, _io("pcie", "receive")),
    Field(202, vocabulary.IO, _io("nvlink", "transmit"), scope=ALL_LINKS),
    Field(204, vocabulary.IO, _io("nvlink", "receive"), scope=ALL_LINKS),
    Field(206, vocabulary.LINK_ERRORS, _errors("nvlink", "malformed_packet"), scope=ALL_LINKS),
    Field(207, vocabulary.LINK_ERRORS, _errors("nvlink", "buffer_overrun"), scope=ALL_LINKS),
    Field(208, vocabulary.LINK_ERRORS, _errors("nvlink", "receive"), scope=ALL_LINKS),
    Field(209, vocabulary.LINK_ERRORS, _errors("nvlink", "remote"), scope=ALL_LINKS),
    Field(211, vocabulary.LINK_ERRORS, _errors("nvlink", "link_integrity"), scope=ALL_LINKS),
    Field(213, vocabulary.LINK_ERRORS, _errors("nvlink", "recovery_succeeded"), scope=ALL_LINKS),
    Field(214, vocabulary.LINK_ERRORS, _errors("nvlink", "recovery_failed"), scope=ALL_LINKS),
    Field(269, vocabulary.THROTTLE_TIME, _reason("sw_thermal_slowdown"), 1e-9),
    Field(270, vocabulary.THROTTLE_TIME, _reason("hw_thermal_slowdown"), 1e-9),
    Field(271, vocabulary.THROTTLE_TIME, _reason("hw_power_brake_slowdown"), 1e-9),
)  # fmt: skip
"""read at every sample"""
_BY_KEY: Final = {(field.id, field.scope): field for field in FAST}
_OLDER: Final = {(138, ALL_LINKS): (202, ALL_LINKS), (139, ALL_LINKS): (204, ALL_LINKS)}
"""fields that bring the same as a newer one (NVLink bytes), by which they are replaced where a device has both"""

ENERGY: Final = 83
RECOVERY_ACTION: Final = 230
LINK_COUNT: Final = 91
LINK_STATE: Final = 165
ACTIONS: Final = (
    "none", "gpu_reset", "node_reboot", "drain_p2p", "drain_and_reset", "recover_imex_domain", "bus_reset",
    "system_reboot",
)  # fmt: skip
"""by value of field 230"""
_ACTION_LABELS: Final = tuple((("action", action),) for action in ACTIONS)
_METER: Final = (("watchkeeper.obtained", "meter"),)

Wanted = Sequence[tuple[int, int]]
"""pairs of field id and scope"""
FAST_WANTED: Final[Wanted] = (*((field.id, field.scope) for field in FAST), (ENERGY, 0), (RECOVERY_ACTION, 0))


Told = tuple[Wanted, Sequence[float]]
"""fields, and the value of each"""


class Batch:
    """
    One read of many fields of one device.

    What the driver does not support is not asked again. One element more is allocated than asked for: some drivers
    write past the end.
    """

    def __init__(self, wanted: Wanted, element: type[ctypes.Structure]) -> None:
        self._element = element
        self._array: Any = None
        self._view = memoryview(b"")
        self._heads: tuple[int, ...] = ()
        self._whole = struct.Struct("")
        self._is_settled = False
        self._all = tuple(wanted)
        self._want(wanted)

    def read(self, get: Callable[..., int], handle: Any) -> Told:
        """
        In the order asked for; those that have none just now are left out.

        :raises DriverError: the call failed as a whole, or a field says that the device is gone
        """
        if not self._wanted:
            return (), ()
        code = get(handle, len(self._wanted), self._array)
        if code:
            raise codes.error(code, CALL)
        if self._heads:
            told = self._whole.unpack(self._view)
            if told[::2] == self._heads:
                return self._wanted, told[1::2]
        return self._one_by_one()

    def _one_by_one(self) -> Told:
        """Where something failed or changed; the kinds of values that were all told are remembered for next time."""
        values: dict[tuple[int, int], float] = {}
        kinds = []
        dropped = set()
        for field, scope, _, _, kind, status, value in _ELEMENT.iter_unpack(self._view):
            if status == 0:
                if kind < len(_VALUES):
                    (values[(field, scope)],) = struct.unpack(f"={_VALUES[kind]}", value)
                    kinds.append(kind)
                continue
            meaning = codes.error(status, CALL).meaning
            if meaning in (Meaning.LOST, Meaning.RESET_REQUIRED, Meaning.RESTARTED):
                raise codes.error(status, CALL)
            if meaning in (Meaning.UNSUPPORTED, Meaning.STALE, Meaning.NOT_PERMITTED):
                dropped.add((field, scope))
        if dropped:
            self._want([one for one in self._wanted if one not in dropped])
        elif len(values) == len(self._wanted):
            self._whole = struct.Struct("=" + "".join(_HEAD + _VALUES[kind] for kind in kinds))
            self._heads = self._whole.unpack(self._view)[::2]
        return tuple(values), tuple(values.values())

    def renew(self) -> None:
        """Ask again for what was not supported."""
        self._want(self._all)

    def settled(self, told: Told) -> Told:
        """Of two fields that bring the same, keep one from now on: a counter must not change its source."""
        if self._is_settled or not told[0]:
            return told
        self._is_settled = True
        doubles = {old if new in told[0] else new for old, new in _OLDER.items()}
        self._all = tuple(one for one in self._all if one not in doubles)
        self._want([one for one in self._wanted if one not in doubles])
        kept = {key: value for key, value in zip(*told, strict=True) if key not in doubles}
        return tuple(kept), tuple(kept.values())

    def _want(self, wanted: Wanted) -> None:
        self._wanted = tuple(wanted)
        self._heads = ()
        self._array = (self._element * (len(wanted) + 1))()
        self._view = memoryview(self._array).cast("B")[: len(wanted) * _ELEMENT.size]
        for place, (field, scope) in enumerate(wanted):
            self._array[place].fieldId = field
            self._array[place].scopeId = scope


class Meanings:
    """What the fast fields of one device mean, in the vocabulary. Most stay as they are, and are made once."""

    def __init__(self) -> None:
        self._keys: Wanted = ()
        self._values: Sequence[float] = ()
        self._made: list[tuple[Measured, ...]] = []

    def of(self, told: Told) -> list[Measured]:
        keys, values = told
        if keys != self._keys:
            self._keys, self._made = keys, list(map(_meaning, keys, values))
        else:
            for place in compress(range(len(keys)), map(ne, values, self._values)):
                self._made[place] = _meaning(keys[place], values[place])
        self._values = values
        return list(chain.from_iterable(self._made))


def _meaning(key: tuple[int, int], value: float) -> tuple[Measured, ...]:
    field = _BY_KEY.get(key)
    if field is not None:
        return (Measured(field.metric, value * field.factor, field.labels),)
    if key == (ENERGY, 0):
        return (Measured(vocabulary.ENERGY, value / 1000, _METER),)
    if key == (RECOVERY_ACTION, 0):
        return tuple(
            Measured(vocabulary.RECOVERY_ACTION, float(number == int(value)), label)
            for number, label in enumerate(_ACTION_LABELS)
            if number
        )
    return ()


def links(states: Sequence[float]) -> Iterator[Measured]:
    """NVLinks up and down, of the states of each."""
    if states:
        up = float(sum(1 for state in states if state))
        for name, count in (("up", up), ("down", len(states) - up)):
            yield Measured(vocabulary.LINKS, count, ((vocabulary.LINK, "nvlink"), ("hw.state", name)))
