"""Spans and log records from their serialised form."""

from collections.abc import Iterable, Iterator
from typing import Final

from collector.otlp import anyvalue, fields, judging, refusals, shallow, values, wire
from collector.otlp.attributes import Attributes
from collector.otlp.observed import (
    ERROR,
    EXCEPTION_EVENT,
    FIRST_CHUNK_EVENTS,
    OK,
    UNSET,
    Event,
    Observed,
    lone_trace,
    valid_ids,
)
from collector.otlp.shallow import ShallowSpan

_OK_BYTES: Final = b"\x18\x01"
_ERROR_BYTES: Final = b"\x18\x02"
_CHUNKS: Final = frozenset(name.encode() for name in FIRST_CHUNK_EVENTS)
_EXCEPTION: Final = EXCEPTION_EVENT.encode()
_WANTED: Final = frozenset(name.encode() for name in judging.WANTED)
_JUDGING: Final = (judging.PREFIX.encode(), b"langwatch.e")
"""begin the names of events that judge"""
_LEAST_EVENT_BYTES: Final = 2 + len(min((*_CHUNKS, _EXCEPTION), key=len))
"""of an event with a name that is looked for"""


def span(parsed: ShallowSpan, attributes: Attributes) -> Observed:
    """:raises Rejected: something in the span is broken, its ids are, or it has more than anybody needs"""
    try:
        name = parsed.name.decode()
        trace_id, span_id = parsed.trace_id, parsed.span_id
        if not valid_ids(trace_id, span_id):
            raise refusals.Rejected(refusals.INVALID_ID)
        events = parsed.events
        if len(parsed.attributes) > shallow.MAX_ATTRIBUTES or len(events) > shallow.MAX_EVENTS:
            raise refusals.Rejected(refusals.TOO_MANY_ITEMS)
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
        if fields.JUDGES in seen.found and judging.FEEDBACK_NAME in seen.found:
            _read_feedback(seen, parsed.attributes)
        if events:
            _read_events(seen, events)
            seen.events = tuple(_judging(events))
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
        lone_trace_id = lone_trace(trace_id)
        trace_id = span_id = b""
    else:
        lone_trace_id = b""
    try:
        name = parsed.event_name.decode()
    except UnicodeDecodeError:
        raise refusals.Rejected(refusals.INVALID_UTF8) from None
    at_ns = parsed.time_unix_nano or parsed.observed_time_unix_nano
    found = attributes.serialised(parsed.attributes)
    seen = Observed(trace_id, span_id, b"", name, 0, at_ns, 0, found, lone_trace_id=lone_trace_id)
    return seen, parsed.body


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
    wants_exception = seen.status == ERROR
    for raw in events:
        if len(raw) < _LEAST_EVENT_BYTES:
            continue
        at_ns, name, attributes = _event(raw)
        if name in _CHUNKS and not seen.first_chunk_ns:
            seen.first_chunk_ns = at_ns
        elif name == _EXCEPTION and wants_exception:
            _read_exception(seen, raw, attributes)
        if seen.first_chunk_ns and not wants_exception:
            return


def _judging(events: Iterable[bytes]) -> Iterator[Event]:
    """Those of a span that judge an answer, with what is wanted of their attributes."""
    left = judging.MAX_PER_ITEM
    for raw in events:
        if _JUDGING[0] not in raw and _JUDGING[1] not in raw:
            continue
        at_ns, raw_name, attributes = _event(raw)
        name = raw_name.decode()
        if judging.dialect_of(name) is None:
            continue
        found: dict[str, object] = {}
        for start, end in attributes:
            key, value = _key_and_value(raw, start, end)
            if key in _WANTED:
                found[key.decode()] = anyvalue.read(raw, *value)
        yield Event(name, at_ns, found)
        left -= 1
        if not left:
            return


def _read_feedback(seen: Observed, attributes: Iterable[bytes]) -> None:
    """Logfire's value stands in an attribute that is called as the evaluation is."""
    wanted = str(seen.found[judging.FEEDBACK_NAME]).encode()
    for raw in attributes:
        key, value = _key_and_value(raw, 0, len(raw))
        if key == wanted:
            seen.found[judging.FEEDBACK_VALUE] = anyvalue.read(raw, *value)


def _key_and_value(raw: bytes, start: int, end: int) -> tuple[bytes, tuple[int, int]]:
    """Of a KeyValue: its key, and where in `raw` its value lies."""
    key, value = b"", (0, 0)
    for number, wire_type, at, stop in wire.fields(raw, start, end):
        if number == 1 and wire_type == wire.BYTES:
            key = raw[at:stop]
        elif number == 2 and wire_type == wire.BYTES:
            value = (at, stop)
    return key, value


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


def _read_exception(seen: Observed, raw: bytes, attributes: list[tuple[int, int]]) -> None:
    """Of its words no more than the code in them."""
    for start, end in attributes:
        key, value = _key_and_value(raw, start, end)
        if key == b"exception.type":
            named = values.text(anyvalue.read(raw, *value))
            seen.exception_type = named if isinstance(named, str) else seen.exception_type
        elif key == b"exception.message":
            code = values.code_in_words(anyvalue.read(raw, *value))
            seen.exception_code = code if isinstance(code, str) else seen.exception_code
