"""
Pushed GenAI metrics to samples of the canonical ones, where no span or log record told of the same calls.

A new metric is a row in METRICS.
"""

from typing import Final, NamedTuple

from collector.otlp import ksana, ksana_table, refusals
from collector.otlp.attributes import Attributes
from collector.otlp.observed import Observed
from collector.otlp.origins import CLIENT_SCOPES, Origin
from collector.otlp.points import MetricItem, Point, Reader
from collector.otlp.senders import Senders
from collector.otlp.series import Increment
from collector.otlp.spans import labels_of, ordered, when
from collector.otlp.tally import Tally
from watchkeeper.core.metric import Kind, Metric
from watchkeeper.core.records import Distribution, Gap, Sample, Vantage
from watchkeeper.core.vocabulary import operations, requests


class Row(NamedTuple):
    metric: Metric
    token_type: str = ""
    """where the name of the metric says it, not an attribute"""
    always: bool = False
    """nothing that a span carries tells the same"""


METRICS: Final = {
    "gen_ai.client.operation.duration": Row(requests.CLIENT_DURATION),
    "gen_ai.client.inference.duration": Row(requests.CLIENT_DURATION),
    "gen_ai.client.operation.time_to_first_chunk": Row(requests.CLIENT_FIRST_CHUNK),
    "gen_ai.client.inference.time_to_first_chunk": Row(requests.CLIENT_FIRST_CHUNK),
    "gen_ai.client.operation.time_per_output_chunk": Row(requests.CLIENT_PER_CHUNK, always=True),
    "gen_ai.client.inference.time_per_output_chunk": Row(requests.CLIENT_PER_CHUNK, always=True),
    "gen_ai.client.token.usage": Row(requests.CLIENT_TOKEN_USAGE),
    "gen_ai.client.inference.operation.input_tokens": Row(requests.CLIENT_TOKEN_USAGE, "input"),
    "gen_ai.client.inference.operation.output_tokens": Row(requests.CLIENT_TOKEN_USAGE, "output"),
    "gen_ai.client.inference.usage.input_tokens": Row(requests.TOKENS, "input"),
    "gen_ai.client.inference.usage.output_tokens": Row(requests.TOKENS, "output"),
    "gen_ai.client.inference.usage.cache_read.input_tokens": Row(requests.TOKENS, "cache_read"),
    "gen_ai.client.inference.usage.cache_write.input_tokens": Row(requests.TOKENS, "cache_write"),
    "gen_ai.client.inference.usage.reasoning.output_tokens": Row(requests.TOKENS, "reasoning"),
    "gen_ai.server.request.duration": Row(requests.SERVER_DURATION),
    "gen_ai.server.time_to_first_token": Row(requests.SERVER_FIRST_TOKEN),
    "gen_ai.server.time_per_output_token": Row(requests.SERVER_PER_TOKEN),
    "gen_ai.invoke_agent.duration": Row(operations.AGENT_DURATION),
    "gen_ai.invoke_workflow.duration": Row(operations.WORKFLOW_DURATION),
    "gen_ai.workflow.duration": Row(operations.WORKFLOW_DURATION),
    "gen_ai.execute_tool.duration": Row(operations.TOOL_DURATION),
}

_SECONDS: Final = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9, "min": 60.0}
_DEFAULT_BOUNDS: Final = (
    0.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1000.0, 2500.0, 5000.0, 7500.0, 10000.0,
)  # fmt: skip
"""OpenTelemetry's own, made for milliseconds: in seconds they put every call into the second bucket"""
_OWN_SCOPE: Final = "watchkeeper"
"""scope of what a watchkeeper's own exporter pushes; taking it in again would count everything twice"""


def wanted(name: str, origin: Origin) -> bool:
    """Whether a metric of this name says something to us."""
    return ksana.wanted(name) if origin.scope == ksana_table.SCOPE else name in METRICS


class Metrics:
    """Not thread-safe."""

    def __init__(self, senders: Senders, attributes: Attributes, started_at: float) -> None:
        """:param started_at: unix seconds"""
        self._senders = senders
        self._attributes = attributes
        self._reader = Reader(started_at)
        self._ksana = ksana.Ksana(self._reader, attributes)

    def take(self, item: MetricItem, origin: Origin, tally: Tally, now: float) -> None:
        if origin.scope == _OWN_SCOPE:
            tally.ignored[refusals.OWN_METRICS] += sum(1 for _ in item.points)
        elif origin.scope == ksana_table.SCOPE:
            self._ksana.take(item, origin, tally, now)
        else:
            self._take(item, origin, tally, now)

    def silent(self, now: float) -> tuple[Gap, ...]:
        """Gauges of engines that have stopped pushing."""
        return self._ksana.silent(now)

    def _take(self, item: MetricItem, origin: Origin, tally: Tally, now: float) -> None:
        row = METRICS[item.name]
        scale = _scale(row.metric, item.unit)
        sender = origin.sender
        suppressed = not row.always and self._senders.reports_calls(sender, now)
        known = row.always or self._senders.reports_none(sender, now)
        for point, increment in self._reader.fresh(item, origin, (row.metric.kind,), scale, tally, zeros=False):
            if suppressed:
                tally.ignored[refusals.SAME_CALL] += 1
                continue
            sample = self._sample(row, item, point, increment, origin, now)
            if known:
                tally.samples.append(sample)
            else:
                tally.held.append((sender, sample))

    def _sample(
        self, row: Row, item: MetricItem, point: Point, increment: Increment, origin: Origin, now: float
    ) -> Sample:
        found = self._attributes.pairs(point.attributes.items())
        seen = Observed(b"", b"", b"", "", 0, 0, 0, found)
        labels = labels_of(seen, found.get("operation", ""), origin)
        labels["gen_ai.agent.name"] = found.get("agent", "")
        labels["gen_ai.tool.name"] = found.get("tool", "")
        labels["gen_ai.workflow.name"] = found.get("workflow", "")
        labels[requests.ERROR_TYPE] = found.get("error_type", "")
        labels[requests.TOKEN_TYPE] = row.token_type or str(point.attributes.get(requests.TOKEN_TYPE) or "")
        by_client = item.name.startswith("gen_ai.client.") or origin.scope.startswith(CLIENT_SCOPES)
        labels[requests.VANTAGE] = (Vantage.CLIENT if by_client else Vantage.ENGINE).value
        value = increment.total if row.metric.kind is Kind.COUNTER else _distribution(row.metric, item.unit, increment)
        return Sample(row.metric, value, when(point.value.time_ns, now), ordered(row.metric, labels))


def _scale(metric: Metric, unit: str) -> float:
    """What a value in `unit` is multiplied by to be in the metric's."""
    return _SECONDS.get(unit, 1.0) if metric.unit == "s" else 1.0


def _distribution(metric: Metric, unit: str, increment: Increment) -> Distribution:
    """In the metric's unit."""
    scale = _scale(metric, unit)
    if metric.unit == "s" and scale == 1.0 and increment.bounds == _DEFAULT_BOUNDS:
        return Distribution((), (float(sum(increment.counts)),), increment.total)
    bounds = tuple(bound * scale for bound in increment.bounds)
    return Distribution(bounds, tuple(map(float, increment.counts)), increment.total * scale)
