"""Single values of OTLP/JSON: attributes, 64-bit integers, ids."""

import math
from base64 import b64decode
from binascii import Error
from collections.abc import Callable, Iterable, Iterator

from collector.otlp import json_schema, refusals
from collector.otlp.anyvalue import MAX_DEPTH

_MAX_INTEGER_CHARACTERS = 24


def integer(value: json_schema.Integer | None) -> int:
    """
    Of any length: JSON knows no bound.

    :raises Rejected: neither a number nor digits
    """
    if isinstance(value, int):
        return value
    if not value:
        return 0
    try:
        if len(value) <= _MAX_INTEGER_CHARACTERS:
            return int(value)
    except ValueError:
        pass
    raise refusals.Rejected(refusals.UNDECODABLE)


def unsigned(value: json_schema.Integer | None) -> int:
    """
    From 0 to 2**64 - 1.

    :raises Rejected: out of range, or no integer
    """
    number = integer(value)
    if not 0 <= number < 1 << 64:
        raise refusals.Rejected(refusals.UNDECODABLE)
    return number


def signed(value: json_schema.Integer | None) -> int:
    """
    From -2**63 to 2**63 - 1.

    :raises Rejected: out of range, or no integer
    """
    number = integer(value)
    if not -(1 << 63) <= number < 1 << 63:
        raise refusals.Rejected(refusals.UNDECODABLE)
    return number


def double(value: json_schema.Number | None) -> float:
    """
    "NaN" and "Infinity" come as strings.

    :raises Rejected: not a number
    """
    try:
        return float(value or 0.0)
    except ValueError:
        raise refusals.Rejected(refusals.UNDECODABLE) from None
    except OverflowError:
        return math.inf


def identifier(value: str | None) -> bytes:
    """
    From hex in either case.

    :raises Rejected: not hex
    """
    if not value:
        return b""
    try:
        found = bytes.fromhex(value)
    except ValueError:
        raise refusals.Rejected(refusals.INVALID_ID) from None
    if 2 * len(found) != len(value):  # fromhex skips blanks
        raise refusals.Rejected(refusals.INVALID_ID)
    return found


def plain(value: json_schema.AnyValue | None, depth: int = MAX_DEPTH) -> object:
    """
    As None, str, bool, int, float, bytes, list or dict.

    :raises Rejected: nested too deep, or a number that is none
    """
    if value is None:
        return None
    if value.string_value is not None:
        return value.string_value
    if value.int_value is not None:
        return integer(value.int_value)
    if value.double_value is not None:
        return double(value.double_value)
    if value.bool_value is not None:
        return value.bool_value
    if depth <= 0 and (value.array_value is not None or value.kvlist_value is not None):
        raise refusals.Rejected(refusals.TOO_DEEP)
    if value.array_value is not None:
        return [plain(inner, depth - 1) for inner in value.array_value.values or ()]
    if value.kvlist_value is not None:
        return {pair.key: plain(pair.value, depth - 1) for pair in value.kvlist_value.values or ()}
    if value.bytes_value is not None:
        try:
            return b64decode(value.bytes_value)
        except (Error, ValueError):
            raise refusals.Rejected(refusals.UNDECODABLE) from None
    return None


def pairs(attributes: Iterable[json_schema.KeyValue], wants: Callable[[str], bool]) -> Iterator[tuple[str, object]]:
    """The attributes that somebody wants, decoded."""
    for pair in attributes:
        if wants(pair.key):
            yield pair.key, plain(pair.value)
