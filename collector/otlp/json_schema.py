"""OTLP/JSON as typed records. Unknown keys are skipped, 64-bit integers are numbers or strings, null is absent."""

from typing import Any, Generic, TypeVar

import msgspec

Integer = int | str
Number = int | float | str


class AnyValue(msgspec.Struct, rename="camel"):
    string_value: str | None = None
    int_value: Integer | None = None
    double_value: Number | None = None
    bool_value: bool | None = None
    array_value: "ArrayValue | None" = None
    kvlist_value: "KeyValueList | None" = None
    bytes_value: str | None = None


class ArrayValue(msgspec.Struct):
    values: list[AnyValue] | None = None


class KeyValue(msgspec.Struct):
    key: str = ""
    value: AnyValue | None = None


class KeyValueList(msgspec.Struct):
    values: list[KeyValue] | None = None


Attributes = list[KeyValue] | None


class Event(msgspec.Struct, rename="camel"):
    time_unix_nano: Integer | None = None
    name: str | None = None
    attributes: Attributes = None


class Status(msgspec.Struct):
    code: int | None = None


class Span(msgspec.Struct, rename="camel"):
    trace_id: str | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    name: str | None = None
    start_time_unix_nano: Integer | None = None
    end_time_unix_nano: Integer | None = None
    attributes: Attributes = None
    events: list[Event] | None = None
    status: Status | None = None


class LogRecord(msgspec.Struct, rename="camel"):
    time_unix_nano: Integer | None = None
    observed_time_unix_nano: Integer | None = None
    body: AnyValue | None = None
    attributes: Attributes = None
    trace_id: str | None = None
    span_id: str | None = None
    event_name: str | None = None


class DataPoint(msgspec.Struct, rename="camel"):
    """Of every kind of metric."""

    attributes: Attributes = None
    start_time_unix_nano: Integer | None = None
    time_unix_nano: Integer | None = None
    flags: int | None = None
    as_int: Integer | None = None
    as_double: Number | None = None
    count: Integer | None = None
    sum: Number | None = None
    bucket_counts: list[Integer] | None = None
    explicit_bounds: list[Number] | None = None


class Data(msgspec.Struct, rename="camel"):
    data_points: list[DataPoint] | None = None
    aggregation_temporality: int | None = None
    is_monotonic: bool | None = None


class Metric(msgspec.Struct, rename="camel"):
    name: str | None = None
    unit: str | None = None
    gauge: Data | None = None
    sum: Data | None = None
    histogram: Data | None = None
    exponential_histogram: Data | None = None
    summary: Data | None = None


class Resource(msgspec.Struct):
    attributes: Attributes = None


class Scope(msgspec.Struct):
    name: str | None = None
    version: Any = None
    """text, or something that no request is refused for"""


Item = TypeVar("Item")


class ScopeSpans(msgspec.Struct, Generic[Item]):
    scope: Scope | None = None
    spans: list[Item] | None = None


class ResourceSpans(msgspec.Struct, Generic[Item], rename="camel"):
    resource: Resource | None = None
    scope_spans: list[ScopeSpans[Item]] | None = None


class Traces(msgspec.Struct, Generic[Item], rename="camel"):
    resource_spans: list[ResourceSpans[Item]] | None = None


class ScopeLogs(msgspec.Struct, Generic[Item], rename="camel"):
    scope: Scope | None = None
    log_records: list[Item] | None = None


class ResourceLogs(msgspec.Struct, Generic[Item], rename="camel"):
    resource: Resource | None = None
    scope_logs: list[ScopeLogs[Item]] | None = None


class Logs(msgspec.Struct, Generic[Item], rename="camel"):
    resource_logs: list[ResourceLogs[Item]] | None = None


class ScopeMetrics(msgspec.Struct, Generic[Item]):
    scope: Scope | None = None
    metrics: list[Item] | None = None


class ResourceMetrics(msgspec.Struct, Generic[Item], rename="camel"):
    resource: Resource | None = None
    scope_metrics: list[ScopeMetrics[Item]] | None = None


class Metrics(msgspec.Struct, Generic[Item], rename="camel"):
    resource_metrics: list[ResourceMetrics[Item]] | None = None
