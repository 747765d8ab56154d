"""Spans and log records from their serialised form."""

from collections.abc import Iterable
from typing import Final

from collector.otlp import anyvalue, refusals, shallow, values, wire
from collector.otlp.attributes import Attributes
from collector.otlp.observed import ERROR, EXCEPTION_EVENT, FIRST_CHUNK_EVENTS, OK, UNSET, Observed, valid_ids

_OK_BYTES: Final = b"\x18\x01"
_ERROR_BYTES: Final = b"\x18\x02"
_CHUNKS: Final = frozenset(name.encode() for name in FIRST_CHUNK_EVENTS)
_EXCEPTION: Final = EXCEPTION_EVENT.encode()
_LEAST_EVENT_BYTES: Final = 2 + len(min((*_CHUNKS, _EXCEPTION), key=len))
"""of an event with a name that is looked for"""


def span(raw: bytes, attributes: Attributes) -> Observed:
    """:raises Rejected: the span is broken, or its ids are"""
    parsed = shallow.span(raw)
    try:
        name = parsed.name.decode()
        trace_id, span_id = parsed.trace_id, parsed.span_id
        if not valid_ids(trace_id, span_id):
            raise refusals.Rejected(refusals.INVALID_ID)
        status = parsed.status
        seen = Observed(
            trace_id,
            span_id,
            parsed.parent_span_id,
            name,
            parsed.start_time_unix_nano,
            parsed.end_time_unix_nano,
            _status(status) if status else UNSET,
            attributes.serialised(parsed.attributes),
        )
        events = parsed.events
        if events:
            _read_events(seen, events)
    except UnicodeDecodeError:
        raise refusals.Rejected(refusals.INVALID_UTF8) from None
    except wire.Malformed:
        raise refusals.Rejected(refusals.UNDECODABLE) from None
    return seen


def log(raw: bytes, attributes: Attributes) -> tuple[Observed, bytes]:
    """
    A log record and its body, still serialised.

    :raises Rejected: the record is broken, or has ids that are
    """
    parsed = shallow.log(raw)
    trace_id, span_id = parsed.trace_id, parsed.span_id
    if not valid_ids(trace_id, span_id):
        if (trace_id and len(trace_id) != 16) or (span_id and len(span_id) != 8):
            raise refusals.Rejected(refusals.INVALID_ID)
        trace_id = span_id = b""
    try:
        name = parsed.event_name.decode()
    except UnicodeDecodeError:
        raise refusals.Rejected(refusals.INVALID_UTF8) from None
    at_ns = parsed.time_unix_nano or parsed.observed_time_unix_nano
    return Observed(trace_id, span_id, b"", name, 0, at_ns, 0, attributes.serialised(parsed.attributes)), parsed.body


def body(raw: bytes) -> object:
    """
    The decoded body of a log record.

    :raises Rejected: it is broken
    """
    try:
        return anyvalue.read(raw, 0, len(raw))
    except UnicodeDecodeError:
        raise refusals.Rejected(refusals.INVALID_UTF8) from None
    except wire.Malformed:
        raise refusals.Rejected(refusals.UNDECODABLE) from None


def _status(raw: bytes) -> int:
    if raw == _OK_BYTES:
        return OK
    if raw.endswith(_ERROR_BYTES):
        return ERROR
    code = 0
    for number, wire_type, start, end in wire.fields(raw, 0, len(raw)):
        if number == 3 and wire_type == wire.VARINT:
            code = wire.varint(raw, start, end)[0]
    return code


def _read_events(seen: Observed, events: Iterable[bytes]) -> None:
    """The first chunk of a stream, and the last exception."""
    wants_exception = seen.status == ERROR and "error_type" not in seen.found
    for raw in events:
        if len(raw) < _LEAST_EVENT_BYTES:
            continue
        at_ns, name, attributes = _event(raw)
        if name in _CHUNKS and not seen.first_chunk_ns:
            seen.first_chunk_ns = at_ns
        elif name == _EXCEPTION and wants_exception:
            seen.exception_type = _exception_type(raw, attributes) or seen.exception_type
        if seen.first_chunk_ns and not wants_exception:
            return


def _event(raw: bytes) -> tuple[int, bytes, list[tuple[int, int]]]:
    """Its time, name, and where in `raw` its attributes are."""
    if len(raw) > 10 and raw[0] == 0x09 and raw[9] == 0x12 and 11 + raw[10] == len(raw):
        return int.from_bytes(raw[1:9], "little"), raw[11:], []  # no attributes: a chunk
    at_ns, name = 0, b""
    attributes: list[tuple[int, int]] = []
    for number, wire_type, start, end in wire.fields(raw, 0, len(raw)):
        if number == 1 and wire_type == wire.FIXED64:
            at_ns = int.from_bytes(raw[start:end], "little")
        elif number == 2 and wire_type == wire.BYTES:
            name = raw[start:end]
        elif number == 3 and wire_type == wire.BYTES and len(attributes) < shallow.MAX_ATTRIBUTES:
            attributes.append((start, end))
    return at_ns, name, attributes


def _exception_type(raw: bytes, attributes: list[tuple[int, int]]) -> str:
    for start, end in attributes:
        key, value = b"", (0, 0)
        for number, wire_type, at, stop in wire.fields(raw, start, end):
            if number == 1 and wire_type == wire.BYTES:
                key = raw[at:stop]
            elif number == 2 and wire_type == wire.BYTES:
                value = (at, stop)
        if key == b"exception.type":
            named = values.text(anyvalue.read(raw, *value))
            return named if isinstance(named, str) else ""
    return ""
