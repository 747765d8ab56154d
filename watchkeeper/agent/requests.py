"""A Completion to the request metrics. The hot path: the series of a kind of call are looked up once and kept."""

from typing import Final

from watchkeeper.agent.aggregate import Aggregate, CounterSeries, HistogramSeries
from watchkeeper.core.metric import Metric
from watchkeeper.core.records import Completion, Labels, Outcome, Vantage
from watchkeeper.core.vocabulary import engines, requests

_MAX_KINDS: Final = 10_000
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
    """Adds every Completion to the series of an Aggregate."""

    def __init__(self, aggregate: Aggregate) -> None:
        self._aggregate = aggregate
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
            call.vantage,
            call.error_type,
        )
        if self._generation != self._aggregate.generation or len(self._kinds) >= _MAX_KINDS:
            self._kinds.clear()
            self._generation = self._aggregate.generation
        kind = self._kinds.get(key)
        if kind is None:
            kind = self._kinds[key] = _Kind(self._aggregate, call)
        if call.counts:
            kind.count(call)
        if call.finish_reasons:
            kind.finish(call)
        kind.time(call)


class _Kind:
    """The series of calls that share every label, each made when first needed."""

    def __init__(self, aggregate: Aggregate, call: Completion) -> None:
        self._aggregate = aggregate
        self._call = tuple((label, value) for label, field in _CALL_FIELDS if (value := getattr(call, field)))
        self._engine = tuple((label, value) for label, value in self._call if label in engines.ENGINE)
        self._vantage = (*self._call, (requests.VANTAGE, str(call.vantage)))
        self._error: Labels = ((requests.ERROR_TYPE, call.error_type),) if call.error_type else ()
        self._histograms: dict[Metric | tuple[Metric, str], HistogramSeries] = {}
        self._tokens: dict[str, CounterSeries] = {}
        self._finish_reasons: dict[str, CounterSeries] = {}
        self._outcomes: dict[Outcome, CounterSeries] = {}

    def count(self, call: Completion) -> None:
        """Requests and tokens: once a call."""
        at = call.at
        if not self._outcomes:
            self._outcomes = {
                outcome: self._aggregate.counter(requests.REQUESTS, (*self._call, ("outcome", outcome.value)))
                for outcome in Outcome
            }
            for series in self._outcomes.values():
                series.touch(at)  # shown as 0 from now on, so that the first failure is an increase
        self._outcomes[call.outcome or Outcome.OK].add(1, at)
        if call.input_tokens is not None:
            self._count_tokens("input", call.input_tokens, at)
            self._usage("input").observe(call.input_tokens, at)
        if call.output_tokens is not None:
            self._count_tokens("output", call.output_tokens, at)
            self._usage("output").observe(call.output_tokens, at)
        if call.cached_input_tokens:
            self._count_tokens("cache_read", call.cached_input_tokens, at)
        if call.cache_write_tokens:
            self._count_tokens("cache_write", call.cache_write_tokens, at)
        if call.reasoning_tokens:
            self._count_tokens("reasoning", call.reasoning_tokens, at)

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
        duration, first, at = call.duration_seconds, call.time_to_first_token_seconds, call.at
        client = call.vantage is Vantage.CLIENT
        if duration is not None:
            if client:
                self._observe(requests.CLIENT_DURATION, (*self._call, *self._error), duration, call)
            self._observe(requests.SERVER_DURATION, (*self._vantage, *self._error), duration, call)
        if first is not None and not call.error_type:
            if client:
                self._observe(requests.CLIENT_FIRST_CHUNK, self._call, first, call)
            self._observe(requests.SERVER_FIRST_TOKEN, self._vantage, first, call)
            tokens = call.output_tokens
            if duration is not None and tokens is not None and tokens > 1 and duration >= first:
                pace = (duration - first) / (tokens - 1)
                self._observe(requests.SERVER_PER_TOKEN, self._vantage, pace, call)
        if call.vantage is Vantage.ENGINE:
            for metric, seconds in (
                (engines.QUEUE_TIME, call.queue_seconds),
                (engines.PREFILL_TIME, call.prefill_seconds),
                (engines.DECODE_TIME, call.decode_seconds),
            ):
                if seconds is not None:
                    self._histogram(metric, self._engine).observe(seconds, at)

    def _observe(self, metric: Metric, labels: Labels, seconds: float, call: Completion) -> None:
        series = self._histograms.get(metric)
        if series is None:
            series = self._histogram(metric, labels)
        series.observe(seconds, call.at, call.trace_id, call.span_id)

    def _histogram(self, metric: Metric, labels: Labels) -> HistogramSeries:
        series = self._histograms.get(metric)
        if series is None:
            series = self._histograms[metric] = self._aggregate.histogram(metric, labels)
        return series

    def _usage(self, token_type: str) -> HistogramSeries:
        key = (requests.CLIENT_TOKEN_USAGE, token_type)
        series = self._histograms.get(key)
        if series is None:
            labels = (*self._vantage, (requests.TOKEN_TYPE, token_type))
            series = self._histograms[key] = self._aggregate.histogram(requests.CLIENT_TOKEN_USAGE, labels)
        return series

    def _count_tokens(self, token_type: str, tokens: int, at: float) -> None:
        series = self._tokens.get(token_type)
        if series is None:
            labels = (*self._call, (requests.TOKEN_TYPE, token_type))
            series = self._tokens[token_type] = self._aggregate.counter(requests.TOKENS, labels)
        series.add(tokens, at)
