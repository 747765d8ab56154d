"""Our points and findings as the SDK's records, ready to be encoded. Pure; names and units are OpenTelemetry's."""

import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Final

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.metrics import Exemplar as SdkExemplar
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.metrics.export import Metric as SdkMetric
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from watchkeeper import __version__
from watchkeeper.core.metric import Kind, Metric
from watchkeeper.core.records import Exemplar, Finding, HistogramValue, Labels, Point, Severity

FINDING: Final = "watchkeeper.finding"
SCOPE: Final = InstrumentationScope("watchkeeper", __version__)
_CUMULATIVE: Final = AggregationTemporality.CUMULATIVE
_SEVERITIES: Final[Mapping[Severity, SeverityNumber]] = {
    Severity.INFO: SeverityNumber.INFO,
    Severity.WARNING: SeverityNumber.WARN,
    Severity.CRITICAL: SeverityNumber.FATAL,
}


def nanoseconds(at: float) -> int:
    """Unix seconds to unix nanoseconds."""
    return int(at * 1e9)


def metrics_data(series: Iterable[tuple[Point, float]], at: float, resource: Resource) -> MetricsData:
    """
    Everything held, as it stands `at` unix seconds.

    :param series: points, each with the unix seconds at which its total began
    """
    in_time = [(point, min(since, at)) for point, since in series]  # a clock set back must not make it end before
    by_name = sorted(in_time, key=lambda pair: pair[0].metric.name)
    groups = groupby(by_name, key=lambda pair: pair[0].metric)
    metrics = [_metric(metric, tuple(members), nanoseconds(at)) for metric, members in groups]
    return MetricsData([ResourceMetrics(resource, [ScopeMetrics(SCOPE, metrics, "")], "")])


def log_record(finding: Finding, observed_at: float, resource: Resource) -> ReadableLogRecord:
    record = LogRecord(
        timestamp=nanoseconds(finding.at),
        observed_timestamp=nanoseconds(observed_at),
        severity_text=finding.severity.upper(),
        severity_number=_SEVERITIES[finding.severity],
        body=finding.summary,
        event_name=FINDING,
        attributes={
            f"{FINDING}.subject": finding.subject,
            f"{FINDING}.since": finding.since,
            f"{FINDING}.resolved": finding.resolved,
            f"{FINDING}.name": finding.name,
            f"{FINDING}.action": finding.action,
            f"{FINDING}.runbook": finding.runbook,
            f"{FINDING}.evidence": finding.evidence,
            f"{FINDING}.causes": tuple(cause.summary for cause in finding.causes),
            f"{FINDING}.cause_scores": tuple(cause.score for cause in finding.causes),
            f"{FINDING}.cause_evidence": tuple("; ".join(cause.moved) for cause in finding.causes),
            f"{FINDING}.cause_actions": tuple(cause.action for cause in finding.causes),
            **_attributes(finding.labels),
        },
    )
    return ReadableLogRecord(record, resource, SCOPE)


def _metric(metric: Metric, series: tuple[tuple[Point, float], ...], at_nano: int) -> SdkMetric:
    data: Gauge | Sum | Histogram
    if metric.kind is Kind.HISTOGRAM:
        data = Histogram(list(_histograms(series, at_nano)), _CUMULATIVE)
    elif metric.kind is Kind.COUNTER:
        data = Sum(list(_numbers(series, at_nano)), _CUMULATIVE, is_monotonic=True)
    else:
        data = Gauge(list(_numbers(series, at_nano)))
    return SdkMetric(metric.name, metric.help, metric.unit, data)


def _numbers(series: Iterable[tuple[Point, float]], at_nano: int) -> Iterator[NumberDataPoint]:
    for point, since in series:
        if not isinstance(point.value, HistogramValue):
            yield NumberDataPoint(_attributes(point.labels), nanoseconds(since), at_nano, float(point.value))


def _histograms(series: Iterable[tuple[Point, float]], at_nano: int) -> Iterator[HistogramDataPoint]:
    """OTLP counts are whole numbers >= 0; a histogram that has others is left out."""
    for point, since in series:
        value = point.value
        if not isinstance(value, HistogramValue) or not all(0 <= count < math.inf for count in value.counts):
            continue
        counts = [round(count) for count in value.counts]
        yield HistogramDataPoint(
            attributes=_attributes(point.labels),
            start_time_unix_nano=nanoseconds(since),
            time_unix_nano=at_nano,
            count=sum(counts),
            sum=value.sum,
            bucket_counts=counts,
            explicit_bounds=value.bounds,
            min=None,  # type: ignore[arg-type]  # optional in OTLP and in the encoder; the annotation forgot
            max=None,  # type: ignore[arg-type]
            exemplars=[_exemplar(exemplar) for exemplar in value.exemplars if exemplar and exemplar.trace_id],
        )


def _attributes(labels: Labels) -> dict[str, str]:
    return {name: value for name, value in labels if value}


def _exemplar(exemplar: Exemplar) -> SdkExemplar:
    return SdkExemplar(
        filtered_attributes={},
        value=float(exemplar.value),
        time_unix_nano=nanoseconds(exemplar.at),
        span_id=int.from_bytes(exemplar.span_id, "big"),
        trace_id=int.from_bytes(exemplar.trace_id, "big"),
    )
