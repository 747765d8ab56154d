"""Checks kept running: each reads every answer under guard, and what it says becomes series of the answer's segment."""

import logging
import time
from collections.abc import Sequence
from math import isfinite
from typing import Final

import msgspec

from watchkeeper.agent.aggregate import Aggregate, CounterSeries, HistogramSeries
from watchkeeper.agent.supervisor import place
from watchkeeper.core.interfaces import Check, Later
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.metric import Metric
from watchkeeper.core.prepared import Prepared
from watchkeeper.core.records import Completion, Flag, Labels, Number, Score
from watchkeeper.core.vocabulary import outputs

_LOG = logging.getLogger("watchkeeper.check")
_TIMED_EVERY: Final = 16
"""the processor clock costs as much as a cheap check"""
_MAX_SEGMENTS: Final = 1_024
_FIELDS: Final = (
    ("k8s.namespace.name", "namespace"),
    ("service.name", "service"),
    ("gen_ai.request.model", "request_model"),
)
_HITS_AT_ONCE: Final = 1_000_000


class Running(msgspec.Struct):
    """A check that is on."""

    name: str
    check: Check
    reads_logprobs: bool = False
    failed_in_a_row: int = 0


class Checks:
    """
    Belongs to the pipeline's thread. A check that raises is counted and says nothing of that answer; where the error
    came from is logged without its message, which may hold text.
    """

    def __init__(self, aggregate: Aggregate, ledger: Ledger, running: Sequence[Running]) -> None:
        self._aggregate = aggregate
        self._ledger = ledger
        self._of_text = tuple(running)
        self._of_logprobs = tuple(one for one in running if one.reads_logprobs)
        self._late = tuple(one for one in running if isinstance(one.check, Later))
        self._generation = aggregate.generation
        self._segments: dict[tuple[str, ...], _Segment] = {}
        self._until_timed = 1

    def read(self, completion: Completion) -> tuple[Score, ...]:
        """What all checks say of an answer, added to its series. Never raises."""
        if completion.text is not None:
            running = self._of_text
        elif completion.token_logprobs:
            running = self._of_logprobs
        else:  # most calls: they pay nothing
            return ()
        if not running:
            return ()
        self._until_timed -= 1
        is_timed = self._until_timed == 0
        if is_timed:
            self._until_timed = _TIMED_EVERY
        scores: list[Score] = []
        call = Prepared(completion)
        for one in running:
            started = time.thread_time() if is_timed else 0.0
            try:
                scores += one.check.score(call)
                one.failed_in_a_row = 0
            except Exception as error:  # noqa: BLE001 - one broken check never stops its neighbours
                self._failed(one, error)
            if is_timed:
                seconds = (time.thread_time() - started) * _TIMED_EVERY
                self._ledger.add(outputs.CPU_TIME, seconds, ((outputs.CHECK, one.name),))
        self._segment(completion).add(scores, completion.at)
        return tuple(scores)

    def skip(self, answers: int) -> None:
        """So many were not read, for lack of time."""
        for one in self._of_text:
            self._ledger.add(outputs.DROPPED, answers, ((outputs.CHECK, one.name), ("reason", "shutdown")))

    def tick(self) -> list[tuple[Completion, tuple[Score, ...]]]:
        """The verdicts that came late, added to their series. Never raises."""
        late: list[tuple[Completion, tuple[Score, ...]]] = []
        for one in self._late:
            check = one.check
            if not isinstance(check, Later):
                continue
            try:
                for completion, scores in check.due():
                    self._segment(completion).add(scores, completion.at)
                    late.append((completion, scores))
            except Exception as error:  # noqa: BLE001 - as above
                self._failed(one, error)
        return late

    def _segment(self, completion: Completion) -> "_Segment":
        if self._generation != self._aggregate.generation or len(self._segments) >= _MAX_SEGMENTS:
            self._segments.clear()
            self._generation = self._aggregate.generation
        key = (completion.namespace, completion.service, completion.request_model, completion.tenant)
        segment = self._segments.get(key)
        if segment is None:
            segment = self._segments[key] = _Segment(self._aggregate, completion)
        return segment

    def _failed(self, one: Running, error: Exception) -> None:
        reason = type(error).__name__
        self._ledger.add(outputs.FAILURES, 1, ((outputs.CHECK, one.name), ("reason", reason)))
        one.failed_in_a_row += 1
        if one.failed_in_a_row == 1:
            _LOG.error(
                "check %s failed (%s at %s); the answer is counted by all others", one.name, reason, place(error)
            )


class _Segment:
    """The series of answers that share service and model, each made when first needed."""

    def __init__(self, aggregate: Aggregate, completion: Completion) -> None:
        self._aggregate = aggregate
        self._labels: Labels = tuple((name, value) for name, field in _FIELDS if (value := getattr(completion, field)))
        self._of_tenant = (*self._labels, ("tenant", completion.tenant)) if completion.tenant else self._labels
        self._checked: dict[str, CounterSeries] = {}
        self._flagged: dict[str, CounterSeries] = {}
        self._words: dict[tuple[Metric, str, str], CounterSeries] = {}
        self._numbers: dict[Metric, HistogramSeries] = {}

    def add(self, scores: Sequence[Score], at: float) -> None:
        for score in scores:
            if isinstance(score, Flag):  # most are
                self._flag(score, at)
            elif isinstance(score, Number):
                if isfinite(score.value):
                    self._number(score.metric).observe(score.value, at)
            else:
                self._word(score.metric, score.value, "").add(1, at)

    def _flag(self, flag: Flag, at: float) -> None:
        checked = self._checked.get(flag.name)
        if checked is None:
            labels = (*self._of_tenant, (outputs.CHECK, flag.name))
            checked = self._checked[flag.name] = self._aggregate.counter(outputs.CHECKED, labels)
            self._flagged[flag.name] = self._aggregate.counter(outputs.FLAGGED, labels)
            self._flagged[flag.name].add(0, at)  # a share of 0 is told apart from none
        checked.add(1, at)
        if flag.hits:
            self._flagged[flag.name].add(1, at)
            for kind, count in flag.hits:
                self._word(outputs.HITS, kind, flag.name).add(min(count, _HITS_AT_ONCE), at)

    def _number(self, metric: Metric) -> HistogramSeries:
        series = self._numbers.get(metric)
        if series is None:
            series = self._numbers[metric] = self._aggregate.histogram(metric, self._labels)
        return series

    def _word(self, metric: Metric, value: str, check: str) -> CounterSeries:
        key = (metric, value, check)
        series = self._words.get(key)
        if series is None:
            first = ((outputs.CHECK, check),) if check else ()
            labels = (*self._labels, *first, (metric.labels[-1], value))
            series = self._words[key] = self._aggregate.counter(metric, labels)
        return series
