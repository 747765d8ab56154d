"""
One call counted once, however many spans and log records report it.

A bounded memory of recent traces. Nothing is held back: what comes first is counted, what comes later only adds.
"""

from collections import OrderedDict
from collections.abc import Iterator
from itertools import chain, islice, takewhile
from typing import Final

from collector.otlp.links import Links
from collector.otlp.one_call import ALONE, SLACK_SECONDS, Call, Lone, Tellers, call_of, told_by
from collector.otlp.one_trace import SLICE, Span, Trace, grown, length, one_more
from collector.otlp.senders import Sender
from watchkeeper.core.records import Completion, Vantage

MAX_TRACES: Final = 40_000
"""the newest are kept, and at least half as many"""
MAX_SPANS: Final = 60_000
MAX_AGE_SECONDS: Final = 120.0
MAX_RESPONSES: Final = 8192
MAX_SENDERS: Final = 4096
_MAX_CALLS_PER_RESPONSE: Final = 8

_ENGINE: Final = Vantage.ENGINE

SPAN: Final = 1
LOG: Final = 2

_Traces = dict[bytes, Trace | Lone]
"""by trace id, the one touched last at the end"""


_Key = str | tuple[str, int]
"""the id of an answer, or who asked and the tokens of the question"""


def _keys(told: Completion | Call) -> tuple[_Key, ...]:
    service = told.service if isinstance(told, Completion) else "".join(told.tellers[:1])
    tokens: tuple[_Key, ...] = ((service, told.input_tokens),) if told.input_tokens else ()
    return (told.response_id, *tokens) if told.response_id else tokens


def _again(known: Span | Call, call: Call, seen: Completion, start: float, signal: int) -> bool:
    """The same span once more: whether by the same signal."""
    repeated = bool(known.signals & signal)
    known.signals |= signal
    if signal == SPAN and start:
        call.start, call.seconds = start, seen.duration_seconds
    return repeated


class Calls:
    """
    Not thread-safe. Bounded in traces, spans, and age.

    A trace is forgotten when nothing of it has come for MAX_AGE_SECONDS, at the earliest after three quarters of them.
    Before that only for lack of room: when at least half of MAX_TRACES others came after it, or when there are
    MAX_SPANS spans and it is among the oldest sixteenth of the traces.
    """

    def __init__(self) -> None:
        # Two halves, of which the older is let go as a whole: one by one costs as much as the rest of judging a call.
        self._newer: _Traces = {}
        self._older: _Traces = {}
        self._links = Links()
        self._responses: OrderedDict[_Key, list[Call]] = OrderedDict()
        self._spans = 0
        self._older_spans = 0
        self._forgotten = 0
        self._answered_by_logs = False
        """whether a log record without ids has ever come: from then on calls are found by the id of their answer"""
        self._tellers: dict[Sender, Tellers] = {}
        self._beside_others: set[Tellers] = set()
        """instrumentations of senders that have several: their calls are found by what their answer says, too"""

    def __len__(self) -> int:
        """Spans held."""
        return self._spans + len(self._links)

    def forgotten(self) -> int:
        """Spans forgotten before their time since this was asked last: sent again, they count again."""
        forgotten, self._forgotten = self._forgotten, 0
        return forgotten

    def heard(self, sender: Sender, teller: Tellers) -> None:
        """An instrumentation whose calls are about to be judged."""
        first = self._tellers.get(sender)
        if first is None:
            if len(self._tellers) >= MAX_SENDERS:
                self._tellers.clear()
            self._tellers[sender] = teller
        elif first != teller and not self._beside_others.issuperset((first, teller)):
            if not self._by_answer:
                self._index_all()
            if len(self._beside_others) < MAX_SENDERS:
                self._beside_others |= {first, teller}

    def forget_old(self, now: float) -> None:
        """Drop traces not touched for MAX_AGE_SECONDS."""
        self._links.forget_old(now, MAX_AGE_SECONDS)
        self._forget_aged(self._older, now)
        self._forget_aged(self._newer, now)

    def link(self, trace_id: bytes, span_id: bytes, parent_id: bytes, now: float) -> bool:
        """A span that is nothing of GenAI but may lie between two model calls. False: it was seen before."""
        known = self._newer.get(trace_id) or self._older.get(trace_id)
        if known is not None:
            if (span_id in known.spans) if isinstance(known, Trace) else (known.span_id == span_id):
                return False
            self._touch(trace_id, now)
        if not self._links.add(trace_id, span_id, parent_id, now):
            return False
        if isinstance(known, Trace):
            call = known.covered.get(span_id)
            if call is not None:
                known.cover(parent_id, call, self._links.of(trace_id))
        return True

    def operation(self, trace_id: bytes, span_id: bytes, parent_id: bytes, now: float) -> bool:
        """A span of GenAI that is not a model call but may lie between two. False: it was seen before."""
        trace = self._touch(trace_id, now)
        if trace is None:
            self._put(trace_id, Lone(now, span_id, parent_id, SPAN), now)
            return True
        trace = self._grow(trace_id, trace)
        if span_id in trace.spans:
            return False
        call = trace.covered.get(span_id)
        if call is not None:
            trace.cover(parent_id, call, self._links.of(trace_id))
        self._insert(trace_id, trace, span_id, Span(parent_id, None, SPAN), now)
        return True

    def judge(
        self, seen: Completion, parent_id: bytes, start: float, signal: int, now: float, teller: Tellers = ()
    ) -> tuple[Call, bool, bool]:
        """
        The call that this observation belongs to, whether it is a new one, and whether this very observation was
        seen before.

        :param start: unix seconds, 0 = not known; its end is `seen.at`
        :param signal: SPAN or LOG
        :param teller: service and instrumentation
        """
        trace_id = seen.trace_id
        if (
            trace_id in self._newer
            or trace_id in self._older
            or self._answered_by_logs
            or teller in self._beside_others
        ):
            return self._compared(seen, parent_id, start, signal, now, teller)
        call = call_of(seen, parent_id, start, signal, now, teller)
        if 2 * len(self._newer) >= MAX_TRACES or self._spans >= MAX_SPANS:
            self._make_room(now)
        self._newer[trace_id] = call  # as `_put`, without the cost of one more function: this is the hot path
        self._spans += 1
        return call, True, False

    def find(self, trace_id: bytes, span_id: bytes) -> Call | None:
        """The call of a span seen before."""
        trace = self._newer.get(trace_id) or self._older.get(trace_id)
        if isinstance(trace, Trace):
            span = trace.spans.get(span_id)
            return span.call if span else None
        return trace if isinstance(trace, Call) and trace.span_id == span_id else None

    def by_response(self, response_id: str, at: float) -> Call | None:
        """The call that gave this answer at about this time (unix seconds)."""
        if not self._answered_by_logs:
            if not self._by_answer:
                self._index_all()
            self._answered_by_logs = True
        timed = [call for call in self._responses.get(response_id, ()) if not call.logged and call.holds(at, at)]
        within = [call for call in timed if call.start <= at <= call.end]
        return next(iter(within or timed), None)

    def count_without_ids(self, seen: Completion) -> Call:
        """A call that only a log record without ids has told of so far; `seen.at` is when it was written."""
        call = call_of(seen, b"", 0.0, LOG, seen.at)
        call.logged = True
        self._index(call)
        return call

    def _compared(
        self, seen: Completion, parent_id: bytes, start: float, signal: int, now: float, teller: Tellers
    ) -> tuple[Call, bool, bool]:
        """As `judge`, beside what is known already."""
        known = self._touch(seen.trace_id, now)
        if isinstance(known, Call) and known.span_id == seen.span_id:
            known.parent_id = known.parent_id or parent_id
            return known, False, _again(known, known, seen, start, signal)
        call = self._untimed(seen, start) if self._answered_by_logs and start else None
        new = call is None
        if known is None:
            if call is not None:
                call.touched_at, call.span_id, call.parent_id, call.signals = now, seen.span_id, parent_id, signal
                self._put(seen.trace_id, call, now)
            elif (call := self._elsewhere(seen, start, teller)) is not None:
                new = False
                self._put(seen.trace_id, one_more(seen.span_id, parent_id, call, signal, now), now)
            else:
                call = call_of(seen, parent_id, start, signal, now, teller)
                self._put(seen.trace_id, call, now)
        else:
            trace, links = self._grow(seen.trace_id, known), self._links.of(seen.trace_id)
            span = trace.spans.get(seen.span_id)
            if span is not None and span.call is not None:
                if parent_id and not span.parent_id:
                    span.parent_id = parent_id
                    trace.cover(parent_id, span.call, links)
                return span.call, False, _again(span, span.call, seen, start, signal)
            call = call or trace.call_of(seen, parent_id, start, links, teller)
            if call is None and len(trace.tellers) <= ALONE:
                call = self._elsewhere(seen, start, teller)
            new = call is None
            if call is None:
                call = call_of(seen, parent_id, start, signal, now, teller)
            if span is None:
                self._insert(seen.trace_id, trace, seen.span_id, Span(parent_id, call, signal), now)
            else:  # it was taken for something else before
                span.call = call
                span.signals |= signal
            trace.cover(parent_id, call, links)
            if teller != trace.tellers and not set(teller) <= set(trace.tellers):
                trace.tellers = told_by(trace.tellers, teller)
            if seen.vantage is _ENGINE:
                trace.has_engines = True
            else:
                trace.has_clients = True
        if not new:
            call.join(seen, start, teller)
        if self._by_answer:
            self._index(call)
        return call, new, False

    @property
    def _by_answer(self) -> bool:
        return self._answered_by_logs or bool(self._beside_others)

    def _elsewhere(self, seen: Completion, start: float, teller: Tellers) -> Call | None:
        """The call that another instrumentation of the same program told of in a trace of its own."""
        if not start or teller not in self._beside_others:
            return None
        told = chain(*(self._responses.get(key, ()) for key in _keys(seen)))
        return next((call for call in told if call.is_twin(seen, start, teller)), None)

    def _untimed(self, seen: Completion, start: float) -> Call | None:
        """The call that a log record without ids has counted already and that happened in this interval."""
        end = start + (seen.duration_seconds or 0.0)
        for call in self._responses.get(seen.response_id, ()):
            # such a call has no trace yet: it was touched when it was written
            if call.logged and not call.start and start <= call.touched_at <= end + SLACK_SECONDS:
                return call
        return None

    def _index_all(self) -> None:
        for call in self._all():
            self._index(call)

    def _index(self, call: Call) -> None:
        """Let it be found by what its answer says. Few senders need it: done once one has shown that it does."""
        for key in _keys(call):
            held = self._responses.get(key)
            if held is None:
                if len(self._responses) >= MAX_RESPONSES:
                    self._responses.popitem(last=False)
                self._responses[key] = [call]
            elif call not in held:
                held.append(call)
                if len(held) > _MAX_CALLS_PER_RESPONSE:
                    del held[0]

    def _all(self) -> Iterator[Call]:
        for trace in chain(self._older.values(), self._newer.values()):
            if isinstance(trace, Call):
                yield trace
            elif isinstance(trace, Trace):
                yield from (span.call for span in trace.spans.values() if span.call is not None)

    def _touch(self, trace_id: bytes, now: float) -> Trace | Lone | None:
        """What is known of it, from now on among the newer; None: nothing."""
        trace = self._newer.get(trace_id)
        if trace is None:
            if trace_id not in self._older:
                return None
            trace = self._take(self._older, trace_id)
            self._put(trace_id, trace, now)
        elif now - trace.touched_at > MAX_AGE_SECONDS / 4:
            self._newer[trace_id] = self._newer.pop(trace_id)
        else:
            return trace
        trace.touched_at = now
        return trace

    def _grow(self, trace_id: bytes, trace: Trace | Lone) -> Trace:
        """Ready for a second span."""
        if isinstance(trace, Lone):
            trace = self._newer[trace_id] = grown(trace, self._links.of(trace_id))
        return trace

    def _insert(self, trace_id: bytes, trace: Trace, span_id: bytes, span: Span, now: float) -> None:
        """The oldest of the other traces make room; a trace alone makes room for itself, its oldest spans first."""
        if self._spans >= MAX_SPANS:
            trace.touched_at = now
            self._newer[trace_id] = self._newer.pop(trace_id)
            others = len(self._newer) + len(self._older) - 1
            if others:
                self._forget_oldest(others, now)
            else:
                self._forget_part(trace)
        trace.spans[span_id] = span
        self._spans += 1

    def _put(self, trace_id: bytes, trace: Trace | Lone, now: float) -> None:
        if 2 * len(self._newer) >= MAX_TRACES or self._spans >= MAX_SPANS:
            self._make_room(now)
        self._newer[trace_id] = trace
        self._spans += length(trace)

    def _take(self, traces: _Traces, trace_id: bytes) -> Trace | Lone:
        trace = traces.pop(trace_id)
        self._spans -= length(trace)
        if traces is self._older:
            self._older_spans -= length(trace)
        return trace

    def _forget_aged(self, traces: _Traces, now: float) -> None:
        aged = takewhile(lambda item: now - item[1].touched_at > MAX_AGE_SECONDS, traces.items())
        for trace_id, _ in tuple(aged):
            self._take(traces, trace_id)

    def _make_room(self, now: float) -> None:
        """For one more trace."""
        if self._spans >= MAX_SPANS:
            self._forget_oldest(len(self._newer) + len(self._older), now)
        if 2 * len(self._newer) >= MAX_TRACES:
            self._forget_older(now)

    def _forget_older(self, now: float) -> None:
        """The older half; the newer one is the older from now on."""
        self._forget_aged(self._older, now)
        self._forgotten += self._older_spans
        self._spans -= self._older_spans
        self._older, self._newer = self._newer, {}
        self._older_spans = self._spans

    def _forget_oldest(self, of_traces: int, now: float) -> None:
        """One part of so many, the oldest first."""
        part = max(1, of_traces // SLICE)
        for traces in (self._older, self._newer):
            for trace_id in tuple(islice(traces, part)):
                trace = self._take(traces, trace_id)
                if now - trace.touched_at <= MAX_AGE_SECONDS:
                    self._forgotten += length(trace)
                part -= 1

    def _forget_part(self, trace: Trace) -> None:
        for span_id in tuple(islice(trace.spans, max(1, len(trace.spans) // SLICE))):
            del trace.spans[span_id]
            self._spans -= 1
            self._forgotten += 1
