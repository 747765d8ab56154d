"""One observed span (or log record with a span's attributes) to the one canonical record of what happened."""

import re
from collections import Counter
from typing import Final

from collector.otlp import fields, kinds, logfire, outcomes, text, values
from collector.otlp.attributes import COMPLETION_STYLE, TENANT, Found
from collector.otlp.observed import ERROR, OK, Observed
from collector.otlp.origins import Origin
from watchkeeper.core.metric import Metric
from watchkeeper.core.records import Completion, Labels, Outcome, Sample, Text, Vantage
from watchkeeper.core.vocabulary.operations import AGENT_DURATION, TOOL_DURATION, WORKFLOW_DURATION
from watchkeeper.core.vocabulary.requests import CLIENT_DURATION

_PAST_SECONDS: Final = 3600.0
_FUTURE_SECONDS: Final = 300.0
_MAX_DURATION_NS: Final = 86_400 * 10**9
_ENGINE_SPAN: Final = "llm_request"
_LITELLM_SPANS: Final = frozenset(("litellm_request", "raw_gen_ai_request"))
_REASON_OUTCOMES: Final = {"abort": Outcome.CANCELLED, "error": Outcome.ERROR}

_PRIVATE: Final = re.compile(r"\w+\._\w+")
"""a span named after a private method: a step of a call (LlamaIndex prepares some so), never one"""
_TOTAL: Final = "total"
"""in Langfuse's usage, of all other counts in it"""

_CLIENT: Final = Vantage.CLIENT
_ENGINE: Final = Vantage.ENGINE
_FINE: Final = Outcome.OK
_HALVES: Final = frozenset((values.AZURE, values.GOOGLE))

_SURROUNDING: Final = {
    kinds.AGENT: (AGENT_DURATION, "gen_ai.agent.name", ("agent", "entity")),
    kinds.WORKFLOW: (WORKFLOW_DURATION, "gen_ai.workflow.name", ("workflow", "entity")),
    kinds.TOOL: (TOOL_DURATION, "gen_ai.tool.name", ("tool", "entity")),
}
"""operation to its metric, the label that names it, and the fields that may hold the name"""


class Reader:
    """`invalid` counts wrong values by field; `max_text_characters` bounds prompt and answer each."""

    def __init__(self, invalid: Counter[str], max_text_characters: int) -> None:
        self._invalid = invalid
        self._max_text_characters = max_text_characters

    def operation(self, seen: Observed) -> str:
        """What the span stands for; "" = nothing of GenAI, `kinds.OUTER` = a repetition of an inner span."""
        found = seen.found
        if "logfire_request" in found and "logfire_kind" in found and not logfire.tells(seen):
            return kinds.OUTER
        vercel = found.get("vercel_operation")
        if vercel == kinds.OUTER:
            return kinds.OUTER
        operation = found.get("operation", vercel)
        if operation == kinds.COMPLETION:
            operation = "chat" if seen.name in _LITELLM_SPANS else "text_completion"
        if "langsmith_kind" in found and (found["langsmith_kind"] != "chat" or operation is None):
            operation = found["langsmith_kind"]  # it calls everything it has no operation for a chat
        if operation is None:
            if is_engine(seen) or _looks_like_a_call(found):
                return "chat"
            if "logfire_request" in found and "logfire_kind" in found:
                return logfire.operation(seen.name)
            return kinds.NONE
        if operation == "chat" and COMPLETION_STYLE in found:
            return "text_completion"
        if "._" in seen.name and operation in kinds.INFERENCE and _PRIVATE.fullmatch(seen.name):
            return kinds.OUTER
        return str(operation)

    def sample(self, seen: Observed, operation: str, origin: Origin, now: float) -> Sample | None:
        """An operation around or beside model calls, as one duration; None when it has no usable duration."""
        duration = self._duration(seen)
        if duration is None:
            return None
        surrounding = _SURROUNDING.get(operation)
        labels = labels_of(seen, operation, origin)
        metric: Metric = CLIENT_DURATION
        if surrounding:
            metric, label, names = surrounding
            labels[label] = next((str(seen.found[name]) for name in names if name in seen.found), "")
        _, labels["error.type"] = _outcome(seen)
        return Sample(metric, duration, self._when(seen, now), ordered(metric, labels))

    def completion(self, seen: Observed, operation: str, origin: Origin, now: float, timed: bool = True) -> Completion:
        """
        A model call.

        :param timed: False for a log record, which has no duration
        """
        found = seen.found
        get = found.get
        engine = is_engine(seen)
        if fields.INDIRECT in found:
            _spread(found)
        said, reasons, tools = self._said(found) if fields.HAS_TEXT in found else (None, (), ())
        reasons = get("finish_reasons", reasons)
        outcome: Outcome | None = _FINE
        error_type = ""
        if seen.status == ERROR or "error_type" in found or "level" in found:
            outcome, error_type = _outcome(seen)
        queue = prefill = decode = None
        if engine:
            if "dynamo_first_token" in found:
                _from_dynamo(found)
            duration = self._engine_duration(seen, timed)
            queue, prefill, decode = get("queue"), get("prefill"), get("decode")
            if not error_type and seen.status != OK:
                outcome = _REASON_OUTCOMES.get(reasons[0], _FINE) if reasons else None
        else:
            duration = self._duration(seen) if timed else None
        streamed, first_token = get("streamed"), get("first_token")
        if engine or first_token is None or streamed is False or duration is None or first_token > duration:
            streamed, first_token = self._first_token(seen, duration, engine)
        input_tokens = get("input_tokens")
        cached, written = get("cached_input_tokens"), get("cache_write_tokens")
        if (cached or written) and input_tokens is not None:
            beside = (cached or 0) + (written or 0)
            if beside > input_tokens:
                input_tokens = input_tokens + beside
        output_tokens, reasoning = get("output_tokens"), get("reasoning_tokens")
        if reasoning and output_tokens is not None and reasoning > output_tokens:
            output_tokens += reasoning  # counted beside the answer, as Gemini's thoughts are
        address, port = get("server_address", ""), get("server_port", "")
        if ":" in address or "api_base" in found:
            address, port = _server(found)
        provider = get("provider")
        if provider is None or provider in _HALVES:
            provider = _provider(seen, origin, engine)
        return Completion(  # by position, in the record's order: names would cost a microsecond a call
            self._when(seen, now),
            _ENGINE if engine else _CLIENT,
            True,
            operation,
            provider,
            get("request_model")
            or get("late_request_model")
            or get("either_model")
            or (get("response_model", "") if error_type else ""),  # nobody answered: it is the one that was asked
            get("response_model") or get("either_model", ""),
            origin.service,
            origin.service_version,
            origin.namespace,
            origin.pod,
            get(TENANT) or origin.tenant,
            address,
            port,
            duration,
            first_token,
            queue,
            prefill,
            decode,
            None,
            streamed or first_token is not None,
            input_tokens,
            output_tokens,
            cached,
            written,
            reasoning,
            reasons,
            outcome,
            error_type,
            get("max_output_tokens"),
            get("temperature"),
            tools,
            get("agent", ""),
            seen.trace_id,
            seen.span_id,
            get("response_id", ""),
            said,
        )

    def _said(self, found: Found) -> tuple[Text | None, tuple[str, ...], tuple[str, ...]]:
        """Text, and the finish reasons and tools named in it or beside it."""
        said, reasons, tools = text.of_call(found, self._max_text_characters)
        if not tools and ("called_tools" in found or "tool" in found):
            tools = found.get("called_tools") or (found["tool"],)
        return said, reasons, tools

    def _when(self, seen: Observed, now: float) -> float:
        """Unix seconds: as sent; now, and counted, where that cannot be right; now where it was not given."""
        at = seen.end_ns / 1e9
        if now - _PAST_SECONDS <= at <= now + _FUTURE_SECONDS:
            return at
        self._invalid["time"] += bool(seen.end_ns)
        return now

    def _duration(self, seen: Observed) -> float | None:
        duration_ns = seen.end_ns - seen.start_ns
        if seen.start_ns and 0 <= duration_ns <= _MAX_DURATION_NS:
            return duration_ns / 1e9
        self._invalid["duration"] += 1
        return None

    def _engine_duration(self, seen: Observed, timed: bool) -> float | None:
        found = seen.found
        if "tgi_inference" in found:
            found.setdefault("engine_duration", found.get("tgi_duration"))
            found.setdefault("queue", found.get("tgi_queue"))
        duration = found.get("engine_duration")
        if duration is None and timed:
            return self._duration(seen)
        return duration

    def _first_token(self, seen: Observed, duration: float | None, engine: bool) -> tuple[bool, float | None]:
        """Whether the answer was streamed, and how long its first piece took. Not streamed: there is no first piece."""
        found = seen.found
        streamed = found.get("streamed")
        if streamed is None and found.get("vercel_operation"):
            streamed = None if not seen.name.endswith("doStream") else True
        first = found.get("first_token")
        if engine and first is None:
            first = found.get("engine_first_token")
        elif streamed is False:
            return False, None
        elif first is None:
            first = self._first_token_by_time(seen)
            if first is None:
                first = found.get("first_token_if_streamed") if streamed else None
        if first is not None:
            streamed = True if not engine else bool(streamed)
            if first < 0 or (duration is not None and first > duration):
                self._invalid["time_to_first_token"] += 1
                first = None
        return bool(streamed), first

    @staticmethod
    def _first_token_by_time(seen: Observed) -> float | None:
        at_ns = seen.first_chunk_ns or seen.found.get("first_token_at")
        if not at_ns or not seen.start_ns:
            return None
        return (at_ns - seen.start_ns) / 1e9


def is_engine(seen: Observed) -> bool:
    """Whether an inference engine tells of its own work."""
    return fields.FROM_ENGINE in seen.found or seen.name == _ENGINE_SPAN


def ordered(metric: Metric, labels: dict[str, str]) -> Labels:
    """The metric's labels in its order, those not given left out."""
    return tuple((name, labels[name]) for name in metric.labels if labels.get(name))


def when(end_ns: int, now: float) -> float:
    """Unix seconds: as sent, or now where that cannot be right."""
    at = end_ns / 1e9
    return at if now - _PAST_SECONDS <= at <= now + _FUTURE_SECONDS else now


def _looks_like_a_call(found: Found) -> bool:
    """No dialect's word for the operation, but a provider, and a model or tokens."""
    named = "provider" in found or "llm_system" in found
    return named and ("request_model" in found or "response_model" in found or "input_tokens" in found)


def _provider(seen: Observed, origin: Origin, engine: bool) -> str:
    found = seen.found
    name: str = found.get("provider") or found.get("llm_system", "")
    if name in _HALVES:
        return values.paired_provider(name, found.get("llm_system", ""))
    if name:
        return name
    if not engine:
        return origin.client_of
    if "tgi_inference" in found:
        return "tgi"
    if "dynamo_first_token" in found:
        return "dynamo"
    return origin.engine or ("sglang" if "Req " in seen.name else "vllm" if seen.name == _ENGINE_SPAN else "")


def _outcome(seen: Observed) -> tuple[Outcome, str]:
    """By the name of what was raised, else by the code of the answer or of the words about it."""
    found = seen.found
    error_type = found.get("error_type", "")
    code = seen.exception_code or found.get("failure", "")
    if not error_type:
        if seen.status != ERROR and found.get("level") != "ERROR":
            return _FINE, ""
        named = values.error_type(seen.exception_type)
        error_type = named if isinstance(named, str) else code or outcomes.UNKNOWN
    outcome = outcomes.of_error(error_type)
    if outcome is Outcome.ERROR:
        outcome = outcomes.of_error(found.get("http_status") or code)
    return outcome, error_type


def _server(found: Found) -> tuple[str, str]:
    """Host and port, out of a URL where one stands."""
    address = found.get("server_address", "")
    port = found.get("server_port", "")
    url = address if "://" in address else "" if address else found.get("api_base", "")
    if url:
        address, url_port = values.address(url)
        port = port or url_port
    return address, port


def labels_of(seen: Observed, operation: str, origin: Origin) -> dict[str, str]:
    """Every label that a request metric may have, by name; "" = not given."""
    found = seen.found
    address, port = _server(found)
    return {
        "k8s.namespace.name": origin.namespace,
        "k8s.pod.name": origin.pod,
        "service.name": origin.service,
        "tenant": found.get(TENANT) or origin.tenant,
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": _provider(seen, origin, engine=False),
        "gen_ai.request.model": found.get("request_model", ""),
        "gen_ai.response.model": found.get("response_model", ""),
        "server.address": address,
        "server.port": port,
    }


def _spread(found: Found) -> None:
    """Fields that stand inside other fields."""
    if "logfire_request" in found:
        found.setdefault("parameters", found["logfire_request"])
        usage = found.get("logfire_answer", {}).get("usage")
        if isinstance(usage, dict):
            found.setdefault("usage", usage)
    if "parameters" in found:
        _from_parameters(found)
    if "usage" in found:
        _from_usage(found)


def _from_parameters(found: Found) -> None:
    """What the request's own parameters say and no attribute does."""
    parameters = found["parameters"]
    for field, (names, parse) in fields.PARAMETER_KEYS.items():
        for name in names:
            value = parse(parameters.get(name))
            if value is not None and value is not values.INVALID:
                found.setdefault(field, value)
                break


def _from_usage(found: Found) -> None:
    usage = found["usage"]
    for field, names in fields.USAGE_KEYS.items():
        for name in names:
            value = values.tokens(_inside(usage, name))
            if value is not None and value is not values.INVALID:
                found.setdefault(field, value)
                break
    if apart := _apart(usage):
        found["input_tokens"], found["output_tokens"] = apart


def _apart(usage: dict[str, object]) -> tuple[int, int] | None:
    """Input and output, where the kinds of tokens leave each other out: then they add up to the total."""
    total = usage.get(_TOTAL)
    counts = {name: count for name, count in usage.items() if isinstance(count, int) and name != _TOTAL}
    if not isinstance(total, int) or not 0 < sum(counts.values()) == total <= values.MAX_TOKENS:
        return None
    output = sum(count for name, count in counts.items() if name.startswith("output"))
    return (total - output, output) if 0 <= output <= total else None


def _from_dynamo(found: Found) -> None:
    """Dynamo's names are short enough to mean other things elsewhere: read only beside its `ttft_ms`."""
    for field, name in (
        ("engine_first_token", "dynamo_first_token"),
        ("input_tokens", "dynamo_input_tokens"),
        ("output_tokens", "dynamo_output_tokens"),
        ("request_model", "dynamo_model"),
    ):
        if name in found:
            found.setdefault(field, found[name])


def _inside(value: dict[str, object], path: str) -> object:
    found: object = value
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found
