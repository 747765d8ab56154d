"""The spans of one trace: which is whose child, and which of them belong to the same call."""

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Final

import msgspec

from collector.otlp.one_call import Call, Lone, Tellers
from watchkeeper.core.records import Completion, Vantage

MAX_CANDIDATES: Final = 1024
"""the newest spans of a trace, among which a call that belongs to another by its time is looked for"""
MAX_TWINS: Final = 128
"""the same for two instrumentations of one program, whose spans come close together"""
SLICE: Final = 16
"""where room must be made, one part in so many is forgotten at a time"""
_MAX_DEPTH: Final = 64
_COVERED_SLACK: Final = 1024

Parents = Mapping[bytes, bytes]
"""of spans that are nothing of GenAI"""


class Span(msgspec.Struct, gc=False, eq=False):
    parent_id: bytes
    call: Call | None
    signals: int


class Trace(msgspec.Struct, gc=False, eq=False):
    touched_at: float
    spans: dict[bytes, Span]
    covered: dict[bytes, Call]
    """spans, arrived or not, that have a call below them"""
    has_clients: bool
    has_engines: bool
    """who told of its calls"""
    tellers: Tellers = ()

    def cover(self, span_id: bytes, call: Call, links: Parents) -> None:
        """Everything above a call, as far up as the chain is known."""
        for _ in range(_MAX_DEPTH):
            if not span_id or span_id in self.covered:
                return
            if len(self.covered) >= 2 * len(self.spans) + _COVERED_SLACK:
                for old in tuple(islice(self.covered, max(1, len(self.covered) // SLICE))):
                    del self.covered[old]
            self.covered[span_id] = call
            span = self.spans.get(span_id)
            span_id = span.parent_id if span is not None else links.get(span_id, b"")

    def call_of(
        self, seen: Completion, parent_id: bytes, start: float, links: Parents, teller: Tellers = ()
    ) -> Call | None:
        """The call that a span which is new here tells of again; None: it is one of its own."""
        below = self.covered.get(seen.span_id)
        if below is not None:
            return below
        above_id, above = self._call_above(parent_id, links) if parent_id else (b"", None)
        if above is not None and above_id not in self.covered:
            return above
        if not start or not self.spans:
            return None
        partner = None
        if above is None:  # else it has another call below it
            partner = self._partner(start, start + (seen.duration_seconds or 0.0), seen.vantage is Vantage.ENGINE)
        return partner or (self._twin(seen, start, teller) if teller != self.tellers else None)

    def _call_above(self, span_id: bytes, links: Parents) -> tuple[bytes, Call | None]:
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

    def _partner(self, start: float, end: float, engine: bool) -> Call | None:
        """
        The one call of this trace that this observation completes by its time: an engine's span lies within its
        client's. None when there is none, or a choice.
        """
        if not (self.has_clients if engine else self.has_engines):
            return None
        found = None
        for call in self._newest(MAX_CANDIDATES):
            if engine:
                fits = call.client and not call.engine and call.holds(start, end)
            else:
                fits = call.engine and not call.client and call.lies_within(start, end)
            if fits and found is not None:
                return None
            if fits:
                found = call
        return found

    def _twin(self, seen: Completion, start: float, teller: Tellers) -> Call | None:
        """
        The call that another instrumentation told of by a span that is neither above this one nor below it. Several
        that fit are told apart by the id of the answer; without one any will do, each takes only one of a kind.
        """
        if seen.vantage is Vantage.ENGINE or not teller or set(self.tellers[1:]) <= set(teller[1:]):
            return None
        found = None
        for call in self._newest(MAX_TWINS):
            if call.is_twin(seen, start, teller):
                if call.response_id and call.response_id == seen.response_id:
                    return call
                found = found or call
        return found

    def _newest(self, spans: int) -> Iterable[Call]:
        """The calls of so many of the newest spans, each once."""
        newest = islice(reversed(self.spans.values()), spans)
        return dict.fromkeys(span.call for span in newest if span.call is not None)


def grown(lone: Lone, links: Parents) -> Trace:
    """A trace of which more than this one span is known."""
    call = lone if isinstance(lone, Call) else None
    spans = {lone.span_id: Span(lone.parent_id, call, lone.signals)}
    if call is None:
        return Trace(lone.touched_at, spans, {}, False, False)
    trace = Trace(lone.touched_at, spans, {}, call.client, call.engine, call.tellers)
    trace.cover(lone.parent_id, call, links)
    return trace


def one_more(span_id: bytes, parent_id: bytes, call: Call, signal: int, now: float) -> Trace:
    """A trace whose only known span tells of a call of another trace."""
    trace = Trace(now, {span_id: Span(parent_id, call, signal)}, {}, call.client, call.engine, call.tellers)
    trace.cover(parent_id, call, {})
    return trace


def length(trace: Trace | Lone) -> int:
    """Its spans."""
    return len(trace.spans) if isinstance(trace, Trace) else 1
