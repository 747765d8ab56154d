"""The batched read of field values, in libraries that have it: which are asked for, and what becomes of each."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from collector.accelerators.cambricon import codes, structs
from collector.accelerators.driver import DriverError, Meaning, Measured
from collector.accelerators.native import Native
from watchkeeper.core.metric import Metric
from watchkeeper.core.records import Labels
from watchkeeper.core.vocabulary import devices as vocabulary

CALL: Final = "cndevDeviceGetFieldValues"
_MEMBERS: Final = ("d", "ui", "ul", "ull", "si", "sl", "sll")
_GONE: Final = (Meaning.RESTARTED, Meaning.STALE, Meaning.RESET_REQUIRED, Meaning.NOT_LOADED)


class Field(msgspec.Struct, frozen=True):
    """One field: its id, what it fills, its unit as a factor, the least and most it can be, and the link it is of."""

    id: int
    metric: Metric
    labels: Labels = ()
    factor: float = 1.0
    least: float = 0.0
    most: float = float("inf")
    scope: int = 0


def _reason(name: str) -> Labels:
    return ((vocabulary.REASON, name),)


def _limit(place: str, kind: str) -> Labels:
    return (("hw.sensor_location", place), ("hw.limit_type", kind))


FAST: Final = (
    Field(65, vocabulary.MATRIX_ACTIVE, factor=0.01, most=100),
    Field(71, vocabulary.ENERGY, (("watchkeeper.obtained", "meter"),), 1e-3),
    Field(72, vocabulary.THROTTLE_TIME, _reason("power"), 1e-9),
    Field(73, vocabulary.THROTTLE_TIME, _reason("thermal_slowdown"), 1e-9),
    Field(74, vocabulary.THROTTLE_TIME, _reason("board_power_limit"), 1e-9),
)
"""read at every sample"""
LIMITS: Final = (
    Field(52, vocabulary.TEMPERATURE_LIMIT, _limit("chip", "slowdown"), least=1, most=200),
    Field(53, vocabulary.TEMPERATURE_LIMIT, _limit("chip", "shutdown"), least=1, most=200),
    Field(68, vocabulary.TEMPERATURE_LIMIT, _limit("chip", "high"), least=1, most=200),
    Field(69, vocabulary.TEMPERATURE_LIMIT, _limit("memory", "high"), least=1, most=200),
)


def link_bytes(ports: int) -> Sequence[Field]:
    """Bytes of each MLU-Link."""
    ways = ((63, "transmit"), (64, "receive"))
    return [
        Field(field, vocabulary.IO, ((vocabulary.LINK, "mlulink"), (vocabulary.DIRECTION, way)), scope=port)
        for port in range(ports)
        for field, way in ways
    ]


class Batch:
    """One read of many fields of one device. What it does not support is not asked again."""

    def __init__(self, library: Native, handle: int, fields: Sequence[Field]) -> None:
        self._library = library
        self._handle = handle
        self._want(fields)
        self._is_settled = False

    def read(self) -> Sequence[Measured]:
        """
        Numbers of one metric and the same labels are added up.

        :raises DriverError: UNSUPPORTED when no field is left
        """
        if not self._is_settled:
            self._settle()
        if not self._fields:
            raise DriverError(Meaning.UNSUPPORTED, "NO_FIELD", CALL)
        self._library.call(CALL, self._handle, len(self._fields), self._array)
        sums: dict[tuple[Metric, Labels], float] = {}
        for field, number in self._numbers():
            key = (field.metric, field.labels)
            sums[key] = sums.get(key, 0.0) + number * field.factor
        return [Measured(metric, value, labels) for (metric, labels), value in sums.items()]

    def _settle(self) -> None:
        """A library may refuse a whole batch for one field that it does not know: each is tried alone, once."""
        kept = [field for field in self._fields if self._is_known(field)]
        self._want(kept)
        self._is_settled = True

    def _is_known(self, field: Field) -> bool:
        one = (structs.FieldValue * 1)()
        one[0].field, one[0].scope = field.id, field.scope
        try:
            self._library.call(CALL, self._handle, 1, one)
        except DriverError as failure:
            if failure.meaning is Meaning.UNSUPPORTED:
                return False
            raise
        return one[0].ret == 0 or codes.error(one[0].ret, CALL).meaning is not Meaning.UNSUPPORTED

    def _numbers(self) -> Iterator[tuple[Field, float]]:
        for field, one in zip(self._fields, self._array, strict=False):
            if one.ret:
                failure = codes.error(one.ret, CALL)
                if failure.meaning in _GONE:
                    raise failure
                continue
            if one.kind < len(_MEMBERS):
                number = float(getattr(one.value, _MEMBERS[one.kind]))
                if field.least <= number <= field.most:
                    yield field, number

    def _want(self, fields: Sequence[Field]) -> None:
        self._fields = tuple(fields)
        self._array: Any = (structs.FieldValue * (len(fields) + 1))()  # NVML, its model, writes one past the end
        for place, field in enumerate(fields):
            self._array[place].field, self._array[place].scope = field.id, field.scope
