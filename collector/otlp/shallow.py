"""
Spans and log records parsed only as deep as they are read.

The schema is OTLP's, with attributes, events and strings declared as plain bytes: the C parser then finds the fields
of a span in half a microsecond, decodes no attribute that nobody asked for, and one bad string inside an attribute
does not cost the neighbours.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol, cast

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from collector.otlp import refusals, wire

MAX_ATTRIBUTES: Final = 4096
MAX_EVENTS: Final = 16_384
_MAX_FIELDS: Final = MAX_ATTRIBUTES + MAX_EVENTS + 4096
"""with its links, and what a newer protocol may add"""
_COUNT_ABOVE_BYTES: Final = 1 << 16
"""items longer than this are counted through before they are parsed"""

_PACKAGE: Final = "watchkeeper.otlp.shallow"
_Field = descriptor_pb2.FieldDescriptorProto


class ShallowSpan(Protocol):
    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes
    name: bytes
    start_time_unix_nano: int
    end_time_unix_nano: int
    attributes: Sequence[bytes]
    events: Sequence[bytes]
    status: bytes


class ShallowLog(Protocol):
    time_unix_nano: int
    observed_time_unix_nano: int
    body: bytes
    attributes: Sequence[bytes]
    trace_id: bytes
    span_id: bytes
    event_name: bytes


class _Class(Protocol):
    def FromString(self, data: bytes) -> object: ...  # noqa: N802 - protobuf's name


_ONE, _MANY = _Field.LABEL_OPTIONAL, _Field.LABEL_REPEATED
_SPAN: Final = (
    ("trace_id", 1, _Field.TYPE_BYTES, _ONE),
    ("span_id", 2, _Field.TYPE_BYTES, _ONE),
    ("parent_span_id", 4, _Field.TYPE_BYTES, _ONE),
    ("name", 5, _Field.TYPE_BYTES, _ONE),
    ("start_time_unix_nano", 7, _Field.TYPE_FIXED64, _ONE),
    ("end_time_unix_nano", 8, _Field.TYPE_FIXED64, _ONE),
    ("attributes", 9, _Field.TYPE_BYTES, _MANY),
    ("events", 11, _Field.TYPE_BYTES, _MANY),
    ("status", 15, _Field.TYPE_BYTES, _ONE),
)
_LOG: Final = (
    ("time_unix_nano", 1, _Field.TYPE_FIXED64, _ONE),
    ("body", 5, _Field.TYPE_BYTES, _ONE),
    ("attributes", 6, _Field.TYPE_BYTES, _MANY),
    ("trace_id", 9, _Field.TYPE_BYTES, _ONE),
    ("span_id", 10, _Field.TYPE_BYTES, _ONE),
    ("observed_time_unix_nano", 11, _Field.TYPE_FIXED64, _ONE),
    ("event_name", 12, _Field.TYPE_BYTES, _ONE),
)


def _classes() -> Mapping[str, _Class]:
    file = descriptor_pb2.FileDescriptorProto(name="watchkeeper/shallow.proto", package=_PACKAGE, syntax="proto3")
    for message, rows in (("Span", _SPAN), ("Log", _LOG)):
        declared = file.message_type.add(name=message)
        for name, number, kind, label in rows:
            declared.field.add(name=name, number=number, type=kind, label=label)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = {
        message.name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{message.name}"))
        for message in file.message_type
    }
    return cast(Mapping[str, _Class], found)


_CLASSES: Final = _classes()
_parse_span = cast(Callable[[bytes], ShallowSpan], _CLASSES["Span"].FromString)
_parse_log = cast(Callable[[bytes], ShallowLog], _CLASSES["Log"].FromString)


def span(raw: bytes) -> ShallowSpan:
    """:raises Rejected: not a span, or more attributes or events than anybody needs"""
    if len(raw) > _COUNT_ABOVE_BYTES:
        _bound(raw, {9: MAX_ATTRIBUTES, 11: MAX_EVENTS})
    try:
        return _parse_span(raw)
    except DecodeError:
        raise refusals.Rejected(refusals.UNDECODABLE) from None


def log(raw: bytes) -> ShallowLog:
    """:raises Rejected: not a log record, or more attributes than anybody needs"""
    if len(raw) > _COUNT_ABOVE_BYTES:
        _bound(raw, {6: MAX_ATTRIBUTES})
    try:
        return _parse_log(raw)
    except DecodeError:
        raise refusals.Rejected(refusals.UNDECODABLE) from None


def _bound(raw: bytes, limits: dict[int, int]) -> None:
    """Stops at the first field too many, whichever it is."""
    try:
        wire.bound(raw, limits, _MAX_FIELDS)
    except wire.CountExceeded:
        raise refusals.Rejected(refusals.TOO_MANY_ITEMS) from None
    except wire.Malformed:
        raise refusals.Rejected(refusals.UNDECODABLE) from None
