"""
One call counted once, however many spans and log records report it.

A bounded memory of recent traces: which span is whose child, and which of them belong to the same call. Nothing is
held back: what comes first is counted, what comes later only adds.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Final

import msgspec

from collector.otlp import facets
from collector.otlp.links import Links
from watchkeeper.core.records import Completion, Vantage

MAX_TRACES: Final = 20_000
MAX_SPANS: Final = 60_000
MAX_CANDIDATES: Final = 1024
"""the newest spans of a trace, among which a call that belongs to another by its time is looked for"""
MAX_AGE_SECONDS: Final = 120.0
MAX_RESPONSES: Final = 8192
_MAX_CALLS_PER_RESPONSE: Final = 8
_MAX_DEPTH: Final = 64
_SLICE: Final = 16
"""of a trace that must make room for itself, one part in so many is forgotten at a time"""
_COVERED_SLACK: Final = 1024
SLACK_SECONDS: Final = 1.0
"""how far apart the clocks of a client and its engine may be"""

_CLIENT: Final = Vantage.CLIENT

_Parents = Mapping[bytes, bytes]
"""of spans that are nothing of GenAI"""

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
    return Call(  # by position: names cost more, and this is the hot path
        facets.of(seen),
        start,
        end,
        client,
        not client,
        seen.request_model,
        seen.response_model,
        seen.response_id,
        False,
        None,
        seen.duration_seconds if client else None,
        seen.time_to_first_token_seconds if client else None,
        seen.output_tokens,
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
    vantages: set[Vantage]
    """whose calls there are"""

    def cover(self, span_id: bytes, call: Call, links: _Parents) -> None:
        """Everything above a call, as far up as the chain is known."""
        for _ in range(_MAX_DEPTH):
            if not span_id or span_id in self.covered:
                return
            if len(self.covered) >= 2 * len(self.spans) + _COVERED_SLACK:
                for old in tuple(islice(self.covered, max(1, len(self.covered) // _SLICE))):
                    del self.covered[old]
            self.covered[span_id] = call
            span = self.spans.get(span_id)
            span_id = span.parent_id if span is not None else links.get(span_id, b"")

    def call_above(self, span_id: bytes, links: _Parents) -> tuple[bytes, Call | None]:
        """The nearest span above that is a model call."""
        for _ in range(_MAX_DEPTH):
            span = self.spans.get(span_id)
            if span is None:
                span_id = links.get(span_id, b"")
                if not span_id:
                    break
            elif span.call is not None:
                return span_id, span.call
            else:
                span_id = span.parent_id
        return b"", None

    def partner(self, start: float, end: float, engine: bool) -> Call | None:
        """
        The one call of this trace that this observation completes by its time: an engine's span lies within its
        client's. None when there is none, or a choice.
        """
        found = None
        if self.vantages <= {Vantage.ENGINE if engine else _CLIENT}:
            return None
        newest = islice(reversed(self.spans.values()), MAX_CANDIDATES)
        for call in {span.call for span in newest if span.call is not None}:
            if engine:
                fits = call.client and not call.engine and call.holds(start, end)
            else:
                fits = call.engine and not call.client and _holds(start, end, call)
            if fits and found is not None:
                return None
            if fits:
                found = call
        return found


def _again(
    trace: _Trace, known: _Span, seen: Completion, parent_id: bytes, start: float, signal: int, links: _Parents
) -> bool:
    """The same span once more: whether by the same signal."""
    repeated = bool(known.signals & signal)
    known.signals |= signal
    if known.call is not None:
        if signal == SPAN and start:
            known.call.start, known.call.end = start, start + (seen.duration_seconds or 0.0)
        if not known.parent_id and parent_id:
            known.parent_id = parent_id
            trace.cover(parent_id, known.call, links)
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

    def grown(self, links: _Parents) -> _Trace:
        trace = _Trace(self.touched_at, {self.span_id: _Span(self.parent_id, self.call, self.signals)}, {}, set())
        if self.call is not None:
            trace.vantages.add(_CLIENT if self.call.client else Vantage.ENGINE)
            trace.cover(self.parent_id, self.call, links)
        return trace


class Calls:
    """Not thread-safe. Bounded in traces, spans, and age."""

    def __init__(self) -> None:
        # The oldest go first all the time: a plain dict would have to look past the holes they leave.
        self._traces: OrderedDict[bytes, _Trace | _Lone] = OrderedDict()
        self._links = Links()
        self._responses: OrderedDict[str, list[Call]] = OrderedDict()
        self._spans = 0
        self._forgotten = 0
        self._answered_by_logs = False
        """whether a log record without ids has ever come: from then on calls are found by the id of their answer"""

    def __len__(self) -> int:
        """Spans held."""
        return self._spans + len(self._links)

    def forgotten(self) -> int:
        """Spans forgotten before their time since this was asked last: sent again, they count again."""
        forgotten, self._forgotten = self._forgotten, 0
        return forgotten

    def forget_old(self, now: float) -> None:
        """Drop traces not touched for MAX_AGE_SECONDS."""
        self._links.forget_old(now, MAX_AGE_SECONDS)
        while self._traces:
            if now - next(iter(self._traces.values())).touched_at <= MAX_AGE_SECONDS:
                return
            self._forget_first(now)

    def link(self, trace_id: bytes, span_id: bytes, parent_id: bytes, now: float) -> bool:
        """A span that is nothing of GenAI but may lie between two model calls. False: it was seen before."""
        known = self._traces.get(trace_id)
        if known is not None:
            if (known.span_id == span_id) if isinstance(known, _Lone) else (span_id in known.spans):
                return False
            self._touch(trace_id, known, now)
        if not self._links.add(trace_id, span_id, parent_id, now):
            return False
        if isinstance(known, _Trace):
            call = known.covered.get(span_id)
            if call is not None:
                known.cover(parent_id, call, self._links.of(trace_id))
        return True

    def operation(self, trace_id: bytes, span_id: bytes, parent_id: bytes, now: float) -> bool:
        """A span of GenAI that is not a model call but may lie between two. False: it was seen before."""
        trace = self._trace(trace_id, now)
        if trace is None:
            self._admit(trace_id, _Lone(now, span_id, parent_id, None, SPAN), now)
            return True
        if span_id in trace.spans:
            return False
        call = trace.covered.get(span_id)
        if call is not None:
            trace.cover(parent_id, call, self._links.of(trace_id))
        self._insert(trace_id, trace, span_id, _Span(parent_id, None, SPAN), now)
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
        trace = self._trace(seen.trace_id, now) if seen.trace_id in self._traces else None
        if trace is None:
            call, new = (same, False) if same else (_call(seen, start), True)
            self._admit(seen.trace_id, _Lone(now, seen.span_id, parent_id, call, signal), now)
        else:
            links = self._links.of(seen.trace_id)
            known = trace.spans.get(seen.span_id)
            if known is not None and known.call is not None:
                return known.call, False, _again(trace, known, seen, parent_id, start, signal, links)
            joined = same or self._same(trace, seen, parent_id, start, links)
            call, new = (joined, False) if joined else (_call(seen, start), True)
            if known is None:
                self._insert(seen.trace_id, trace, seen.span_id, _Span(parent_id, call, signal), now)
            else:  # it was taken for something else before
                known.call = call
                known.signals |= signal
            trace.vantages.add(seen.vantage)
            trace.cover(parent_id, call, links)
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

    def _same(self, trace: _Trace, seen: Completion, parent_id: bytes, start: float, links: _Parents) -> Call | None:
        below = trace.covered.get(seen.span_id)
        if below is not None:
            return below
        above_id, above = trace.call_above(parent_id, links) if parent_id else (b"", None)
        if above is not None:
            return None if above_id in trace.covered else above  # it has another call below it
        if not start or not trace.spans:
            return None
        return trace.partner(start, start + (seen.duration_seconds or 0.0), seen.vantage is Vantage.ENGINE)

    def _trace(self, trace_id: bytes, now: float) -> _Trace | None:
        """What is known of it, touched now; None: nothing."""
        trace = self._traces.get(trace_id)
        if trace is None:
            return None
        self._touch(trace_id, trace, now)
        if isinstance(trace, _Lone):
            trace = self._traces[trace_id] = trace.grown(self._links.of(trace_id))
        return trace

    def _touch(self, trace_id: bytes, trace: _Trace | _Lone, now: float) -> None:
        if now - trace.touched_at > MAX_AGE_SECONDS / 4:
            trace.touched_at = now
            self._traces.move_to_end(trace_id)

    def _admit(self, trace_id: bytes, trace: _Lone, now: float) -> None:
        while len(self._traces) >= MAX_TRACES or self._spans >= MAX_SPANS:
            self._forget_first(now)
        self._traces[trace_id] = trace
        self._spans += 1

    def _insert(self, trace_id: bytes, trace: _Trace, span_id: bytes, span: _Span, now: float) -> None:
        """The oldest of the other traces make room; a trace alone makes room for itself, its oldest spans first."""
        if self._spans >= MAX_SPANS:
            trace.touched_at = now
            self._traces.move_to_end(trace_id)
            if len(self._traces) > 1:
                self._forget_first(now)
            else:
                self._forget_part(trace)
        trace.spans[span_id] = span
        self._spans += 1

    def _forget_part(self, trace: _Trace) -> None:
        for span_id in tuple(islice(trace.spans, max(1, len(trace.spans) // _SLICE))):
            del trace.spans[span_id]
            self._spans -= 1
            self._forgotten += 1

    def _forget_first(self, now: float) -> None:
        _, trace = self._traces.popitem(last=False)
        spans = 1 if isinstance(trace, _Lone) else len(trace.spans)
        self._spans -= spans
        if now - trace.touched_at <= MAX_AGE_SECONDS:
            self._forgotten += spans
