"""Export requests in JSON to the same observed items as from protobuf, one broken item at a time."""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final

import msgspec

from collector.otlp import fields, json_faults, json_schema, json_values, judging, refusals, values
from collector.otlp.attributes import Attributes
from collector.otlp.json_repair import repaired
from collector.otlp.metrics import wanted
from collector.otlp.observed import ERROR, EXCEPTION_EVENT, FIRST_CHUNK_EVENTS, Event, Observed, lone_trace, valid_ids
from collector.otlp.origins import Origin, Origins
from collector.otlp.points import MetricItem, Point
from collector.otlp.series import DataPoint
from collector.otlp.shallow import MAX_ATTRIBUTES, MAX_EVENTS
from collector.otlp.tally import Tally
from watchkeeper.core.metric import Kind

_OBJECTS_PER_ITEM: Final = 8
"""a span of 14 attributes has 30, but few requests bring as many items as they may"""
_BROKEN: Final = (msgspec.DecodeError, UnicodeDecodeError, refusals.Rejected)
_Group = tuple[dict[str, object], tuple[str, str], list[Any]]
"""resource, scope's name and version, items"""
_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)


class _Shape:
    """Decoders of one signal: whole, and with every item left as raw JSON for when one of them is broken."""

    def __init__(self, request: Any, item: Any, resources: str, scopes: str, items: str) -> None:
        self.whole = msgspec.json.Decoder(request[item])
        self.split = msgspec.json.Decoder(request[msgspec.Raw])
        self.item = msgspec.json.Decoder(item)
        self.resources, self.scopes, self.items = resources, scopes, items


_SHAPES: Final = {
    "traces": _Shape(json_schema.Traces, json_schema.Span, "resource_spans", "scope_spans", "spans"),
    "logs": _Shape(json_schema.Logs, json_schema.LogRecord, "resource_logs", "scope_logs", "log_records"),
    "metrics": _Shape(json_schema.Metrics, json_schema.Metric, "resource_metrics", "scope_metrics", "metrics"),
}


class Batch:
    """A request as typed records; in place of an item that is broken, as text, which field of it is."""

    __slots__ = ("groups", "items")

    def __init__(self, groups: list[_Group]) -> None:
        self.groups = groups
        self.items = sum(_size(item) for _, _, items in groups for item in items)


class Decoder:
    """Not thread-safe."""

    def __init__(self, attributes: Attributes, origins: Origins) -> None:
        self._attributes = attributes
        self._origins = origins

    def split(self, body: bytes, signal: str, max_items: int) -> Batch:
        """
        Changes nothing that is remembered from request to request.

        :raises Undecodable: not OTLP/JSON, or nested too deep
        :raises TooMany: more than `max_items`
        """
        shape = _SHAPES[signal]
        if not body.strip():
            return Batch([])
        bound_objects(body, max_items * _OBJECTS_PER_ITEM, max_items)
        batch = Batch(self._groups(shape, body, max_items))
        if batch.items > max_items:
            raise _too_many(max_items)
        return batch

    def spans(self, batch: Batch, tenant: str, tally: Tally) -> Iterator[tuple[Observed, Origin]]:
        for span, origin in self._items(batch, tenant, tally):
            try:
                seen = self._span(span)
            except refusals.Rejected as why:
                tally.rejected[why.reason] += 1
            else:
                yield seen, origin

    def logs(self, batch: Batch, tenant: str, tally: Tally) -> Iterator[tuple[Observed, Callable[[], object], Origin]]:
        for record, origin in self._items(batch, tenant, tally):
            try:
                seen = self._log(record)
            except refusals.Rejected as why:
                tally.rejected[why.reason] += 1
            else:
                yield seen, partial(json_values.plain, record.body), origin

    def metrics(self, batch: Batch, tenant: str, tally: Tally) -> Iterator[tuple[MetricItem, Origin]]:
        """Those that a row wants; the points of others are ignored, of broken ones rejected."""
        for metric, origin in self._items(batch, tenant, tally):
            if not wanted(metric.name or "", origin):
                tally.ignored[refusals.NOT_GENAI] += _size(metric)
                continue
            kind, data = _data(metric)
            points: list[Point] = []
            for point in data.data_points or ():
                try:
                    points.append(_point(point, metric.exponential_histogram is not None))
                except refusals.Rejected as why:
                    tally.rejected[why.reason] += 1
            yield MetricItem(metric.name, metric.unit or "", kind, data.aggregation_temporality or 0, points), origin

    def _items(self, batch: Batch, tenant: str, tally: Tally) -> Iterator[tuple[Any, Origin]]:
        for resource, (scope, version), items in batch.groups:
            origin = self._origins.plain(resource, scope, tenant, version)
            for item in items:
                if type(item) is str:
                    tally.reject_undecodable(item)
                else:
                    yield item, origin

    def _groups(self, shape: _Shape, body: bytes, max_items: int) -> list[_Group]:
        """
        Whole if it can be; else with what JSON forbids replaced; else one item after the other.

        :raises Undecodable: none of that
        """
        try:
            try:
                return _groups(shape, shape.whole.decode(body), self._resource)
            except _BROKEN:
                mended = repaired(body)
            try:
                return _groups(shape, shape.whole.decode(mended), self._resource)
            except _BROKEN:
                return self._one_by_one(shape, mended, max_items)
        except RecursionError:
            raise refusals.Undecodable(refusals.TOO_DEEP) from None
        except _BROKEN:
            raise refusals.Undecodable(refusals.UNDECODABLE) from None

    def _one_by_one(self, shape: _Shape, body: bytes, max_items: int) -> list[_Group]:
        """:raises Undecodable: more than can be looked through"""
        if body.count(b",") > max_items * _OBJECTS_PER_ITEM:
            raise refusals.Undecodable(refusals.UNDECODABLE)
        groups = _groups(shape, shape.split.decode(body), self._resource)
        if sum(len(items) for _, _, items in groups) > max_items:
            raise _too_many(max_items)
        return [(resource, scope, [_decoded(shape, raw) for raw in items]) for resource, scope, items in groups]

    def _resource(self, resource: json_schema.Resource | None) -> dict[str, object]:
        attributes = (resource.attributes if resource else None) or ()
        found: dict[str, object] = {}
        for pair in attributes:
            if self._origins.wants(pair.key):
                try:
                    found[pair.key] = json_values.plain(pair.value)
                except refusals.Rejected:
                    continue
        return found

    def _span(self, span: json_schema.Span) -> Observed:
        attributes, events = span.attributes or (), span.events or ()
        if len(attributes) > MAX_ATTRIBUTES or len(events) > MAX_EVENTS:
            raise refusals.Rejected(refusals.TOO_MANY_ITEMS)
        trace_id, span_id = json_values.identifier(span.trace_id), json_values.identifier(span.span_id)
        if not valid_ids(trace_id, span_id):
            raise refusals.Rejected(refusals.INVALID_ID)
        seen = Observed(
            trace_id,
            span_id,
            json_values.identifier(span.parent_span_id),
            span.name or "",
            json_values.unsigned(span.start_time_unix_nano),
            json_values.unsigned(span.end_time_unix_nano),
            (span.status.code or 0) if span.status else 0,
            self._attributes.pairs(json_values.pairs(attributes, self._attributes.wants)),
        )
        if fields.JUDGES in seen.found and judging.FEEDBACK_NAME in seen.found:
            _read_feedback(seen, attributes)
        seen.events = tuple(_judging(events)) if events else ()
        for event in events:
            if event.name in FIRST_CHUNK_EVENTS and not seen.first_chunk_ns:
                seen.first_chunk_ns = json_values.unsigned(event.time_unix_nano)
            elif event.name == EXCEPTION_EVENT and seen.status == ERROR:
                _read_exception(seen, event)
        return seen

    def _log(self, record: json_schema.LogRecord) -> Observed:
        attributes = record.attributes or ()
        if len(attributes) > MAX_ATTRIBUTES:
            raise refusals.Rejected(refusals.TOO_MANY_ITEMS)
        trace_id, span_id = json_values.identifier(record.trace_id), json_values.identifier(record.span_id)
        if not valid_ids(trace_id, span_id):
            if (trace_id and len(trace_id) != 16) or (span_id and len(span_id) != 8):
                raise refusals.Rejected(refusals.INVALID_ID)
            lone_trace_id = lone_trace(trace_id)
            trace_id = span_id = b""
        else:
            lone_trace_id = b""
        at_ns = json_values.unsigned(record.time_unix_nano) or json_values.unsigned(record.observed_time_unix_nano)
        found = self._attributes.pairs(json_values.pairs(attributes, self._attributes.wants))
        name = record.event_name or ""
        return Observed(trace_id, span_id, b"", name, 0, at_ns, 0, found, lone_trace_id=lone_trace_id)


def bound_objects(body: bytes, max_objects: int, max_items: int) -> None:
    """
    Refuse what would take many times its size in memory. Braces inside strings do not count, but are looked for only
    when it matters.

    :raises TooMany: more objects than that
    """
    if body.count(b"{") > max_objects and _STRING.sub(b"", body).count(b"{") > max_objects:
        raise _too_many(max_items)


def _too_many(max_items: int) -> refusals.TooMany:
    return refusals.TooMany(refusals.TOO_MANY_ITEMS, f"more than {max_items} items in one request")


def _groups(shape: _Shape, request: Any, read_resource: Callable[[Any], dict[str, object]]) -> list[_Group]:
    return [
        (
            read_resource(group.resource),
            _scope(scoped.scope),
            getattr(scoped, shape.items) or [],
        )
        for group in getattr(request, shape.resources) or ()
        for scoped in getattr(group, shape.scopes) or ()
    ]


def _scope(scope: json_schema.Scope | None) -> tuple[str, str]:
    if scope is None:
        return "", ""
    return scope.name or "", scope.version if isinstance(scope.version, str) else ""


def _decoded(shape: _Shape, raw: msgspec.Raw) -> Any:
    """As text, which may be empty, the field that is broken."""
    try:
        return shape.item.decode(raw)
    except (*_BROKEN, RecursionError) as error:
        return json_faults.named(error)


def _size(item: Any) -> int:
    """In spans, log records or data points."""
    if isinstance(item, json_schema.Metric):
        return sum(len(data.data_points or ()) for data in _kinds(item) if data is not None)
    return 1


def _kinds(metric: json_schema.Metric) -> tuple[json_schema.Data | None, ...]:
    return metric.gauge, metric.sum, metric.histogram, metric.exponential_histogram, metric.summary


def _data(metric: json_schema.Metric) -> tuple[Kind, json_schema.Data]:
    histogram = metric.histogram or metric.exponential_histogram
    if histogram is not None:
        return Kind.HISTOGRAM, histogram
    if metric.sum is not None and metric.sum.is_monotonic:
        return Kind.COUNTER, metric.sum
    return Kind.GAUGE, metric.gauge or metric.sum or metric.summary or json_schema.Data()


def _point(point: json_schema.DataPoint, exponential: bool) -> Point:
    """:raises Rejected: a number that is none"""
    attributes = dict(json_values.pairs(point.attributes or (), lambda _name: True))
    for name, value in attributes.items():
        if not isinstance(value, str | bool | int | float):
            attributes[name] = str(value)
    if point.sum is not None or point.count is not None:
        total = None if point.sum is None else json_values.double(point.sum)
    elif point.as_int is not None:
        total = float(json_values.signed(point.as_int))
    else:
        total = json_values.double(point.as_double)
    read = DataPoint(
        json_values.unsigned(point.start_time_unix_nano),
        json_values.unsigned(point.time_unix_nano),
        point.flags or 0,
        json_values.unsigned(point.count),
        total,
        () if exponential else tuple(map(json_values.double, point.explicit_bounds or ())),
        () if exponential else tuple(map(json_values.unsigned, point.bucket_counts or ())),
    )
    return Point(attributes, read)


def _judging(events: Sequence[json_schema.Event]) -> Iterator[Event]:
    """Those of a span that judge an answer, with what is wanted of their attributes."""
    judged = [event for event in events if judging.dialect_of(event.name or "") is not None]
    for event in judged[: judging.MAX_PER_ITEM]:
        found = dict(json_values.pairs(event.attributes or (), judging.WANTED.__contains__))
        yield Event(event.name or "", json_values.unsigned(event.time_unix_nano), found)


def _read_feedback(seen: Observed, attributes: Sequence[json_schema.KeyValue]) -> None:
    """Logfire's value stands in an attribute that is called as the evaluation is."""
    wanted = str(seen.found[judging.FEEDBACK_NAME])
    for _, value in json_values.pairs(attributes, lambda key: key == wanted):
        seen.found[judging.FEEDBACK_VALUE] = value


def _read_exception(seen: Observed, event: json_schema.Event) -> None:
    """Of its words no more than the code in them."""
    for pair in event.attributes or ():
        if pair.key == "exception.type":
            named = values.text(json_values.plain(pair.value))
            seen.exception_type = named if isinstance(named, str) else seen.exception_type
        elif pair.key == "exception.message":
            code = values.code_in_words(json_values.plain(pair.value))
            seen.exception_code = code if isinstance(code, str) else seen.exception_code
