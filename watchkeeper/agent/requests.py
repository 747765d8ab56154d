"""A Completion to the request metrics. The hot path: the series of a kind of call are looked up once and kept."""

from typing import Final

from watchkeeper.agent.aggregate import Aggregate, CounterSeries, HistogramSeries
from watchkeeper.agent.costs import Charge
from watchkeeper.agent.prices import PriceList
from watchkeeper.core.metric import Metric
from watchkeeper.core.records import Completion, Labels, Outcome, Vantage
from watchkeeper.core.vocabulary import engines, requests

_MAX_KINDS: Final = 4_096
_CLIENT: Final = Vantage.CLIENT
_OK: Final = Outcome.OK
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


class RequestMeter:
    """Adds every Completion to the series of an Aggregate. Without prices no cost is counted."""

    def __init__(self, aggregate: Aggregate, prices: PriceList | None = None) -> None:
        self._aggregate = aggregate
        self._prices = prices or None
        self._generation = aggregate.generation
        self._kinds: dict[tuple[str, ...], _Kind] = {}

    def record(self, call: Completion) -> None:
        key = (
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
        )
        if self._generation != self._aggregate.generation or len(self._kinds) >= _MAX_KINDS:
            self._kinds.clear()
            self._generation = self._aggregate.generation
        kind = self._kinds.get(key)
        if kind is None:
            kind = self._kinds[key] = _Kind(self._aggregate, call, self._prices)
        if call.counts:
            kind.count(call)
        if call.finish_reasons:
            kind.finish(call)
        kind.time(call)


class _Kind:
    """The series of calls that share every label, each made when first needed."""

    def __init__(self, aggregate: Aggregate, call: Completion, prices: PriceList | None) -> None:
        self._aggregate = aggregate
        self._call = tuple((label, value) for label, field in _CALL_FIELDS if (value := getattr(call, field)))
        self._engine = tuple(pair for pair in self._call if pair[0] in engines.ENGINE)
        self._vantage = (*self._call, (requests.VANTAGE, str(call.vantage)))
        self._error: Labels = ((requests.ERROR_TYPE, call.error_type),) if call.error_type else ()
        self._is_client = call.vantage is _CLIENT
        self._durations: tuple[HistogramSeries, ...] = ()
        self._first_tokens: tuple[HistogramSeries, ...] = ()
        self._pace: HistogramSeries | None = None
        self._phases: dict[Metric, HistogramSeries] = {}
        self._totals: dict[str, CounterSeries] = {}
        self._input: _Usage | None = None
        self._output: _Usage | None = None
        self._finish_reasons: dict[str, CounterSeries] = {}
        self._outcomes: dict[Outcome, CounterSeries] = {}
        self._ok: CounterSeries | None = None
        self._charge = Charge(aggregate, prices, call, self._call) if prices else None

    def count(self, call: Completion) -> None:
        """Requests and tokens: once a call."""
        at = call.at
        if self._ok is None:
            self._ok = self._show_outcomes(at)
        if call.outcome is _OK or call.outcome is None:
            self._ok.add(1, at)
        else:
            self._outcomes[call.outcome].add(1, at)
        if call.input_tokens is not None:
            total, size = self._input or self._make_input()
            total.add(call.input_tokens, at)
            size.observe(call.input_tokens, at)
        if call.output_tokens is not None:
            total, size = self._output or self._make_output()
            total.add(call.output_tokens, at)
            size.observe(call.output_tokens, at)
            if call.tokens_estimated:
                self._estimate(call.output_tokens, at)
        if call.cached_input_tokens:
            self._total("cache_read").add(call.cached_input_tokens, at)
        if call.cache_write_tokens:
            self._total("cache_write").add(call.cache_write_tokens, at)
        if call.reasoning_tokens:
            self._total("reasoning").add(call.reasoning_tokens, at)
        if self._charge is not None:
            self._charge.add(call)

    def finish(self, call: Completion) -> None:
        """Finish reasons, whichever record of the call brings them."""
        for reason in call.finish_reasons:
            finished = self._finish_reasons.get(reason)
            if finished is None:
                labels = (*self._call, ("gen_ai.response.finish_reason", reason))
                finished = self._finish_reasons[reason] = self._aggregate.counter(requests.FINISH_REASONS, labels)
            finished.add(1, call.at)

    def time(self, call: Completion) -> None:
        """Durations, from this observer's vantage. First token and pace are of successful calls only."""
        duration, first = call.duration_seconds, call.time_to_first_token_seconds
        at, trace_id, span_id = call.at, call.trace_id, call.span_id
        if duration is not None:
            for series in self._durations or self._make_durations():
                series.observe(duration, at, trace_id, span_id)
        if first is not None and not call.error_type:
            for series in self._first_tokens or self._make_first_tokens():
                series.observe(first, at, trace_id, span_id)
            tokens = None if call.tokens_estimated else call.output_tokens
            if duration is not None and tokens is not None and tokens > 1 and duration >= first:
                self._observe_pace((duration - first) / (tokens - 1), call)
        if call.pace_seconds is not None and not call.error_type:
            self._observe_pace(call.pace_seconds, call)
        if not self._is_client:
            self._time_phases(call)

    def _observe_pace(self, seconds: float, call: Completion) -> None:
        if self._pace is None:
            self._pace = self._aggregate.histogram(requests.SERVER_PER_TOKEN, self._vantage)
        self._pace.observe(seconds, call.at, call.trace_id, call.span_id)

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

    def _make_input(self) -> _Usage:
        self._input = self._usage("input")
        return self._input

    def _make_output(self) -> _Usage:
        self._output = self._usage("output")
        return self._output

    def _usage(self, token_type: str) -> _Usage:
        labels = (*self._vantage, (requests.TOKEN_TYPE, token_type))
        return self._total(token_type), self._aggregate.histogram(requests.CLIENT_TOKEN_USAGE, labels)

    def _total(self, token_type: str) -> CounterSeries:
        total = self._totals.get(token_type)
        if total is None:
            labels = (*self._call, (requests.TOKEN_TYPE, token_type))
            total = self._totals[token_type] = self._aggregate.counter(requests.TOKENS, labels)
        return total

    def _estimate(self, tokens: int, at: float) -> None:
        labels = (*self._call, (requests.TOKEN_TYPE, "output"))
        self._aggregate.counter(requests.TOKENS_ESTIMATED, labels).add(tokens, at)

    def _show_outcomes(self, at: float) -> CounterSeries:
        """Every outcome at 0 from now on, so that the first failure is an increase; the series of `ok`."""
        for outcome in Outcome:
            series = self._aggregate.counter(requests.REQUESTS, (*self._call, ("outcome", outcome.value)))
            series.touch(at)
            self._outcomes[outcome] = series
        return self._outcomes[_OK]

    def _make_durations(self) -> tuple[HistogramSeries, ...]:
        server = self._aggregate.histogram(requests.SERVER_DURATION, (*self._vantage, *self._error))
        if self._is_client:
            client = self._aggregate.histogram(requests.CLIENT_DURATION, (*self._call, *self._error))
            self._durations = (client, server)
        else:
            self._durations = (server,)
        return self._durations

    def _make_first_tokens(self) -> tuple[HistogramSeries, ...]:
        server = self._aggregate.histogram(requests.SERVER_FIRST_TOKEN, self._vantage)
        if self._is_client:
            self._first_tokens = (self._aggregate.histogram(requests.CLIENT_FIRST_CHUNK, self._call), server)
        else:
            self._first_tokens = (server,)
        return self._first_tokens
