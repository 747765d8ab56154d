"""
The attributes of one span or log record to the fields of the table: read only what a row wants, each value once.

Attributes that repeat from span to span (the model's name, the operation) are recognised by their serialised bytes
and not decoded again.
"""

import struct
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from collector.otlp import anyvalue, fields, refusals, values, wire
from collector.otlp.values import INVALID

MAX_CACHED: Final = 16_384
MAX_CACHED_BYTES: Final = 96
"""attributes longer than this are not kept"""
MAX_KEYS: Final = 8192

TENANT: Final = "tenant"
INDEXED: Final = "indexed"
COMPLETION_STYLE: Final = "completion_style"
PROVIDER_RANK: Final = "provider_rank"

Found = dict[str, Any]
"""Field to canonical value. INDEXED holds list[Piece]."""


class Piece(NamedTuple):
    """One numbered attribute of a prompt or answer."""

    at: fields.Indexed
    text: str


_Target = fields.Slot | fields.Indexed | bool | None
"""what an attribute's name leads to; False for a mark of COMPLETION_STYLE, None for nothing, True for not yet known"""
_Entry = tuple[str | None, int, object]
_KEY_TAG: Final = 0x0A
_VALUE_TAG: Final = 0x12
_LEAST_BYTES: Final = 3
_NOTHING: Final[_Entry] = (None, 0, None)
_double = struct.Struct("<d").unpack_from


class Attributes:
    """Reads attributes. Keeps bounded caches; not thread-safe."""

    def __init__(self, tenant_attribute: str = "") -> None:
        self.invalid: Counter[str] = Counter()
        """wrong values met, by field; whoever reports them clears it"""
        self._slots = fields.slots()
        taken = self._slots.get(tenant_attribute)
        self._tenant_field = taken.field if taken else TENANT
        if tenant_attribute and not taken:
            self._slots[tenant_attribute] = fields.Slot(TENANT, 0, values.text, label_like=True)
        self._tenant = bool(tenant_attribute)
        self._entries: dict[bytes, _Entry] = {}
        self._keys: dict[bytes, _Target] = {}

    def serialised(self, attributes: Iterable[bytes]) -> Found:
        """
        From KeyValue messages.

        :raises Rejected: a wanted value is malformed, not UTF-8 or nested too deep
        """
        found: Found = {}
        ranks: dict[str, int] = {}
        cached, known = self._entries.get, self._keys.get
        try:
            for raw in attributes:
                size = len(raw)
                entry = cached(raw) if size <= MAX_CACHED_BYTES else None
                if entry is None:
                    at = (
                        raw[1] + 2 if size > _LEAST_BYTES else 0
                    )  # where the key ends, when it is short and comes first
                    slot = known(raw[2:at], True)
                    if slot is None:
                        continue  # nobody reads it
                    entry = self._entry(raw, size, at, slot, found)
                field, rank, value = entry
                if field is None:
                    continue
                if rank == 0:
                    if ranks:
                        ranks.pop(field, None)
                elif field in found and rank >= ranks.get(field, 0):
                    continue
                else:
                    ranks[field] = rank
                found[field] = value
        except wire.Malformed:
            raise refusals.Rejected(refusals.UNDECODABLE) from None
        except UnicodeDecodeError:
            raise refusals.Rejected(refusals.INVALID_UTF8) from None
        return self._finish(found, ranks)

    def pairs(self, attributes: Iterable[tuple[str, object]]) -> Found:
        """From names and decoded values."""
        found: Found = {}
        ranks: dict[str, int] = {}
        for name, value in attributes:
            slot: _Target = self._slots.get(name) or self._numbered(name)
            field, rank, parsed = self._place(slot, value, found)
            if field is not None and rank <= ranks.get(field, rank):
                found[field] = parsed
                ranks[field] = rank
        return self._finish(found, ranks)

    def wants(self, name: str) -> bool:
        """Whether any row reads this attribute: saves converting the value of one that none does."""
        return name in self._slots or self._numbered(name) is not None

    def _finish(self, found: Found, ranks: dict[str, int]) -> Found:
        if self._tenant and self._tenant_field is not TENANT and self._tenant_field in found:
            found[TENANT] = found[self._tenant_field]
        if ranks.get("provider"):
            found[PROVIDER_RANK] = ranks["provider"]
        return found

    def _entry(self, raw: bytes, size: int, at: int, slot: _Target, found: Found) -> _Entry:
        """
        An attribute not met before.

        :param at: where its key ends, if `slot` was found by it
        """
        start = at + 2
        if slot is True or raw[0] != _KEY_TAG or start >= size or raw[at] != _VALUE_TAG or raw[at + 1] != size - start:
            key, start, size = _key_and_value(raw)
            slot = self._keys.get(key, True)
            if slot is True:
                slot = self._learn(key)
            if slot is None:
                return _NOTHING
        entry = self._place(slot, _value(raw, start, size), found)
        if entry[0] is not None and len(raw) <= MAX_CACHED_BYTES and isinstance(slot, fields.Slot) and slot.label_like:
            if len(self._entries) >= MAX_CACHED:
                self._entries.clear()
            self._entries[raw] = entry
        return entry

    def _place(self, slot: _Target, value: object, found: Found) -> _Entry:
        if isinstance(slot, fields.Slot):
            field, rank, parse, _, mark = slot
            parsed = parse(value)
            if parsed is None:
                return _NOTHING
            if parsed is INVALID:
                self.invalid[fields.invalid_field(field)] += 1
                return _NOTHING
            if mark:
                found[mark] = True
            return field, rank, parsed
        if isinstance(slot, fields.Indexed):
            if isinstance(value, str):
                found[fields.HAS_TEXT] = True
                if slot.completing:
                    found[COMPLETION_STYLE] = True
                found.setdefault(INDEXED, []).append(Piece(slot, value))
        elif slot is False:
            found[COMPLETION_STYLE] = True
        return _NOTHING

    def _learn(self, key: bytes) -> _Target:
        name = key.decode()
        slot: _Target = self._slots.get(name) or self._numbered(name)
        if len(self._keys) >= MAX_KEYS:
            self._keys.clear()
        if len(key) <= MAX_CACHED_BYTES:
            self._keys[key] = slot
        return slot

    @staticmethod
    def _numbered(name: str) -> _Target:
        if not name.startswith(("llm.", "gen_ai.", "embedding.")):
            return None
        return fields.indexed(name) or (False if fields.is_completion_style(name) else None)


def _key_and_value(raw: bytes) -> tuple[bytes, int, int]:
    """A KeyValue: its key, and where in `raw` its AnyValue lies. Written by everybody as key, then value."""
    size = len(raw)
    if size > 3 and raw[0] == 0x0A and raw[1] < 0x80:
        at = 2 + raw[1]
        if at + 1 < size and raw[at] == 0x12:
            length = raw[at + 1]
            start = at + 2
            if length >= 0x80:
                length, start = wire.varint(raw, at + 1, size)
            if start + length == size:
                return raw[2:at], start, size
    key, start, end = b"", 0, 0
    for number, wire_type, first, stop in wire.fields(raw, 0, size):
        if wire_type == wire.BYTES and number == 1:
            key = raw[first:stop]
        elif wire_type == wire.BYTES and number == 2:
            start, end = first, stop
    return key, start, end


def _value(raw: bytes, start: int, end: int) -> object:
    """The AnyValue at `start`: the four plain kinds by hand, the rest by the walk."""
    if end - start > 1:
        tag = raw[start]
        if tag == 0x18:
            first = raw[start + 1]
            if first < 0x80:
                if start + 2 == end:
                    return first
            elif start + 3 == end and raw[start + 2] < 0x80:
                return (first & 0x7F) | raw[start + 2] << 7
        elif tag == 0x0A:
            length, at = raw[start + 1], start + 2
            if length >= 0x80:
                length, at = wire.varint(raw, start + 1, end)
            if at + length == end:
                return raw[at:end].decode()
        elif tag == 0x21 and start + 9 == end:
            return _double(raw, start + 1)[0]
    return anyvalue.read(raw, start, end)
