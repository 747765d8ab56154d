"""
Completions to the request metrics. The hot path: calls that share every label go to their series together, and those
series are looked up once and kept.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from watchkeeper.agent.aggregate import Aggregate, CounterSeries, HistogramSeries, Twins
from watchkeeper.agent.costs import Charge
from watchkeeper.agent.prices import PriceList
from watchkeeper.core.metric import Metric
from watchkeeper.core.records import Completion, Labels, Outcome, Vantage
from watchkeeper.core.vocabulary import engines, requests

_MAX_KINDS: Final = 4_096
_CLIENT: Final = Vantage.CLIENT
_OK: Final = Outcome.OK
_Labels = tuple[str, ...]
Alike = Mapping[_Labels, Sequence[Completion]]
"""records of calls that share every label of their series"""
_Usage = tuple[CounterSeries, HistogramSeries]
"""tokens of a type in all, and by call"""
_CALL_FIELDS: Final = (
    ("k8s.namespace.name", "namespace"),
    ("k8s.pod.name", "pod"),
    ("service.name", "service"),
    ("tenant", "tenant"),
    ("gen_ai.operation.name", "operation"),
    ("gen_ai.provider.name", "provider"),
    ("gen_ai.request.model", "request_model"),
    ("gen_ai.response.model", "response_model"),
    ("server.address", "server_address"),
    ("server.port", "server_port"),
)


def grouped(calls: Iterable[Completion]) -> Alike:
    """Those of a group stay in the order in which they came."""
    alike: defaultdict[_Labels, list[Completion]] = defaultdict(list)
    for call in calls:
        alike[
            call.request_model,
            call.response_model,
            call.service,
            call.pod,
            call.operation,
            call.provider,
            call.server_address,
            call.server_port,
            call.tenant,
            call.namespace,
            call.vantage._value_,  # an enum's own hash is slow
            call.error_type,
        ].append(call)
    return alike


class RequestMeter:
    """Adds every Completion to the series of an Aggregate. Without prices no cost is counted."""

    def __init__(self, aggregate: Aggregate, prices: PriceList | None = None) -> None:
        self._aggregate = aggregate
        self._prices = prices or None
        self._generation = aggregate.generation
        self._kinds: dict[_Labels, _Kind] = {}

    def record(self, alike: Alike) -> None:
        """Records of calls, `grouped`."""
        if self._generation != self._aggregate.generation:
            self._kinds.clear()
            self._generation = self._aggregate.generation
        for labels, group in alike.items():
            self._kind(labels, group[0]).add(group)

    def _kind(self, labels: _Labels, call: Completion) -> "_Kind":
        kind = self._kinds.get(labels)
        if kind is None:
            if len(self._kinds) >= _MAX_KINDS:
                self._kinds.clear()
            kind = self._kinds[labels] = _Kind(self._aggregate, call, self._prices)
        return kind


class _Kind:
    """The series of calls that share every label, each made when first needed."""

    def __init__(self, aggregate: Aggregate, call: Completion, prices: PriceList | None) -> None:
        self._aggregate = aggregate
        self._call = tuple((label, value) for label, field in _CALL_FIELDS if (value := getattr(call, field)))
        self._engine = tuple(pair for pair in self._call if pair[0] in engines.ENGINE)
        self._vantage = (*self._call, (requests.VANTAGE, str(call.vantage)))
        self._error: Labels = ((requests.ERROR_TYPE, call.error_type),) if call.error_type else ()
        self._is_client = call.vantage is _CLIENT
        self._durations: Twins | None = None
        self._first_tokens: Twins | None = None
        self._pace: Twins | None = None
        self._phases: dict[Metric, HistogramSeries] = {}
        self._totals: dict[str, CounterSeries] = {}
        self._usages: dict[str, _Usage] = {}
        self._finish_reasons: dict[str, CounterSeries] = {}
        self._outcomes: dict[Outcome, CounterSeries] = {}
        self._charge = Charge(aggregate, prices, call, self._call) if prices else None

    def add(self, calls: Sequence[Completion]) -> None:
        """At least one record."""
        self._count(calls)
        self._finish(calls)
        self._time(calls)
        if not self._is_client:
            for call in calls:
                self._time_phases(call)

    def _count(self, calls: Sequence[Completion]) -> None:
        """Requests and tokens: once a call."""
        at = calls[-1].at
        fine = cache_read = cache_write = reasoning = 0
        inputs: list[int] = []
        outputs: list[int] = []
        for call in calls:
            if not call.counts:
                continue
            if call.outcome is _OK or call.outcome is None:
                fine += 1
            else:
                self._outcome(call.outcome, at).add(1, at)
            if call.input_tokens is not None:
                inputs.append(call.input_tokens)
            if call.output_tokens is not None:
                outputs.append(call.output_tokens)
                if call.tokens_estimated:
                    self._estimate(call.output_tokens, call.at)
            cache_read += call.cached_input_tokens or 0
            cache_write += call.cache_write_tokens or 0
            reasoning += call.reasoning_tokens or 0
            if self._charge is not None:
                self._charge.add(call)
        if fine:
            self._outcome(_OK, at).add(fine, at)
        if inputs:
            self._use("input", inputs, at)
        if outputs:
            self._use("output", outputs, at)
        if cache_read:
            self._total("cache_read").add(cache_read, at)
        if cache_write:
            self._total("cache_write").add(cache_write, at)
        if reasoning:
            self._total("reasoning").add(reasoning, at)

    def _use(self, token_type: str, sizes: Sequence[int], at: float) -> None:
        total, size = self._usages.get(token_type) or self._make_usage(token_type)
        tokens = sum(sizes)
        total.add(tokens, at)
        size.count_all(sizes, tokens, at)

    def _finish(self, calls: Sequence[Completion]) -> None:
        """Finish reasons, whichever record of the call brings them."""
        counts: dict[str, int] = {}
        for call in calls:
            for reason in call.finish_reasons:
                counts[reason] = counts[reason] + 1 if reason in counts else 1
        for reason, count in counts.items():
            finished = self._finish_reasons.get(reason)
            if finished is None:
                labels = (*self._call, ("gen_ai.response.finish_reason", reason))
                finished = self._finish_reasons[reason] = self._aggregate.counter(requests.FINISH_REASONS, labels)
            finished.add(count, calls[-1].at)

    def _time(self, calls: Sequence[Completion]) -> None:
        """Durations, from this observer's vantage. First token and pace are of successful calls only."""
        at = calls[-1].at
        if not all([call.trace_id for call in calls]):  # noqa: C419 - a list is faster
            calls = sorted(calls, key=_has_trace)  # of each bucket the last is shown
        durations = [call.duration_seconds for call in calls]
        if _some(durations):
            (self._durations or self._make_durations()).observe_all(durations, calls, at)
        if self._error:
            return
        firsts = [call.time_to_first_token_seconds for call in calls]
        if _some(firsts):
            (self._first_tokens or self._make_first_tokens()).observe_all(firsts, calls, at)
        paces = _paces(calls)
        if _some(paces):
            (self._pace or self._make_pace()).observe_all(paces, calls, at)

    def _time_phases(self, call: Completion) -> None:
        for metric, seconds in (
            (engines.QUEUE_TIME, call.queue_seconds),
            (engines.PREFILL_TIME, call.prefill_seconds),
            (engines.DECODE_TIME, call.decode_seconds),
        ):
            if seconds is not None:
                series = self._phases.get(metric)
                if series is None:
                    series = self._phases[metric] = self._aggregate.histogram(metric, self._engine)
                series.observe(seconds, call.at)

    def _make_usage(self, token_type: str) -> _Usage:
        labels = (*self._vantage, (requests.TOKEN_TYPE, token_type))
        size = self._aggregate.histogram(requests.CLIENT_TOKEN_USAGE, labels)
        usage = self._usages[token_type] = self._total(token_type), size
        return usage

    def _total(self, token_type: str) -> CounterSeries:
        total = self._totals.get(token_type)
        if total is None:
            labels = (*self._call, (requests.TOKEN_TYPE, token_type))
            total = self._totals[token_type] = self._aggregate.counter(requests.TOKENS, labels)
        return total

    def _estimate(self, tokens: int, at: float) -> None:
        labels = (*self._call, (requests.TOKEN_TYPE, "output"))
        self._aggregate.counter(requests.TOKENS_ESTIMATED, labels).add(tokens, at)

    def _outcome(self, outcome: Outcome, at: float) -> CounterSeries:
        """Every outcome is there at 0 from the first call on, so that the first failure is an increase."""
        if not self._outcomes:
            for each in Outcome:
                series = self._aggregate.counter(requests.REQUESTS, (*self._call, ("outcome", each.value)))
                series.touch(at)
                self._outcomes[each] = series
        return self._outcomes[outcome]

    def _make_durations(self) -> Twins:
        series = [self._aggregate.histogram(requests.SERVER_DURATION, (*self._vantage, *self._error))]
        if self._is_client:
            series.append(self._aggregate.histogram(requests.CLIENT_DURATION, (*self._call, *self._error)))
        self._durations = Twins(*series)
        return self._durations

    def _make_first_tokens(self) -> Twins:
        series = [self._aggregate.histogram(requests.SERVER_FIRST_TOKEN, self._vantage)]
        if self._is_client:
            series.append(self._aggregate.histogram(requests.CLIENT_FIRST_CHUNK, self._call))
        self._first_tokens = Twins(*series)
        return self._first_tokens

    def _make_pace(self) -> Twins:
        self._pace = Twins(self._aggregate.histogram(requests.SERVER_PER_TOKEN, self._vantage))
        return self._pace


def _has_trace(call: Completion) -> bool:
    return call.trace_id != b""


def _some(values: Sequence[float | None]) -> bool:
    """Whether one of them is known."""
    return values.count(None) < len(values)


def _paces(calls: Sequence[Completion]) -> list[float | None]:
    """Seconds per token after the first, one a call; None where that means nothing."""
    paces: list[float | None] = []
    for call in calls:
        pace = call.pace_seconds
        if pace is None and not call.tokens_estimated:
            duration, first, tokens = call.duration_seconds, call.time_to_first_token_seconds, call.output_tokens
            if duration is not None and first is not None and tokens is not None and tokens > 1 and duration >= first:
                pace = (duration - first) / (tokens - 1)
        paces.append(pace)
    return paces
