"""What watchkeeper did as the SDK's spans, ready to be encoded."""

from collections.abc import Iterable, Iterator
from typing import Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import SpanContext, Status, StatusCode, TraceFlags

from exporters.otlp.records import SCOPE, nanoseconds
from watchkeeper.core.steps import Step

_IDS: Final = RandomIdGenerator()
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)


def spans(steps: Iterable[Step], resource: Resource) -> Iterator[ReadableSpan]:
    """A trace for each step, a span for it and for everything within it."""
    for step in steps:
        yield from _spans(step, _IDS.generate_trace_id(), None, resource)


def _spans(step: Step, trace_id: int, parent: SpanContext | None, resource: Resource) -> Iterator[ReadableSpan]:
    context = SpanContext(trace_id, _IDS.generate_span_id(), is_remote=False, trace_flags=_SAMPLED)
    started = nanoseconds(step.started)
    failure = {"error.type": step.failure} if step.failure else {}
    yield ReadableSpan(
        step.name,
        context,
        parent,
        resource,
        attributes={**dict(step.attributes), **failure},
        status=Status(StatusCode.ERROR if step.failure else StatusCode.UNSET),
        start_time=started,
        end_time=started + nanoseconds(step.seconds),
        instrumentation_scope=SCOPE,
    )
    for inner in step.inner:
        yield from _spans(inner, trace_id, context, resource)
