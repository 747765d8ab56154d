"""One OTLP attribute value, from its serialised form."""

import struct
from typing import Final

from collector.otlp import refusals, wire

MAX_DEPTH: Final = 32
MAX_NODES: Final = 100_000
"""values inside one attribute: 100,000 take about 10 MB"""

_STRING, _BOOL, _INT, _DOUBLE, _ARRAY, _KVLIST, _BYTES = range(1, 8)
_double = struct.Struct("<d").unpack_from


def read(raw: bytes, start: int, end: int) -> object:
    """
    The AnyValue in `raw[start:end]` as None, str, bool, int, float, bytes, list or dict.

    :raises Malformed: not an AnyValue
    :raises UnicodeDecodeError: a string is not UTF-8
    :raises Rejected: nested deeper than MAX_DEPTH, or more than MAX_NODES values
    """
    return _Walk(raw).value(start, end, MAX_DEPTH)


class _Walk:
    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._room = MAX_NODES

    def value(self, start: int, end: int, depth: int) -> object:
        self._room -= 1
        if self._room < 0:
            raise refusals.Rejected(refusals.TOO_MANY_ITEMS)
        if depth < 0:
            raise refusals.Rejected(refusals.TOO_DEEP)
        raw, found = self._raw, None
        for number, wire_type, at, stop in wire.fields(raw, start, end):
            found = self._field(number, wire_type, at, stop, depth, found)
        return found

    def _field(self, number: int, wire_type: int, at: int, stop: int, depth: int, before: object) -> object:
        """One field of the oneof: the last one sent wins."""
        raw = self._raw
        if wire_type == wire.BYTES:
            if number == _STRING:
                return raw[at:stop].decode()
            if number == _ARRAY:
                return self._array(at, stop, depth - 1)
            if number == _KVLIST:
                return self._kvlist(at, stop, depth - 1)
            return raw[at:stop] if number == _BYTES else before
        if wire_type == wire.VARINT and number in (_BOOL, _INT):
            value = wire.varint(raw, at, stop)[0]
            return bool(value) if number == _BOOL else wire.signed(value)
        if wire_type == wire.FIXED64 and number == _DOUBLE:
            return float(_double(raw, at)[0])
        return before

    def _array(self, start: int, end: int, depth: int) -> list[object]:
        return [
            self.value(at, stop, depth)
            for number, wire_type, at, stop in wire.fields(self._raw, start, end)
            if number == 1 and wire_type == wire.BYTES
        ]

    def _kvlist(self, start: int, end: int, depth: int) -> dict[str, object]:
        found: dict[str, object] = {}
        for number, wire_type, at, stop in wire.fields(self._raw, start, end):
            if number == 1 and wire_type == wire.BYTES:
                key, value = self.pair(at, stop, depth)
                found[key] = value
        return found

    def pair(self, start: int, end: int, depth: int) -> tuple[str, object]:
        """A KeyValue."""
        key, value = "", None
        for number, wire_type, at, stop in wire.fields(self._raw, start, end):
            if number == 1 and wire_type == wire.BYTES:
                key = self._raw[at:stop].decode()
            elif number == 2 and wire_type == wire.BYTES:
                value = self.value(at, stop, depth)
        return key, value
