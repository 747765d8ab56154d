"""
Whose a recent call was, found by its span, its trace or its answer's id.

Most deployments never ask. So a call costs one row, and rows are indexed when somebody asks.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from watchkeeper.core.observed import Segment
from watchkeeper.core.records import Completion, Vantage

MAX_CALLS: Final = 16_384
"""the newest are kept, and at least half as many"""
_ENGINE: Final = Vantage.ENGINE


class RecentCalls:
    """Never holds text. Not thread-safe."""

    def __init__(self, max_calls: int = MAX_CALLS) -> None:
        self._max_rows = max_calls // 2
        self._newer = _Part()
        self._older = _Part()
        self.added = 0
        """rows so far: while it stays, whoever was not found is not here"""

    def add_all(self, calls: Sequence[Completion]) -> None:
        """Records of calls, in the order in which they came."""
        if not all([call.trace_id for call in calls]):  # noqa: C419 - a list is faster
            calls = [call for call in calls if call.trace_id or call.response_id]
        self.added += len(calls)
        while calls:
            room = self._max_rows - len(self._newer)
            self._newer.add_all(calls[:room])
            calls = calls[room:]
            if calls:
                self._older, self._newer = self._newer, _Part()

    def of_span(self, trace_id: bytes, span_id: bytes) -> Segment | None:
        for part in self._parts():
            if (found := part.spans.get((trace_id, span_id))) is not None:
                return found
        return None

    def of_answer(self, response_id: str) -> Segment | None:
        """What the caller told of it stands before what its engine did."""
        for part in self._parts():
            if (found := part.answers.get(response_id)) is not None:
                return found
        return None

    def of_trace(self, trace_id: bytes) -> Segment | None:
        """The newest call of the trace: the one whose answer somebody saw, most likely."""
        for part in self._parts():
            if (found := part.traces.get(trace_id)) is not None:
                return found
        return None

    def _parts(self) -> tuple["_Part", "_Part"]:
        self._newer.index()
        self._older.index()
        return self._newer, self._older


class _Part:
    """Rows that are forgotten together, column by column: that costs less time and half the memory."""

    __slots__ = ("_indexed", "_models", "_namespaces", "_response_ids", "_services", "_span_ids", "_trace_ids",
                 "_vantages", "answers", "spans", "traces")  # fmt: skip

    def __init__(self) -> None:
        self._trace_ids: list[bytes] = []
        self._span_ids: list[bytes] = []
        self._response_ids: list[str] = []
        self._vantages: list[Vantage] = []
        self._namespaces: list[str] = []
        self._services: list[str] = []
        self._models: list[str] = []
        self.spans: dict[tuple[bytes, bytes], Segment] = {}
        self.answers: dict[str, Segment] = {}
        self.traces: dict[bytes, Segment] = {}
        self._indexed = 0

    def __len__(self) -> int:
        return len(self._trace_ids)

    def add_all(self, calls: Sequence[Completion]) -> None:
        self._trace_ids += [call.trace_id for call in calls]
        self._span_ids += [call.span_id for call in calls]
        self._response_ids += [call.response_id for call in calls]
        self._vantages += [call.vantage for call in calls]
        self._namespaces += [call.namespace for call in calls]
        self._services += [call.service for call in calls]
        self._models += [call.request_model for call in calls]

    def index(self) -> None:
        """Rows that came since the last time."""
        known: dict[Segment, Segment] = {}
        for trace_id, span_id, response_id, vantage, named in self._rows(self._indexed):
            segment = known.setdefault(named, named)
            if trace_id:
                self.spans[(trace_id, span_id)] = segment
            if vantage is _ENGINE:
                self.traces.setdefault(trace_id, segment)
                self.answers.setdefault(response_id, segment)
            else:
                self.traces[trace_id] = segment
                self.answers[response_id] = segment
        self._indexed = len(self)

    def _rows(self, begin: int) -> Iterator[tuple[bytes, bytes, str, Vantage, Segment]]:
        segments = map(Segment, self._namespaces[begin:], self._services[begin:], self._models[begin:])
        return zip(
            self._trace_ids[begin:],
            self._span_ids[begin:],
            self._response_ids[begin:],
            self._vantages[begin:],
            segments,
            strict=True,
        )
