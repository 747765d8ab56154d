"""
Spans that are built alike, read alike.

A sender writes its spans one like the other: the same fields and attributes in the same order, most values the same,
too. What the general decoder read once is kept as a layout: which bytes stay, and where ids, times, numbers and names
lie that change. A span of the same length whose other bytes are the same is then read by one `struct.unpack`.

A layout decides nothing: a span that is not built like one that was read, or that has a value at which the general
decoder would stop or count, is left to that.
"""

import struct
from collections.abc import Callable
from functools import cache
from operator import itemgetter
from typing import Any, Final, NamedTuple

from collector.otlp import fields, values, wire
from collector.otlp.attributes import Attributes, Found
from collector.otlp.fields import Slot
from collector.otlp.observed import NO_SPAN, NO_TRACE, Observed
from collector.otlp.values import INVALID, Parse

MAX_SPAN_BYTES: Final = 2048
MAX_BYTES: Final = 8 << 20
"""
held in all, as counted: some 3000 combinations of bytes that stay; all are forgotten when there are more. Long names
with a character beyond 16 bits take twice what is counted.
"""
MAX_ALIKE: Final = 4
"""layouts of spans of one length; the one that read the least is forgotten when there are more"""
MAX_IN_VAIN: Final = 16
"""
layouts of one length tried in vain, each at a fifth of what reading costs, until those that read less than half as many
spans lose one. The first of a length is tried for nothing: it may know more soon.
"""
LEARNING_EVERY: Final = 64
"""spans that were not known, for one that is learned from, which costs as much as reading ten"""
_LEARNED_AT_ONCE: Final = 256
"""the first ones that were not known"""
_KNOWN_BYTES: Final = 1024
_LEAF_BYTES: Final = 256
_BETWEEN_BYTES: Final = 48
"""of what is held, beside the bytes of the span themselves"""

_HEADS: Final = {
    1: ("trace", wire.BYTES, 16, "16s"),
    2: ("span", wire.BYTES, 8, "8s"),
    4: ("parent", wire.BYTES, 8, "8s"),
    7: ("start", wire.FIXED64, 8, "Q"),
    8: ("end", wire.FIXED64, 8, "Q"),
}
"""fields of a span that differ: what they are called here, how they are written, their bytes, and `struct`'s code"""
_NEEDED: Final = frozenset((1, 2, 7, 8))
_NAME: Final = 5
_STATUS: Final = 15
_STATUS_BYTES: Final = 2
"""of a status that is nothing but its code; its message is not kept"""
_NUMBERS: Final = frozenset((6, 10, 12, 14, 16))
"""kind, what was dropped, flags: they stay, as the name and the status do"""
_UNREAD: Final = frozenset((3, 13))
"""trace state, links"""
_ATTRIBUTE: Final = 9
_KEY_TAG: Final = 0x0A
_VALUE_TAG: Final = 0x12
_OTHERWISE: Final = frozenset((fields.HAS_TEXT, fields.INDIRECT, fields.JUDGES))
"""marks of attributes that are as long as they like, or lead to more: spans with them are not learned from"""
_TEXT_TAG: Final = 0x0A
_INTEGER_TAG: Final = 0x18
_DOUBLE_TAG: Final = 0x21
"""of an AnyValue's fields"""

_Parts = tuple[Any, ...]
_Read = Callable[[Any], object]


class _Leaf(NamedTuple):
    """Bytes of a span that differ from span to span. `field` "" = nobody reads them; no `read`: an id or a time."""

    start: int
    end: int
    code: str
    field: str = ""
    read: _Read | None = None


class _Known(NamedTuple):
    """What spans have in common whose other bytes are the same. Fields that differ are there, without a value."""

    name: str
    status: int
    found: Found


class _Layout:
    """How spans of one length are built: unpacked, they are leaves and what lies between."""

    __slots__ = ("between", "heads", "hits", "known", "leaves", "parent", "read", "size_bytes", "unpack")

    def __init__(self, leaves: tuple[_Leaf, ...], size: int) -> None:
        code, between = ["<"], []
        heads: dict[str, int] = {}
        self.leaves = leaves
        self.read: list[tuple[int, str, _Read]] = []
        at = count = 0
        for leaf in (*leaves, _Leaf(size, size, "")):
            if leaf.start > at:
                code.append(f"{leaf.start - at}s")
                between.append(count)
                count += 1
            code.append(leaf.code)
            at = leaf.end
            if leaf.read is not None:
                self.read.append((count, leaf.field, leaf.read))
            elif leaf.field:
                heads[leaf.field] = count
            count += bool(leaf.field)
        self.unpack = struct.Struct("".join(code)).unpack
        self.between = itemgetter(*between)
        self.heads = itemgetter(heads["trace"], heads["span"], heads["start"], heads["end"])
        self.parent = heads.get("parent", -1)
        self.known: dict[_Parts, _Known] = {}
        self.hits = 0
        """spans read since the tries in vain were last counted from 0"""
        self.size_bytes = _KNOWN_BYTES + _LEAF_BYTES * len(leaves)
        """about what it takes in memory"""

    def keep(self, between: _Parts, known: _Known, size: int) -> int:
        """From a span of so many bytes: how many bytes more it takes now."""
        more = 0 if between in self.known else _KNOWN_BYTES + 2 * size + _BETWEEN_BYTES * len(between)
        self.known[between] = known
        self.size_bytes += more
        return more


class _Alike:
    """The layouts of spans of one length, and how many tries in vain they have to pay for."""

    __slots__ = ("in_vain", "layouts")

    def __init__(self) -> None:
        self.layouts: list[_Layout] = []
        self.in_vain = 0

    def least(self) -> _Layout:
        """Taken out: the one that read the least, the oldest of several."""
        least = min(self.layouts, key=lambda layout: layout.hits)
        self.layouts.remove(least)
        return least


class Layouts:
    """Bounded in what it remembers; not thread-safe."""

    def __init__(self, attributes: Attributes) -> None:
        self._attributes = attributes
        self._by_size: dict[int, _Alike] = {}
        self._held_bytes = 0
        self._saved = _LEARNED_AT_ONCE * LEARNING_EVERY

    def read(self, raw: bytes) -> Observed | None:
        """A serialised span; None where the general decoder has to read it."""
        alike = self._by_size.get(len(raw))
        if alike is None:
            return None
        for layout in alike.layouts:
            parts = layout.unpack(raw)
            known = layout.known.get(layout.between(parts))
            if known is not None:
                break
        else:
            if len(alike.layouts) > 1:
                self._in_vain(alike, len(alike.layouts) - 1)
            return None
        trace_id, span_id, start_ns, end_ns = layout.heads(parts)
        if trace_id == NO_TRACE or span_id == NO_SPAN:
            return None
        name, status, common = known
        found = common.copy()
        try:
            for at, field, read in layout.read:
                value = read(parts[at])
                if value is None or value is INVALID:
                    break
                found[field] = value
            else:
                layout.hits += 1
                parent_id = parts[layout.parent] if layout.parent >= 0 else b""
                return Observed(trace_id, span_id, parent_id, name, start_ns, end_ns, status, found)
        except (UnicodeDecodeError, wire.Malformed):
            pass
        self._in_vain(alike, 1)
        return None

    def learn(self, raw: bytes, seen: Observed) -> None:
        """From a span that was left to the general decoder, which counted nothing wrong, and what it made of it."""
        if len(raw) > MAX_SPAN_BYTES or not _OTHERWISE.isdisjoint(seen.found):
            return
        self._saved += 1
        if self._saved < LEARNING_EVERY:
            return
        self._saved -= LEARNING_EVERY
        try:
            leaves = self._leaves(raw)
        except wire.Malformed:  # protobuf's parser passes over what nobody writes any more
            return
        if leaves is None or not all(leaf.field in seen.found for leaf in leaves if leaf.read):
            return
        layout = self._layout(leaves, len(raw))
        common = seen.found | dict.fromkeys(field for _, field, _ in layout.read)
        known = _Known(seen.name, seen.status, common)
        self._held_bytes += layout.keep(layout.between(layout.unpack(raw)), known, len(raw))

    def _in_vain(self, alike: _Alike, tries: int) -> None:
        """So many that have to be paid for by what the layouts of this length read."""
        alike.in_vain += tries
        if alike.in_vain >= MAX_IN_VAIN:
            if 2 * sum(layout.hits for layout in alike.layouts) < alike.in_vain:
                self._held_bytes -= alike.least().size_bytes
            alike.in_vain = 0
            for layout in alike.layouts:
                layout.hits = 0

    def _layout(self, leaves: tuple[_Leaf, ...], size: int) -> _Layout:
        if self._held_bytes >= MAX_BYTES:
            self._by_size.clear()
            self._held_bytes = 0
        alike = self._by_size.setdefault(size, _Alike())
        layout = next((one for one in alike.layouts if one.leaves == leaves), None)
        if layout is None:
            if len(alike.layouts) >= MAX_ALIKE:
                self._held_bytes -= alike.least().size_bytes
            layout = _Layout(leaves, size)
            alike.layouts.append(layout)
            self._held_bytes += layout.size_bytes
        return layout

    def _leaves(self, raw: bytes) -> tuple[_Leaf, ...] | None:
        """Of a span that the general decoder could read; None where it has what a layout might read otherwise."""
        leaves: list[_Leaf] = []
        once: set[int] = set()
        taken: set[str] = set()
        for number, wire_type, start, end in wire.fields(raw, 0, len(raw)):
            if head := _HEADS.get(number):
                field, expected, size, code = head
                if wire_type != expected or end - start != size or number in once:
                    return None
                once.add(number)
                leaves.append(_Leaf(start, end, code, field))
            elif number == _ATTRIBUTE and wire_type == wire.BYTES:
                leaf = self._attribute(raw, start, end, taken)
                if leaf is None:
                    return None
                leaves.append(leaf)
            elif number in _UNREAD and wire_type == wire.BYTES:
                leaves.append(_unread(start, end))
            elif not (
                number == _NAME
                or (number == _STATUS and end - start <= _STATUS_BYTES)
                or (number in _NUMBERS and wire_type != wire.BYTES)
            ):
                return None
        return tuple(leaf for leaf in leaves if leaf.code) if once >= _NEEDED else None

    def _attribute(self, raw: bytes, start: int, end: int, taken: set[str]) -> _Leaf | None:
        """
        Where its value differs from span to span; without a code where it stays; None: no layout can read it.

        :param taken: the fields that attributes have given so far
        """
        key, at = _key(raw, start, end)
        if not key:
            return None
        slot = self._attributes.target(key)
        if slot is None:
            return _unread(at, end)
        if not isinstance(slot, Slot) or slot.mark in _OTHERWISE or slot.field in taken:
            return None
        taken.add(slot.field)
        if slot.label_like and slot.parse is not values.tokens:
            return _Leaf(at, end, "")
        return None if slot.field == self._attributes.tenant_field else _value(raw, at, end, slot)


def _key(raw: bytes, start: int, end: int) -> tuple[bytes, int]:
    """Of a KeyValue written as usual: its key, and where its value begins, which goes to the end. Else no key."""
    at = start + 2 + raw[start + 1] if end - start > 1 else end
    if at < end and raw[start] == _KEY_TAG and raw[start + 1] < 0x80 and raw[at] == _VALUE_TAG:
        size, value = wire.varint(raw, at + 1, end)
        if value + size == end:
            return raw[start + 2 : at], value
    return b"", end


def _unread(start: int, end: int) -> _Leaf:
    return _Leaf(start, end, f"{end - start}x")


def _value(raw: bytes, start: int, end: int, slot: Slot) -> _Leaf | None:
    """The AnyValue of an attribute: a text, a double or an integer."""
    tag, at = raw[start] if start < end else 0, start + 1
    if tag == _DOUBLE_TAG and end - at == struct.calcsize("<d"):
        return _Leaf(at, end, "d", slot.field, slot.parse)
    if tag == _TEXT_TAG:
        size, at = wire.varint(raw, at, end)
        return _Leaf(at, end, f"{size}s", slot.field, _text(slot.parse)) if at + size == end else None
    if tag == _INTEGER_TAG and end - at in _INTEGERS:
        code, integer = _INTEGERS[end - at]
        return _Leaf(at, end, code, slot.field, integer(slot.parse))
    return None


@cache
def _text(parse: Parse) -> _Read:
    return lambda part: parse(part.decode())


@cache
def _one_byte(parse: Parse) -> _Read:
    def read(part: int) -> object:
        if part & 0x80:
            raise wire.Malformed
        return parse(part)

    return read


@cache
def _two_bytes(parse: Parse) -> _Read:
    is_count = parse is values.tokens  # which takes any integer of two bytes as it is

    def read(part: int) -> object:
        if part & 0x8080 != 0x80:
            raise wire.Malformed
        value = part & 0x7F | part >> 1 & 0x3F80
        return value if is_count else parse(value)

    return read


@cache
def _three_bytes(parse: Parse) -> _Read:
    def read(part: bytes) -> object:
        value, end = wire.varint(part, 0, len(part))
        if end != len(part):
            raise wire.Malformed
        return parse(value)

    return read


_INTEGERS: Final = {1: ("B", _one_byte), 2: ("H", _two_bytes), 3: ("3s", _three_bytes)}
"""bytes of an integer to `struct`'s code and who reads it: up to two million, as counts are"""
