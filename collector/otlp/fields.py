"""
The table of dialects: which attribute fills which field, in order of preference.

A new dialect is rows here (and in `kinds` and `text` where it has words of its own); no other file changes.
"""

import re
from typing import Final, NamedTuple

from collector.otlp import judging, kinds, values
from collector.otlp.values import Parse


class Slot(NamedTuple):
    """Where an attribute goes: of two that fill one field, the lower rank stands."""

    field: str
    rank: int
    parse: Parse
    label_like: bool
    """few distinct values and short: worth keeping decoded; has no mark"""
    mark: str = ""
    """set as a field of its own when this one is given"""


class Rows(NamedTuple):
    field: str
    names: tuple[str, ...]
    parse: Parse
    label_like: bool
    mark: str


HAS_TEXT: Final = "has_text"
FROM_ENGINE: Final = "from_engine"
JUDGES: Final = "judges"
"""says what somebody thinks of an answer"""
INDIRECT: Final = "indirect"
"""holds other fields"""


def _rows(field: str, *names: str, parse: Parse = values.text, label_like: bool = False, mark: str = "") -> Rows:
    return Rows(field, names, parse, label_like, mark)


def _tokens(field: str, *names: str) -> Rows:
    """Counts: many values, but the same ones again and again."""
    return Rows(field, names, values.tokens, label_like=True, mark="")


def _engine(field: str, *names: str, parse: Parse = values.seconds) -> Rows:
    """Attributes that only an inference engine sends."""
    return Rows(field, names, parse, label_like=False, mark=FROM_ENGINE)


def _words(field: str, *names: str) -> Rows:
    """Prompt or answer."""
    return Rows(field, names, values.whole_text, label_like=False, mark=HAS_TEXT)


def _judging(name: str) -> Rows:
    """Part of a judgement: kept under its own name, for `judging`."""
    return Rows(name, (name,), values.as_sent, label_like=False, mark=JUDGES)


TABLE: Final[tuple[Rows, ...]] = (
    # what was asked of whom
    _rows("operation", "gen_ai.operation.name", parse=kinds.operation, label_like=True),
    _rows("operation", "llm.request.type", parse=kinds.request_type, label_like=True),
    _rows("operation", "openinference.span.kind", parse=kinds.by(kinds.OPENINFERENCE_KINDS), label_like=True),
    _rows("operation", "langfuse.observation.type", parse=kinds.by(kinds.LANGFUSE_TYPES), label_like=True),
    _rows("operation", "traceloop.span.kind", "mlflow.spanType", "langwatch.span.type",
          parse=kinds.by(kinds.WRAPPER_KINDS), label_like=True),
    _rows("langsmith_kind", "langsmith.span.kind", parse=kinds.by(kinds.WRAPPER_KINDS), label_like=True),
    _rows("vercel_operation", "ai.operationId", parse=kinds.vercel, label_like=True),
    _rows("provider", "gen_ai.provider.name", parse=values.provider, label_like=True),
    _rows("provider", "gen_ai.system", parse=values.provider, label_like=True),
    _rows("provider", "llm.provider", parse=values.provider, label_like=True),
    _rows("llm_system", "llm.system", parse=values.provider, label_like=True),
    _rows("provider", "ai.model.provider", "mlflow.llm.provider", parse=values.provider, label_like=True),
    _rows("request_model", "gen_ai.request.model", "llm.request.model_name", label_like=True),
    _rows("late_request_model", "ai.model.id", label_like=True),
    _rows("response_model", "gen_ai.response.model", "llm.response.model_name", "llm.model_name", "ai.response.model",
          label_like=True),
    _rows("either_model", "langfuse.observation.model.name", "embedding.model_name", "mlflow.llm.model",
          label_like=True),
    _rows("response_id", "gen_ai.response.id", "ai.response.id", "gen_ai.request.id"),
    _rows("server_address", "server.address", label_like=True),
    _rows("server_port", "server.port", parse=values.port, label_like=True),
    _rows("api_base", "gen_ai.openai.api_base", label_like=True),
    # tokens
    _tokens("input_tokens", "gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt",
            "ai.usage.inputTokens", "ai.usage.promptTokens", "ai.usage.tokens"),
    _tokens("output_tokens", "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens",
            "llm.token_count.completion", "ai.usage.outputTokens", "ai.usage.completionTokens"),
    _tokens("cached_input_tokens", "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens",
            "gen_ai.usage.cached_tokens", "gen_ai.usage.cached_input_tokens",
            "llm.token_count.prompt_details.cache_read", "ai.usage.cachedInputTokens"),
    _tokens("cache_write_tokens", "gen_ai.usage.cache_write.input_tokens", "gen_ai.usage.cache_creation.input_tokens",
            "gen_ai.usage.cache_creation_input_tokens", "llm.token_count.prompt_details.cache_write",
            "ai.usage.inputTokenDetails.cacheWriteTokens"),
    _tokens("reasoning_tokens", "gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens",
            "llm.usage.reasoning_tokens", "llm.token_count.completion_details.reasoning", "ai.usage.reasoningTokens"),
    _rows("usage", "langfuse.observation.usage_details", "mlflow.chat.tokenUsage",
          parse=values.json_object, mark=INDIRECT),
    # how it went
    _rows("finish_reasons", "gen_ai.response.finish_reasons", "llm.finish_reason", "gen_ai.response.finish_reason",
          "llm.response.finish_reason", "ai.response.finishReason", "langfuse.observation.metadata.finish_reason",
          "anthropic.message.stop_reason",
          parse=values.finish_reasons, label_like=True),
    _rows("streamed", "gen_ai.request.stream", "gen_ai.is_streaming", "llm.is_streaming",
          "langsmith.request.streaming", parse=values.flag, label_like=True),
    _rows("error_type", "error.type", parse=values.error_type, label_like=True),
    _rows("http_status", "http.response.status_code", "http.status_code", label_like=True),
    _rows("failure", "langfuse.observation.status_message", parse=values.code_in_words),
    _rows("logfire_kind", "logfire.span_type", label_like=True),
    _rows("logfire_request", "request_data", parse=values.json_object, mark=INDIRECT),
    _rows("logfire_answer", "response_data", parse=values.json_object, mark=INDIRECT),
    _rows("logfire_duration", "duration", parse=values.seconds),
    _rows("level", "langfuse.observation.level", label_like=True),
    # what was asked for
    _rows("max_output_tokens", "gen_ai.request.max_tokens", "ai.settings.maxOutputTokens", "ai.settings.maxTokens",
          parse=values.positive_tokens, label_like=True),
    _rows("temperature", "gen_ai.request.temperature", "ai.settings.temperature", parse=values.number, label_like=True),
    _rows("parameters", "llm.invocation_parameters", "embedding.invocation_parameters",
          "langfuse.observation.model.parameters", parse=values.json_object, mark=INDIRECT),
    # time to first token: every dialect measures it its own way
    _rows("first_token", "gen_ai.response.time_to_first_chunk", "gen_ai.client.operation.time_to_first_chunk",
          parse=values.seconds),
    _rows("first_token", "ai.response.msToFirstChunk", "ai.stream.msToFirstChunk", "time_to_first_token_ms",
          parse=values.milliseconds),
    _rows("first_token_if_streamed", "gen_ai.server.time_to_first_token", parse=values.seconds),
    _rows("first_token_at", "langfuse.observation.completion_start_time", parse=values.moment),
    # engines
    _engine("engine_first_token", "gen_ai.latency.time_to_first_token"),
    _engine("engine_duration", "gen_ai.latency.e2e"),
    _engine("queue", "gen_ai.latency.time_in_queue"),
    _engine("prefill", "gen_ai.latency.time_in_model_prefill"),
    _engine("decode", "gen_ai.latency.time_in_model_decode"),
    _engine("inference", "gen_ai.latency.time_in_model_inference"),
    _engine("tgi_inference", "inference_time", parse=values.rust_duration),
    _rows("tgi_duration", "total_time", parse=values.rust_duration),
    _rows("tgi_queue", "queue_time", parse=values.rust_duration),
    _engine("dynamo_first_token", "ttft_ms", parse=values.milliseconds),
    _rows("dynamo_input_tokens", "input_tokens", parse=values.tokens, label_like=True),
    _rows("dynamo_output_tokens", "output_tokens", parse=values.tokens, label_like=True),
    _rows("dynamo_model", "model", label_like=True),
    # who
    _rows("agent", "gen_ai.agent.name", "agent.name", label_like=True),
    _rows("tool", "gen_ai.tool.name", "tool.name", "ai.toolCall.name", mark=HAS_TEXT),
    _rows("workflow", "gen_ai.workflow.name", label_like=True),
    _rows("entity", "traceloop.entity.name", label_like=True),
    # text
    _words("system_messages", "gen_ai.system_instructions"),
    _words("input_messages", "gen_ai.input.messages"),
    _words("output_messages", "gen_ai.output.messages"),
    _words("prompt", "ai.prompt.messages", "ai.prompt", "langfuse.observation.input", "gen_ai.prompt",
           "traceloop.entity.input", "mlflow.spanInputs", "langwatch.input", "input.value"),
    _words("answer", "ai.response.text", "ai.response.object", "langfuse.observation.output", "gen_ai.completion",
           "traceloop.entity.output", "mlflow.spanOutputs", "langwatch.output", "output.value"),
    _words("answer_tools", "ai.response.toolCalls"),
    _rows("offered_tools", "gen_ai.tool.definitions", parse=values.whole_text),
    _rows("output_type", "gen_ai.output.type", label_like=True),
    # what others think of an answer
    *map(_judging, (judging.NAME, judging.FEEDBACK_NAME)),
    *map(_judging, (*judging.RESULT.scores, *judging.RESULT.labels, judging.RESULT.passed)),
    # log records
    _rows("event_name", "event.name", label_like=True),
)  # fmt: skip

USAGE_KEYS: Final = {
    "input_tokens": ("prompt_tokens", "input_tokens", "input"),
    "output_tokens": ("completion_tokens", "output_tokens", "output"),
    "cached_input_tokens": ("prompt_tokens_details.cached_tokens", "input_tokens_details.cached_tokens",
                            "input_cached_tokens", "cache_read_input_tokens", "input_cache_read"),
    "cache_write_tokens": ("cache_creation_input_tokens", "input_cache_creation"),
    "reasoning_tokens": ("completion_tokens_details.reasoning_tokens", "output_tokens_details.reasoning_tokens",
                         "output_reasoning_tokens", "output_reasoning"),
}  # fmt: skip
"""Inside a usage object; a dot is a nested object."""

PARAMETER_KEYS: Final = {
    "max_output_tokens": (("max_completion_tokens", "max_tokens", "max_output_tokens", "maxTokens"),
                          values.positive_tokens),
    "temperature": (("temperature",), values.number),
    "streamed": (("stream",), values.flag),
    "request_model": (("model",), values.text),
}  # fmt: skip
"""Inside an object of request parameters."""


class Indexed(NamedTuple):
    """An attribute with numbers in its name: one piece of a prompt or answer."""

    answer: bool
    part: str
    """content, finish_reason, tool or arguments"""
    order: tuple[int, ...]
    completing: bool
    """of a call that completes a text instead of answering a chat"""


_INDEXED: Final = tuple(
    re.compile(pattern)
    for pattern in (
        r"gen_ai\.(?P<side>prompt|completion)\.(\d+)\.(?P<part>content|finish_reason)",
        r"gen_ai\.(?P<side>prompt|completion)\.(\d+)\.tool_calls\.(\d+)\.(?P<part>name|arguments)",
        r"llm\.(?P<side>input|output)_messages\.(\d+)\.message\.(?P<part>content)",
        r"llm\.(?P<side>input|output)_messages\.(\d+)\.message\.contents\.(\d+)\.message_content\.(?P<part>text)",
        r"llm\.(?P<side>input|output)_messages\.(\d+)\.message\.tool_calls\.(\d+)"
        r"\.tool_call\.function\.(?P<part>name|arguments)",
        r"llm\.(?P<side>prompts|choices)\.(\d+)\.(?:prompt|completion)\.(?P<part>text)",
        r"embedding\.(?P<side>embeddings)\.(\d+)\.embedding\.(?P<part>text)",
    )
)
_ANSWERS: Final = frozenset(("completion", "output", "choices"))
_PARTS: Final = {"text": "content", "name": "tool"}
_COMPLETION_STYLE: Final = re.compile(r"llm\.(?:prompts|choices)\b.*")


def indexed(name: str) -> Indexed | None:
    for pattern in _INDEXED:
        if found := pattern.fullmatch(name):
            named = found.groupdict()
            order = tuple(int(group[:9]) for group in found.groups() if group.isdigit())
            part = _PARTS.get(named["part"], named["part"])
            return Indexed(named["side"] in _ANSWERS, part, order, is_completion_style(name))
    return None


def is_completion_style(name: str) -> bool:
    """OpenInference's attributes of a call that completes a text instead of answering a chat."""
    return _COMPLETION_STYLE.fullmatch(name) is not None


def slots() -> dict[str, Slot]:
    """Attribute name to where it goes."""
    found: dict[str, Slot] = {}
    ranks: dict[str, int] = {}
    for row in TABLE:
        for name in row.names:
            rank = ranks.get(row.field, 0)
            found[name] = Slot(row.field, rank, row.parse, row.label_like, row.mark)
            ranks[row.field] = rank + 1
    return found


INVALID_FIELDS: Final = (
    "duration", "time_to_first_token", "input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens",
    "reasoning_tokens", "max_output_tokens", "temperature", "server_port", "evaluation_name", "evaluation_score",
    "evaluation_label", "time", "name",
)  # fmt: skip
"""What a wrong value is counted under; names and everything else count as `name`."""


def invalid_field(field: str) -> str:
    if field in INVALID_FIELDS:
        return field
    if "first_token" in field:
        return "time_to_first_token"
    if field in ("engine_duration", "queue", "prefill", "decode", "inference", "tgi_duration", "tgi_queue"):
        return "duration"
    return field.removeprefix("dynamo_") if field.startswith("dynamo_") and field.endswith("tokens") else "name"
