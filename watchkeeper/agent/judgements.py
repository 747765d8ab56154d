"""What others say of answers: joined to the call that it is about, to series of its segment and to who watches them."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from watchkeeper.agent.aggregate import Aggregate
from watchkeeper.agent.drift.streams import QUALITY, VERDICT
from watchkeeper.agent.recent_calls import RecentCalls
from watchkeeper.core.labels import OTHER
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.observed import Segment
from watchkeeper.core.records import Completion, Judgement, Labels
from watchkeeper.core.vocabulary import outputs

WAIT_SECONDS: Final = 10.0
"""for the call that a judgement is about: spans are sent every 5 s by default"""
MAX_WAITING: Final = 2_000
MAX_EVALUATIONS: Final = 50
MAX_LABELS: Final = 20
"""of one evaluation"""

_UNKNOWN: Final = (("reason", "unknown_call"),)
_NAMELESS: Final = (("reason", "no_call_named"),)

Watch = Callable[[Segment, Mapping[str, float | str], float], None]
"""takes a segment, its observations by signal, and when they came"""


class Judgements:
    """
    Belongs to the pipeline's thread. Names and labels come from outside: past MAX_EVALUATIONS and MAX_LABELS they are
    `other`, which is counted and not watched.
    """

    def __init__(self, aggregate: Aggregate, ledger: Ledger, watch: Watch | None = None) -> None:
        self._aggregate = aggregate
        self._ledger = ledger
        self._watch = watch
        self._calls = RecentCalls()
        self.remember_all: Callable[[Sequence[Completion]], None] = self._calls.add_all
        """what a judgement may be about"""
        self._waiting: deque[tuple[float, Judgement]] = deque()
        self._looked_at = 0
        self._labels: dict[str, set[str]] = {}
        for reason in (_UNKNOWN, _NAMELESS):
            ledger.add(outputs.UNJOINED, 0, reason)

    def take(self, judged: Judgement, now: float) -> None:
        """One judgement; it waits where its call is not here yet. :param now: unix seconds"""
        if not (judged.trace_id or judged.response_id):
            self._ledger.add(outputs.UNJOINED, 1, _NAMELESS)
            self._tell(_sender(judged), judged, now)
            return
        segment = self._find(judged)
        if segment is not None:
            self._tell(segment, judged, now)
            return
        if len(self._waiting) >= MAX_WAITING:
            self._give_up(self._waiting.popleft()[1], now)
        self._waiting.append((now, judged))

    def tick(self, now: float, *, is_last: bool = False) -> None:
        """
        Look again for the calls of those that wait, and give up on those that waited long enough.

        :param is_last: nothing more comes: give up on all
        """
        if self._waiting and self._calls.added != self._looked_at:
            self._looked_at = self._calls.added
            for _ in range(len(self._waiting)):
                since, judged = self._waiting.popleft()
                segment = self._find(judged)
                if segment is None:
                    self._waiting.append((since, judged))
                else:
                    self._tell(segment, judged, now)
        while self._waiting and (is_last or not 0 <= now - self._waiting[0][0] < WAIT_SECONDS):
            self._give_up(self._waiting.popleft()[1], now)

    def _find(self, judged: Judgement) -> Segment | None:
        """The very call; of a trace alone, its newest."""
        found = None
        if judged.span_id:
            found = self._calls.of_span(judged.trace_id, judged.span_id)
        if found is None and judged.response_id:
            found = self._calls.of_answer(judged.response_id)
        if found is None and not (judged.span_id or judged.response_id):
            found = self._calls.of_trace(judged.trace_id)
        return found

    def _give_up(self, judged: Judgement, now: float) -> None:
        """The span that it names is no call, but stands above some or beside them; or there are none."""
        segment = self._calls.of_trace(judged.trace_id) if judged.trace_id else None
        if segment is None:
            self._ledger.add(outputs.UNJOINED, 1, _UNKNOWN)
        self._tell(segment or _sender(judged), judged, now)

    def _tell(self, segment: Segment, judged: Judgement, now: float) -> None:
        name, label = self._bounded(judged.name, judged.label)
        labels: Labels = (*zip(outputs.SEGMENT, segment, strict=True), (outputs.EVALUATION, name))
        counted = (*labels, (outputs.LABEL, label)) if label else labels
        self._aggregate.counter(outputs.JUDGEMENTS, counted).add(1, judged.at)
        if judged.score is not None:
            series = self._aggregate.histogram(outputs.QUALITY, labels)
            series.observe(max(0.0, judged.score), judged.at, judged.trace_id, judged.span_id)
        if self._watch is None or name == OTHER:
            return
        values: dict[str, float | str] = {}
        if judged.score is not None:
            values[QUALITY + name] = judged.score
        if label:
            values[VERDICT + name] = label
        self._watch(segment, values, now)

    def _bounded(self, name: str, label: str) -> tuple[str, str]:
        labels = self._labels.get(name)
        if labels is None:
            if len(self._labels) >= MAX_EVALUATIONS:
                name = OTHER
            labels = self._labels.setdefault(name, set())
        if label and label not in labels:
            if len(labels) >= MAX_LABELS:
                return name, OTHER
            labels.add(label)
        return name, label


def _sender(judged: Judgement) -> Segment:
    return Segment(judged.namespace, judged.service, judged.request_model)
