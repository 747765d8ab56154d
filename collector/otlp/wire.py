"""Protobuf's wire format walked by hand: to count before parsing, and to read only what is wanted."""

from collections.abc import Iterator
from typing import Final

VARINT: Final = 0
FIXED64: Final = 1
BYTES: Final = 2
FIXED32: Final = 5

_MAX_VARINT_BYTES: Final = 10
_ITEM_TAG: Final = 0x12
"""field 2, length-delimited"""


class Malformed(Exception):  # noqa: N818 - a state of the bytes
    """Not a protobuf message: truncated, a varint too long, or a wire type that does not exist."""


class CountExceeded(Exception):  # noqa: N818
    """More repeated entries than the limit; raised at the first one too many."""


def varint(buffer: bytes, position: int, end: int) -> tuple[int, int]:
    """
    The unsigned value at `position` and where it ends.

    :raises Malformed: it does not end before `end`, or is longer than 10 bytes
    """
    value = shift = 0
    for at in range(position, min(end, position + _MAX_VARINT_BYTES)):
        byte = buffer[at]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at + 1
        shift += 7
    raise Malformed


def signed(value: int) -> int:
    """An int64 from its unsigned varint."""
    value &= 0xFFFF_FFFF_FFFF_FFFF
    return value - (1 << 64) if value >= 1 << 63 else value


def fields(buffer: bytes, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """
    Every field of the message in `buffer[start:end]`: number, wire type, where its value starts and ends.

    :raises Malformed: while iterating
    """
    position = start
    while position < end:
        tag = buffer[position]
        if tag < 0x80:
            position += 1
        else:
            tag, position = varint(buffer, position, end)
        wire_type = tag & 7
        if wire_type == BYTES:
            length, position = varint(buffer, position, end)
            stop = position + length
        elif wire_type == VARINT:
            _, stop = varint(buffer, position, end)
        elif wire_type == FIXED64:
            stop = position + 8
        elif wire_type == FIXED32:
            stop = position + 4
        else:
            raise Malformed
        if stop > end or not tag >> 3:
            raise Malformed
        yield tag >> 3, wire_type, position, stop
        position = stop


class Scoped:
    """The items (spans, log records, metrics) of one instrumentation scope, each still serialised."""

    __slots__ = ("items", "scope")

    def __init__(self) -> None:
        self.scope = b""
        self.items: list[bytes] = []


class Grouped:
    """One resource and its scopes."""

    __slots__ = ("resource", "scopes")

    def __init__(self) -> None:
        self.resource = b""
        self.scopes: list[Scoped] = []


def split(body: bytes, max_items: int) -> list[Grouped]:
    """
    An Export…Request down to its items, which all three signals nest alike: request.1 = resources, .1 = resource,
    .2 = scopes, and in those .1 = scope, .2 = items. Nothing below is parsed.

    :raises Malformed: the containers are broken
    :raises CountExceeded: more than `max_items` items, or as many containers
    """
    items = containers = 0
    groups: list[Grouped] = []
    for number, wire_type, start, end in fields(body, 0, len(body)):
        if number != 1 or wire_type != BYTES:
            continue
        group = Grouped()
        groups.append(group)
        containers += 1
        for inner, inner_type, inner_start, inner_end in fields(body, start, end):
            if inner_type != BYTES:
                continue
            if inner == 1:
                group.resource = body[inner_start:inner_end]
            elif inner == 2:
                scoped = Scoped()
                group.scopes.append(scoped)
                containers += 1
                _split_scope(body, inner_start, inner_end, scoped, max_items - items)
                items += len(scoped.items)
            if containers > max_items + 2:
                raise CountExceeded
        if containers > max_items + 2:
            raise CountExceeded
    return groups


def _split_scope(body: bytes, position: int, end: int, scoped: Scoped, room: int) -> None:
    """The hot loop: one turn an item."""
    items = scoped.items
    while position < end:
        if body[position] == _ITEM_TAG and position + 1 < end:
            length = body[position + 1]
            position += 2
            if length >= 0x80:
                second = body[position] if position < end else 0x80
                if second < 0x80:  # below 16 kB, as most are: without the call
                    length += (second - 1) << 7
                    position += 1
                else:
                    length, position = varint(body, position - 1, end)
            stop = position + length
            if stop > end:
                raise Malformed
            items.append(body[position:stop])
            position = stop
        else:
            position = _other(body, position, end, scoped)
        if len(items) > room:
            raise CountExceeded


def _other(body: bytes, position: int, end: int, scoped: Scoped) -> int:
    """The scope, its schema, what a newer protocol may add, or an item whose tag is written longer than need be."""
    number, wire_type, start, stop = next(fields(body, position, end))
    if number == 1 and wire_type == BYTES:
        scoped.scope = body[start:stop]
    elif number == 2 and wire_type == BYTES:
        scoped.items.append(body[start:stop])
    return stop


def bound(buffer: bytes, limits: dict[int, int], max_fields: int) -> None:
    """
    Walk the top of a message, at most to the first field too many.

    :param limits: field number to how often it may occur
    :param max_fields: how many fields there may be in all
    :raises Malformed: it is broken
    :raises CountExceeded: more than that
    """
    room = dict(limits)
    for seen, (number, _, _, _) in enumerate(fields(buffer, 0, len(buffer))):
        if number in room:
            room[number] -= 1
        if seen >= max_fields or room.get(number, 0) < 0:
            raise CountExceeded
