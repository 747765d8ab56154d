"""
One call counted once, however many spans and log records report it.

A bounded memory of recent traces: which span is whose child, and which of them belong to the same call. Nothing is
held back: what comes first is counted, what comes later only adds.
"""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

import msgspec

from collector.otlp import facets
from watchkeeper.core.records import Completion, Vantage

MAX_TRACES: Final = 20_000
MAX_SPANS: Final = 60_000
MAX_SPANS_PER_TRACE: Final = 1024
MAX_AGE_SECONDS: Final = 120.0
MAX_RESPONSES: Final = 8192
_MAX_CALLS_PER_RESPONSE: Final = 8
_MAX_DEPTH: Final = 64
SLACK_SECONDS: Final = 1.0
"""how far apart the clocks of a client and its engine may be"""

_CLIENT: Final = Vantage.CLIENT

SPAN: Final = 1
LOG: Final = 2


class Call(msgspec.Struct, gc=False, eq=False):
    """One model call. `given` are the facets reported so far; times in unix seconds, 0 = not known."""

    given: int
    start: float
    end: float
    client: bool
    engine: bool
    request_model: str
    response_model: str
    response_id: str
    logged: bool = False
    """whether a log record without ids was found to be this call"""
    identity: Completion | None = None
    """kept while text may still come as log records of its own"""
    duration_seconds: float | None = None
    first_token_seconds: float | None = None
    """both as the client saw them"""
    output_tokens: int | None = None

    def holds(self, start: float, end: float) -> bool:
        """Whether the interval lies within the call's own, give or take the clocks."""
        return bool(self.start) and self.start - SLACK_SECONDS <= start and end <= self.end + SLACK_SECONDS

    def add(self, seen: Completion, bits: int) -> float | None:
        """
        Take note of the facets in `bits`, new with this observation. Seconds per output token after the first, when
        they complete what tells it: from this observer's own two times if it has both, else with the one known.
        """
        self.given |= bits
        if self.output_tokens is None:
            self.output_tokens = seen.output_tokens
        if seen.vantage is not _CLIENT:
            return None
        duration, first = seen.duration_seconds, seen.time_to_first_token_seconds
        if duration is None or first is None:
            duration = self.duration_seconds if duration is None else duration
            first = self.first_token_seconds if first is None else first
        self.duration_seconds, self.first_token_seconds = duration, first
        completed = bits & facets.CLIENT not in (0, facets.CLIENT) and not facets.CLIENT & ~self.given
        tokens = seen.output_tokens or self.output_tokens or 0
        if not completed or duration is None or first is None or tokens < 2 or duration < first:
            return None
        return (duration - first) / (tokens - 1)


def _call(seen: Completion, start: float) -> Call:
    client = seen.vantage is _CLIENT
    end = start + (seen.duration_seconds or 0.0) if start else 0.0
    return Call(
        facets.of(seen),
        start,
        end,
        client,
        not client,
        seen.request_model,
        seen.response_model,
        seen.response_id,
        duration_seconds=seen.duration_seconds if client else None,
        first_token_seconds=seen.time_to_first_token_seconds if client else None,
        output_tokens=seen.output_tokens,
    )


def _join(call: Call, seen: Completion, start: float) -> None:
    """Another observer of the same call."""
    if seen.vantage is _CLIENT:
        call.client = True
    else:
        call.engine = True
    if not call.start and start:
        call.start, call.end = start, start + (seen.duration_seconds or 0.0)


class _Span(msgspec.Struct, gc=False, eq=False):
    parent_id: bytes
    call: Call | None
    signals: int


class _Trace(msgspec.Struct, gc=False, eq=False):
    touched_at: float
    spans: dict[bytes, _Span]
    covered: dict[bytes, Call]
    """spans, arrived or not, that have a call below them"""

    def cover(self, span_id: bytes, call: Call) -> None:
        """Everything above a call, as far up as the chain is known."""
        for _ in range(_MAX_DEPTH):
            if not span_id or span_id in self.covered or len(self.covered) >= MAX_SPANS_PER_TRACE:
                return
            self.covered[span_id] = call
            span = self.spans.get(span_id)
            if span is None:
                return
            span_id = span.parent_id

    def calls_above(self, span_id: bytes) -> _Span | None:
        """The nearest span above that is a model call."""
        for _ in range(_MAX_DEPTH):
            span = self.spans.get(span_id)
            if span is None or span.call is not None:
                return span
            span_id = span.parent_id
        return None

    def partner(self, start: float, end: float, engine: bool) -> Call | None:
        """
        The one call of this trace that this observation completes by its time: an engine's span lies within its
        client's. None when there is none, or a choice.
        """
        found = None
        for call in {span.call for span in self.spans.values() if span.call is not None}:
            if engine:
                fits = call.client and not call.engine and call.holds(start, end)
            else:
                fits = call.engine and not call.client and _holds(start, end, call)
            if fits and found is not None:
                return None
            if fits:
                found = call
        return found


def _again(trace: _Trace, known: _Span, seen: Completion, parent_id: bytes, start: float, signal: int) -> bool:
    """The same span once more: whether by the same signal."""
    repeated = bool(known.signals & signal)
    known.signals |= signal
    if known.call is not None:
        if signal == SPAN and start:
            known.call.start, known.call.end = start, start + (seen.duration_seconds or 0.0)
        if not known.parent_id and parent_id:
            known.parent_id = parent_id
            trace.cover(parent_id, known.call)
    return repeated


def _holds(start: float, end: float, inner: Call) -> bool:
    return bool(inner.start) and start - SLACK_SECONDS <= inner.start and inner.end <= end + SLACK_SECONDS


class _Lone(msgspec.Struct, gc=False, eq=False):
    """A trace of which one span is known: most of them, so it is kept small."""

    touched_at: float
    span_id: bytes
    parent_id: bytes
    call: Call | None
    signals: int

    def grown(self) -> _Trace:
        trace = _Trace(self.touched_at, {self.span_id: _Span(self.parent_id, self.call, self.signals)}, {})
        if self.call is not None:
            trace.cover(self.parent_id, self.call)
        return trace


class Calls:
    """Not thread-safe. Bounded in traces, spans, and age."""

    def __init__(self) -> None:
        # The oldest go first all the time: a plain dict would have to look past the holes they leave.
        self._traces: OrderedDict[bytes, _Trace | _Lone] = OrderedDict()
        self._responses: OrderedDict[str, list[Call]] = OrderedDict()
        self._spans = 0
        self._answered_by_logs = False
        """whether a log record without ids has ever come: from then on calls are found by the id of their answer"""

    def __len__(self) -> int:
        """Spans held."""
        return self._spans

    def forget_old(self, now: float) -> None:
        """Drop traces not touched for MAX_AGE_SECONDS."""
        while self._traces:
            if now - next(iter(self._traces.values())).touched_at <= MAX_AGE_SECONDS:
                return
            self._forget_first()

    def link(self, trace_id: bytes, span_id: bytes, parent_id: bytes, now: float) -> bool:
        """A span that is not a model call but may lie between two. False: it was seen before."""
        trace = self._trace(trace_id, now)
        if trace is None:
            self._admit(trace_id, _Lone(now, span_id, parent_id, None, SPAN))
            return True
        if span_id in trace.spans:
            return False
        self._insert(trace, span_id, _Span(parent_id, None, SPAN))
        call = trace.covered.get(span_id)
        if call is not None:
            trace.cover(parent_id, call)
        return True

    def judge(
        self, seen: Completion, parent_id: bytes, start: float, signal: int, now: float
    ) -> tuple[Call, bool, bool]:
        """
        The call that this observation belongs to, whether it is a new one, and whether this very observation was
        seen before.

        :param start: unix seconds, 0 = not known; its end is `seen.at`
        :param signal: SPAN or LOG
        """
        same = self._untimed(seen, start) if self._answered_by_logs and start else None
        trace = self._trace(seen.trace_id, now)
        if trace is None:
            call, new = (same, False) if same else (_call(seen, start), True)
            self._admit(seen.trace_id, _Lone(now, seen.span_id, parent_id, call, signal))
        else:
            known = trace.spans.get(seen.span_id)
            if known is not None and known.call is not None:
                return known.call, False, _again(trace, known, seen, parent_id, start, signal)
            joined = same or self._same(trace, seen, parent_id, start)
            call, new = (joined, False) if joined else (_call(seen, start), True)
            if known is None:
                self._insert(trace, seen.span_id, _Span(parent_id, call, signal))
            else:  # it was taken for something else before
                known.call = call
                known.signals |= signal
            trace.cover(parent_id, call)
        if not new:
            _join(call, seen, start)
        if self._answered_by_logs:
            self._index(call)
        return call, new, False

    def find(self, trace_id: bytes, span_id: bytes) -> Call | None:
        """The call of a span seen before."""
        trace = self._traces.get(trace_id)
        if isinstance(trace, _Lone):
            return trace.call if trace.span_id == span_id else None
        span = trace.spans.get(span_id) if trace else None
        return span.call if span else None

    def by_response(self, response_id: str, at: float) -> Call | None:
        """The call that gave this answer at about this time (unix seconds)."""
        if not self._answered_by_logs:
            self._answered_by_logs = True
            for call in self._all():
                self._index(call)
        timed = [call for call in self._responses.get(response_id, ()) if not call.logged and call.holds(at, at)]
        within = [call for call in timed if call.start <= at <= call.end]
        return next(iter(within or timed), None)

    def count_without_ids(self, seen: Completion) -> Call:
        """A call that only a log record without ids has told of so far; `seen.at` is when it was written."""
        call = _call(seen, 0.0)
        call.end = seen.at
        call.logged = True
        self._index(call)
        return call

    def _untimed(self, seen: Completion, start: float) -> Call | None:
        """The call that a log record without ids has counted already and that happened in this interval."""
        end = start + (seen.duration_seconds or 0.0)
        for call in self._responses.get(seen.response_id, ()):
            if not call.start and start <= call.end <= end + SLACK_SECONDS:
                return call
        return None

    def _index(self, call: Call) -> None:
        """Let it be found by the id of its answer. Few senders need it: done once one has shown that it does."""
        if not call.response_id:
            return
        held = self._responses.get(call.response_id)
        if held is None:
            if len(self._responses) >= MAX_RESPONSES:
                self._responses.popitem(last=False)
            self._responses[call.response_id] = [call]
        elif call not in held:
            held.append(call)
            if len(held) > _MAX_CALLS_PER_RESPONSE:
                del held[0]

    def _all(self) -> Iterator[Call]:
        for trace in self._traces.values():
            for span in (trace,) if isinstance(trace, _Lone) else trace.spans.values():
                if span.call is not None:
                    yield span.call

    def _same(self, trace: _Trace, seen: Completion, parent_id: bytes, start: float) -> Call | None:
        below = trace.covered.get(seen.span_id)
        if below is not None:
            return below
        above = trace.calls_above(parent_id) if parent_id else None
        if above is not None:
            return None if self._has_other(trace, parent_id) else above.call
        if not start or not trace.spans:
            return None
        return trace.partner(start, start + (seen.duration_seconds or 0.0), seen.vantage is Vantage.ENGINE)

    @staticmethod
    def _has_other(trace: _Trace, span_id: bytes) -> bool:
        """Whether the nearest call above has a call below it already."""
        for _ in range(_MAX_DEPTH):
            span = trace.spans.get(span_id)
            if span is None:
                return False
            if span.call is not None:
                return span_id in trace.covered
            span_id = span.parent_id
        return False

    def _trace(self, trace_id: bytes, now: float) -> _Trace | None:
        """What is known of it, touched now; None: nothing."""
        trace = self._traces.get(trace_id)
        if trace is None:
            return None
        if now - trace.touched_at > MAX_AGE_SECONDS / 4:
            trace.touched_at = now
            self._traces.move_to_end(trace_id)
        if isinstance(trace, _Lone):
            trace = self._traces[trace_id] = trace.grown()
        return trace

    def _admit(self, trace_id: bytes, trace: _Lone) -> None:
        if len(self._traces) >= MAX_TRACES or self._spans >= MAX_SPANS:
            self._forget_first()
        self._traces[trace_id] = trace
        self._spans += 1

    def _insert(self, trace: _Trace, span_id: bytes, span: _Span) -> None:
        if len(trace.spans) >= MAX_SPANS_PER_TRACE:
            return
        trace.spans[span_id] = span
        self._spans += 1
        while self._spans > MAX_SPANS and len(self._traces) > 1:
            self._forget_first()

    def _forget_first(self) -> None:
        _, trace = self._traces.popitem(last=False)
        self._spans -= 1 if isinstance(trace, _Lone) else len(trace.spans)
