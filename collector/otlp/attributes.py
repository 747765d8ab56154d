"""
The attributes of one span or log record to the fields of the table: read only what a row wants, each value once.

Attributes that repeat from span to span (the model's name, the operation) are recognised by their serialised bytes
and not decoded again.
"""

import struct
from collections import Counter
from collections.abc import Iterable, Sequence
from enum import Enum
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


class _Style(Enum):
    COMPLETING = "completing"
    """an attribute that only tells the style of the call"""


Target = fields.Slot | fields.Indexed | _Style | None
"""what an attribute's name leads to; None: nobody reads it"""
_KEY_TAG: Final = 0x0A
_VALUE_TAG: Final = 0x12
_LEAST_BYTES: Final = 3
_LEAST_VALUE_BYTES: Final = 2
"""its tag and its length"""
_double = struct.Struct("<d").unpack_from


class Attributes:
    """Reads attributes. Keeps bounded caches; not thread-safe."""

    def __init__(self, tenant_attribute: str = "") -> None:
        self.invalid: Counter[str] = Counter()
        """wrong values met, by field; whoever reports them clears it"""
        self._slots = fields.slots()
        taken = self._slots.get(tenant_attribute)
        self.tenant_field: Final = taken.field if taken else TENANT
        """the field that also tells the tenant"""
        if tenant_attribute and not taken:
            self._slots[tenant_attribute] = fields.Slot(TENANT, 0, values.text, label_like=True)
        self._tenant = bool(tenant_attribute)
        self._entries: dict[bytes, tuple[str, object]] = {}
        """serialised attribute to field and value, for those of rank 0 with few values"""
        self._wanted = {name.encode(): slot for name, slot in self._slots.items()}
        self._numbered: dict[bytes, fields.Indexed | _Style] = {}
        self._unread: set[bytes] = set()

    def serialised(self, attributes: Sequence[bytes]) -> Found:
        """
        From KeyValue messages.

        :raises Rejected: a wanted value is malformed, not UTF-8 or nested too deep
        """
        found: Found = {}
        ranks: dict[str, int] = {}
        known, wanted, unread = self._entries.get, self._wanted.get, self._unread
        try:
            for raw in attributes[:]:  # protobuf hands out a slice for less than one by one
                hit = known(raw)
                if hit is not None:
                    field, parsed = hit
                    found[field] = parsed
                    if ranks:
                        ranks[field] = 0
                    continue
                size = len(raw)
                at = raw[1] + 2 if size > _LEAST_BYTES else 0  # where the key ends, when it is short and comes first
                key = raw[2:at]
                slot = wanted(key)
                if (
                    slot is None
                    or size - at < _LEAST_VALUE_BYTES
                    or raw[at] != _VALUE_TAG
                    or raw[at + 1] != size - at - 2
                    or raw[0] != _KEY_TAG
                ):
                    if slot is not None or key not in unread:
                        self._read(raw, found, ranks)
                    continue
                field, rank, parse, label_like, mark = slot
                parsed = parse(_value(raw, at + 2, size))
                if parsed is None:
                    continue
                if rank or mark or parsed is INVALID:
                    self._put(slot, parsed, found, ranks)
                    continue
                found[field] = parsed
                if ranks:
                    ranks[field] = 0
                if label_like:
                    self._keep(raw, field, parsed)
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
            self._place(self._slots.get(name) or _numbered(name), value, found, ranks)
        return self._finish(found, ranks)

    def target(self, key: bytes) -> Target:
        """:raises UnicodeDecodeError: the name is none"""
        if key in self._unread:
            return None
        return self._wanted.get(key) or self._numbered.get(key) or self._learn(key)

    def wants(self, name: str) -> bool:
        """Whether any row reads this attribute: saves converting the value of one that none does."""
        return name in self._slots or _numbered(name) is not None

    def _finish(self, found: Found, ranks: dict[str, int]) -> Found:
        if self._tenant and self.tenant_field is not TENANT and self.tenant_field in found:
            found[TENANT] = found[self.tenant_field]
        if ranks.get("provider"):
            found[PROVIDER_RANK] = ranks["provider"]
        return found

    def _read(self, raw: bytes, found: Found, ranks: dict[str, int]) -> None:
        """An attribute of any form: its key not met before, its value long or out of the usual order."""
        key, start, end = _key_and_value(raw)
        target = self.target(key)
        if target is not None:
            self._place(target, _value(raw, start, end), found, ranks)

    def _place(self, target: Target, value: object, found: Found, ranks: dict[str, int]) -> None:
        if isinstance(target, fields.Slot):
            parsed = target.parse(value)
            if parsed is not None:
                self._put(target, parsed, found, ranks)
        elif isinstance(target, fields.Indexed):
            if isinstance(value, str):
                found[fields.HAS_TEXT] = True
                if target.completing:
                    found[COMPLETION_STYLE] = True
                found.setdefault(INDEXED, []).append(Piece(target, value))
        elif target is not None:
            found[COMPLETION_STYLE] = True

    def _put(self, slot: fields.Slot, parsed: object, found: Found, ranks: dict[str, int]) -> None:
        field, rank, _, _, mark = slot
        if parsed is INVALID:
            self.invalid[fields.invalid_field(field)] += 1
            return
        if mark:
            found[mark] = True
        if rank and field in found and rank >= ranks.get(field, 0):
            return
        ranks[field] = rank
        found[field] = parsed

    def _keep(self, raw: bytes, field: str, parsed: object) -> None:
        if len(raw) <= MAX_CACHED_BYTES:
            if len(self._entries) >= MAX_CACHED:
                self._entries.clear()
            self._entries[raw] = field, parsed

    def _learn(self, key: bytes) -> Target:
        """A key met for the first time since these memories were emptied."""
        name = key.decode()
        target: Target = self._slots.get(name) or _numbered(name)
        if len(self._unread) + len(self._numbered) >= MAX_KEYS:
            self._unread.clear()
            self._numbered.clear()
        if len(key) <= MAX_CACHED_BYTES:
            if target is None:
                self._unread.add(key)
            elif not isinstance(target, fields.Slot):
                self._numbered[key] = target
        return target


def _numbered(name: str) -> fields.Indexed | _Style | None:
    if not name.startswith(("llm.", "gen_ai.", "embedding.")):
        return None
    return fields.indexed(name) or (_Style.COMPLETING if fields.is_completion_style(name) else None)


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
    """The AnyValue at `start`: short integers, strings and doubles by hand, the rest by the walk."""
    size = end - start
    if size > 1:
        tag = raw[start]
        if tag == 0x18:
            if size == 3 and raw[start + 1] > 0x7F >= raw[start + 2]:
                return (raw[start + 1] & 0x7F) | raw[start + 2] << 7
            if size == 2 and raw[start + 1] < 0x80:
                return raw[start + 1]
        elif tag == 0x0A:
            if raw[start + 1] == size - 2 < 0x80:
                return raw[start + 2 : end].decode()
            length, at = wire.varint(raw, start + 1, end)
            if at + length == end:
                return raw[at:end].decode()
        elif tag == 0x21 and size == 9:
            return _double(raw, start + 1)[0]
    return anyvalue.read(raw, start, end)
