"""
Whose a recent call was, found by its span, its trace or its answer's id.

Most deployments never ask. So a call costs one row in a list, and rows are indexed when somebody asks.
"""

from typing import Final

from watchkeeper.core.observed import Segment
from watchkeeper.core.records import Completion, Vantage

MAX_CALLS: Final = 16_384
"""the newest are kept, and at least half as many"""
_ENGINE: Final = Vantage.ENGINE

_Row = tuple[bytes, bytes, str, bool, str, str, str]
"""trace, span, answer, whether the engine itself told of it, and its segment"""


class RecentCalls:
    """Never holds text. Not thread-safe."""

    def __init__(self, max_calls: int = MAX_CALLS) -> None:
        self._max_rows = max_calls // 2
        self._newer = _Part()
        self._older = _Part()
        self.added = 0
        """rows so far: while it stays, whoever was not found is not here"""

    def add(self, call: Completion) -> None:
        """One record of a call."""
        if not (call.trace_id or call.response_id):
            return
        rows = self._newer.rows
        if len(rows) >= self._max_rows:
            self._older, self._newer = self._newer, _Part()
            rows = self._newer.rows
        rows.append(
            (
                call.trace_id,
                call.span_id,
                call.response_id,
                call.vantage is _ENGINE,
                call.namespace,
                call.service,
                call.request_model,
            )
        )
        self.added += 1

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
    """Rows that are forgotten together."""

    __slots__ = ("_indexed", "answers", "rows", "spans", "traces")

    def __init__(self) -> None:
        self.rows: list[_Row] = []
        self.spans: dict[tuple[bytes, bytes], Segment] = {}
        self.answers: dict[str, Segment] = {}
        self.traces: dict[bytes, Segment] = {}
        self._indexed = 0

    def index(self) -> None:
        """Rows that came since the last time."""
        known: dict[Segment, Segment] = {}
        for trace_id, span_id, response_id, is_engine, *names in self.rows[self._indexed :]:
            named = Segment(*names)
            segment = known.setdefault(named, named)
            if trace_id:
                self.spans[(trace_id, span_id)] = segment
            if is_engine:
                self.traces.setdefault(trace_id, segment)
                self.answers.setdefault(response_id, segment)
            else:
                self.traces[trace_id] = segment
                self.answers[response_id] = segment
        self._indexed = len(self.rows)
