"""Every row of the table of dialects, through a whole body."""

import itertools
import json
from typing import Any

import pytest

from collector.otlp import fields, judging
from watchkeeper.core.records import Outcome, Vantage

CHAT = {"gen_ai.operation.name": "chat"}
MESSAGES = json.dumps([{"role": "user", "parts": [{"type": "text", "content": "hi"}]}])
ANSWER = json.dumps(
    [
        {
            "role": "assistant",
            "parts": [
                {"type": "text", "content": "ho"},
                {"type": "tool_call", "id": "1", "name": "look", "arguments": {"a": 1}},
            ],
            "finish_reason": "tool_call",
        }
    ]
)


def rows(field: str, given: object, expected: object, *names: str, **beside: object) -> list[Any]:
    return [pytest.param({**CHAT, **beside, name: given}, {field: expected}, id=name) for name in names]


ROWS = [
    # operation
    pytest.param({"gen_ai.operation.name": "generate_content"}, {"operation": "generate_content"}, id="operation"),
    pytest.param({"llm.request.type": "completion"}, {"operation": "text_completion"}, id="llm.request.type"),
    pytest.param({"llm.request.type": "embedding"}, {"operation": "embeddings"}, id="llm.request.type embedding"),
    pytest.param({"openinference.span.kind": "LLM"}, {"operation": "chat"}, id="openinference.span.kind"),
    pytest.param(
        {"openinference.span.kind": "LLM", "llm.prompts.0.prompt.text": "once", "llm.choices.0.completion.text": "a"},
        {"operation": "text_completion", "prompt": "once", "answer": "a"},
        id="openinference completion",
    ),
    pytest.param({"openinference.span.kind": "EMBEDDING"}, {"operation": "embeddings"}, id="openinference EMBEDDING"),
    pytest.param({"langfuse.observation.type": "generation"}, {"operation": "chat"}, id="langfuse.observation.type"),
    pytest.param({"langfuse.observation.type": "embedding"}, {"operation": "embeddings"}, id="langfuse embedding"),
    pytest.param({"llm.request.type": "acompletion"}, {"operation": "chat"}, id="llm.request.type acompletion"),
    pytest.param({"llm.request.type": "aembedding"}, {"operation": "embeddings"}, id="llm.request.type aembedding"),
    pytest.param(
        {"llm.request.type": "atext_completion"}, {"operation": "text_completion"}, id="llm.request.type atext"
    ),
    pytest.param({"langsmith.span.kind": "llm"}, {"operation": "chat"}, id="langsmith.span.kind"),
    pytest.param({"mlflow.spanType": '"CHAT_MODEL"'}, {"operation": "chat"}, id="mlflow.spanType"),
    pytest.param({"langwatch.span.type": "llm"}, {"operation": "chat"}, id="langwatch.span.type"),
    pytest.param({"ai.operationId": "ai.generateText.doGenerate"}, {"operation": "chat"}, id="ai.operationId"),
    pytest.param({"ai.operationId": "ai.embed.doEmbed"}, {"operation": "embeddings"}, id="ai.operationId embed"),
    pytest.param(
        {"gen_ai.system": "openai", "gen_ai.request.model": "m"}, {"operation": "chat"}, id="provider and model alone"
    ),
    # provider
    *rows("provider", "openai", "openai", "gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system",
          "ai.model.provider", "mlflow.llm.provider"),
    *rows("provider", "OpenAI", "openai", "gen_ai.provider.name", "llm.provider"),
    *rows("provider", "Ollama", "ollama", "gen_ai.system"),
    *rows("provider", "vertex_ai", "gcp.vertex_ai", "gen_ai.system"),
    *rows("provider", "az.ai.openai", "azure.ai.openai", "gen_ai.system"),
    *rows("provider", "openai.responses", "openai", "gen_ai.system"),
    *rows("provider", "azure", "azure.ai.openai", "llm.provider", **{"llm.system": "openai"}),
    *rows("provider", "azure", "azure.ai.inference", "llm.provider", **{"llm.system": "cohere"}),
    *rows("provider", "aws", "aws.bedrock", "llm.provider", **{"llm.system": "anthropic"}),
    *rows("provider", "google", "gcp.vertex_ai", "llm.provider", **{"llm.system": "vertexai"}),
    *rows("provider", "google", "gcp.gen_ai", "llm.provider"),
    # models
    *rows("request_model", "m", "m", "gen_ai.request.model", "llm.request.model_name", "ai.model.id",
          "langfuse.observation.model.name", "embedding.model_name", "mlflow.llm.model"),
    *rows("request_model", "m", "m", "llm.model_name", **{"error.type": "RateLimitError"}),
    *rows("request_model", '{"model": "m"}', "m", "llm.invocation_parameters", "embedding.invocation_parameters"),
    *rows("response_model", "m", "m", "gen_ai.response.model", "llm.response.model_name", "llm.model_name",
          "ai.response.model", "langfuse.observation.model.name", "embedding.model_name", "mlflow.llm.model"),
    *rows("response_id", "r1", "r1", "gen_ai.response.id", "ai.response.id", "gen_ai.request.id"),
    # tokens
    *rows("input_tokens", 7, 7, "gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt",
          "ai.usage.inputTokens", "ai.usage.promptTokens", "ai.usage.tokens"),
    *rows("output_tokens", 7, 7, "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens",
          "llm.token_count.completion", "ai.usage.outputTokens", "ai.usage.completionTokens"),
    *rows("cached_input_tokens", 7, 7, "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens",
          "gen_ai.usage.cached_tokens", "gen_ai.usage.cached_input_tokens",
          "llm.token_count.prompt_details.cache_read", "ai.usage.cachedInputTokens"),
    *rows("cache_write_tokens", 7, 7, "gen_ai.usage.cache_write.input_tokens",
          "gen_ai.usage.cache_creation.input_tokens", "gen_ai.usage.cache_creation_input_tokens",
          "llm.token_count.prompt_details.cache_write", "ai.usage.inputTokenDetails.cacheWriteTokens"),
    *rows("reasoning_tokens", 7, 7, "gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens",
          "llm.usage.reasoning_tokens", "llm.token_count.completion_details.reasoning", "ai.usage.reasoningTokens"),
    *rows("input_tokens", '{"prompt_tokens": 7}', 7, "langfuse.observation.usage_details"),
    *rows("input_tokens", '{"input": 7}', 7, "langfuse.observation.usage_details"),
    *rows("output_tokens", '{"completion_tokens": 7}', 7, "langfuse.observation.usage_details"),
    *rows("cached_input_tokens", '{"prompt_tokens_details": {"cached_tokens": 7}}', 7,
          "langfuse.observation.usage_details"),
    *rows("reasoning_tokens", '{"completion_tokens_details": {"reasoning_tokens": 7}}', 7,
          "langfuse.observation.usage_details"),
    *rows("cached_input_tokens", '{"input_tokens_details": {"cached_tokens": 7}}', 7,
          "langfuse.observation.usage_details"),
    *rows("cached_input_tokens", '{"input_cache_read": 7}', 7, "langfuse.observation.usage_details"),
    *rows("cache_write_tokens", '{"input_cache_creation": 7}', 7, "langfuse.observation.usage_details"),
    *rows("reasoning_tokens", '{"output_tokens_details": {"reasoning_tokens": 7}}', 7,
          "langfuse.observation.usage_details"),
    *rows("reasoning_tokens", '{"output_reasoning": 7}', 7, "langfuse.observation.usage_details"),
    *rows("input_tokens", '{"input_tokens": 7}', 7, "mlflow.chat.tokenUsage"),
    # how it went
    *rows("finish_reasons", ["stop"], ("stop",), "gen_ai.response.finish_reasons"),
    *rows("finish_reasons", '["tool_calls"]', ("tool_call",), "gen_ai.response.finish_reasons"),
    *rows("finish_reasons", "length", ("length",), "llm.finish_reason", "gen_ai.response.finish_reason",
          "llm.response.finish_reason", "ai.response.finishReason", "gen_ai.completion.0.finish_reason"),
    *rows("finish_reasons", '"end_turn"', ("stop",), "langfuse.observation.metadata.finish_reason",
          "anthropic.message.stop_reason"),
    *rows("streamed", True, True, "gen_ai.request.stream", "gen_ai.is_streaming", "llm.is_streaming",
          "langsmith.request.streaming"),
    *rows("streamed", '{"stream": true}', True, "llm.invocation_parameters"),
    *rows("error_type", "openai.RateLimitError", "RateLimitError", "error.type"),
    *rows("outcome", "ERROR", Outcome.ERROR, "langfuse.observation.level"),
    *rows("error_type", "Error code: 429 - no", "429", "langfuse.observation.status_message",
          **{"langfuse.observation.level": "ERROR"}),
    *rows("outcome", 429, Outcome.REJECTED, "http.response.status_code", "http.status_code", **{"error.type": "Odd"}),
    # what was asked for
    *rows("max_output_tokens", 9, 9, "gen_ai.request.max_tokens", "ai.settings.maxOutputTokens",
          "ai.settings.maxTokens"),
    *rows("max_output_tokens", '{"max_completion_tokens": 9}', 9, "llm.invocation_parameters"),
    *rows("max_output_tokens", '{"max_tokens": "9"}', 9, "langfuse.observation.model.parameters"),
    *rows("temperature", 0.5, 0.5, "gen_ai.request.temperature", "ai.settings.temperature"),
    *rows("temperature", '{"temperature": 0.5}', 0.5, "llm.invocation_parameters"),
    # time to first token
    *rows("first", 0.25, 0.25, "gen_ai.response.time_to_first_chunk", "gen_ai.client.operation.time_to_first_chunk"),
    *rows("first", 250.0, 0.25, "ai.response.msToFirstChunk", "ai.stream.msToFirstChunk", "time_to_first_token_ms"),
    *rows("first", 0.25, 0.25, "gen_ai.server.time_to_first_token", **{"gen_ai.request.stream": True}),
    *rows("first", '"2027-01-15T07:59:59.250Z"', 0.25, "langfuse.observation.completion_start_time"),
    # engines
    *rows("first", 0.25, 0.25, "gen_ai.latency.time_to_first_token"),
    *rows("duration_seconds", 0.75, 0.75, "gen_ai.latency.e2e"),
    *rows("queue_seconds", 0.1, 0.1, "gen_ai.latency.time_in_queue"),
    *rows("prefill_seconds", 0.1, 0.1, "gen_ai.latency.time_in_model_prefill"),
    *rows("decode_seconds", 0.1, 0.1, "gen_ai.latency.time_in_model_decode"),
    *rows("vantage", 0.1, Vantage.ENGINE, "gen_ai.latency.time_in_model_inference"),
    pytest.param(
        {"total_time": "1.5s", "queue_time": "45ms", "inference_time": "56.7µs"},
        {"duration_seconds": 1.5, "queue_seconds": 0.045, "provider": "tgi", "vantage": Vantage.ENGINE},
        id="TGI",
    ),
    pytest.param(
        {"ttft_ms": "250", "input_tokens": 7, "output_tokens": 8, "model": "m"},
        {"first": 0.25, "input_tokens": 7, "output_tokens": 8, "request_model": "m", "provider": "dynamo"},
        id="Dynamo",
    ),
    # where
    *rows("server_address", "api.example", "api.example", "server.address"),
    *rows("server_port", 8443, "8443", "server.port"),
    *rows("server_address", "https://api.example/v1", "api.example", "gen_ai.openai.api_base", "server.address"),
    *rows("server_port", "https://api.example/v1", "443", "gen_ai.openai.api_base"),
    # who
    *rows("agent", "planner", "planner", "gen_ai.agent.name", "agent.name"),
    *rows("tool_names", "look", ("look",), "gen_ai.tool.name", "tool.name"),
    *rows("tool_names", '[{"toolName": "look", "input": {}}]', ("look",), "ai.response.toolCalls"),
    # text
    *rows("prompt", MESSAGES, "hi", "gen_ai.input.messages", "ai.prompt.messages", "ai.prompt",
          "langfuse.observation.input", "gen_ai.prompt", "traceloop.entity.input", "mlflow.spanInputs",
          "langwatch.input", "input.value"),
    *rows("prompt", '[{"type": "text", "content": "be terse"}]', "be terse\nhi", "gen_ai.system_instructions",
          **{"gen_ai.input.messages": MESSAGES}),
    *rows("answer", ANSWER, 'ho\n{"a":1}', "gen_ai.output.messages", "langfuse.observation.output", "gen_ai.completion",
          "traceloop.entity.output", "mlflow.spanOutputs", "langwatch.output", "output.value"),
    *rows("tool_names", ANSWER, ("look",), "gen_ai.output.messages"),
    *rows("finish_reasons", ANSWER, ("tool_call",), "gen_ai.output.messages"),
    *rows("answer", "just words", "just words", "ai.response.text", "ai.response.object"),
    *rows("prompt", "hi", "hi", "gen_ai.prompt.0.content", "llm.input_messages.0.message.content",
          "llm.input_messages.0.message.contents.1.message_content.text", "embedding.embeddings.0.embedding.text"),
    *rows("answer", "ho", "ho", "gen_ai.completion.0.content", "llm.output_messages.0.message.content"),
    *rows("tool_names", "look", ("look",), "gen_ai.completion.0.tool_calls.0.name",
          "llm.output_messages.0.message.tool_calls.0.tool_call.function.name"),
]  # fmt: skip

ELSEWHERE = {
    "logfire.span_type", "request_data", "response_data", "duration",  # TestLogfire
    "traceloop.span.kind", "traceloop.entity.name", "ai.toolCall.name", "gen_ai.workflow.name",  # test_operations
    "event.name",  # test_logs
    "gen_ai.tool.definitions", "gen_ai.output.type",  # test_told_apart
    *judging.RESULT.scores, *judging.RESULT.labels, judging.NAME, judging.RESULT.passed, judging.FEEDBACK_NAME,
    # test_judgements
}  # fmt: skip


@pytest.mark.parametrize(("attributes", "expected"), ROWS)
def test_a_row_of_a_dialect_fills_its_field(otlp: Any, attributes: dict[str, object], expected: dict[str, Any]) -> None:
    call = otlp.call(attributes)
    text = {"prompt": call.text.prompt, "answer": call.text.answer} if call.text else {}
    found = {**text, "first": call.time_to_first_token_seconds}

    assert expected == {name: found.get(name, getattr(call, name, None)) for name in expected}


def test_every_name_of_the_table_has_a_row_here() -> None:
    tried = {name for row in ROWS for name in row.values[0]}

    assert not fields.slots().keys() - tried - ELSEWHERE


def test_the_canonical_name_stands_when_a_span_carries_several_dialects(otlp: Any) -> None:
    tokens: dict[str, object] = {
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.usage.prompt_tokens": 2,
        "llm.token_count.prompt": 1,
    }
    models: dict[str, object] = {
        "gen_ai.response.model": "new",
        "llm.response.model_name": "old",
        "llm.model_name": "older",
    }
    kinds: dict[str, object] = {
        "gen_ai.operation.name": "chat",
        "llm.request.type": "completion",
        "openinference.span.kind": "CHAIN",
    }
    for order in itertools.permutations(range(3)):
        given = {name: names[name] for names in (tokens, models, kinds) for name in map(list(names).__getitem__, order)}
        sent = otlp.fresh()
        for call in (sent.call(given), sent.call(given)):
            assert (call.input_tokens, call.response_model, call.operation) == (3, "new", "chat")


def test_an_older_name_fills_in_where_the_canonical_value_is_no_use(otlp: Any) -> None:
    call = otlp.call({**CHAT, "gen_ai.usage.input_tokens": "Infinity", "llm.token_count.prompt": 5})

    assert call.input_tokens == 5
    assert otlp.invalid == {"input_tokens": 1}


@pytest.mark.parametrize(("name", "operation"), [("litellm_request", "chat"), ("openai.completion", "text_completion")])
def test_a_completion_is_of_a_text_unless_litellm_says_so(otlp: Any, name: str, operation: str) -> None:
    assert otlp.call({"llm.request.type": "completion"}, name=name).operation == operation


@pytest.mark.parametrize("kind", ["prompt", "parser", "chain", "retriever", "tool"])
def test_what_langsmith_calls_a_chat_is_one_only_where_a_model_was_asked(otlp: Any, kind: str) -> None:
    run = {"gen_ai.operation.name": "chat", "gen_ai.system": "langchain", "langsmith.span.kind": kind}

    assert otlp.calls(otlp.span(run)) == ()


@pytest.mark.parametrize(("method", "counted"), [("_prepare_chat", 0), ("chat", 1)])
def test_a_private_method_of_a_model_is_no_call(otlp: Any, method: str, counted: int) -> None:
    assert len(otlp.calls(otlp.span({"openinference.span.kind": "LLM"}, name=f"OpenAI.{method}"))) == counted


@pytest.mark.parametrize("word", ["aimage_generation", "rerank", "arerank", "transcription"])
def test_a_request_of_another_type_is_no_chat(otlp: Any, word: str) -> None:
    asked = {"llm.request.type": word, "gen_ai.system": "openai", "gen_ai.request.model": "m"}

    assert otlp.calls(otlp.span(asked)) == ()


LOGFIRE = {**CHAT, "gen_ai.system": "openai", "gen_ai.request.model": "m", "request_data": '{"model":"m"}'}
OPENED = {**LOGFIRE, "logfire.span_type": "span"}
STREAMED = {
    **LOGFIRE, "logfire.span_type": "log", "duration": 2.5,
    "gen_ai.usage.input_tokens": 7, "gen_ai.usage.output_tokens": 8,
}  # fmt: skip


class TestLogfire:
    """Two spans for a streamed call: one until the stream begins, one that tells afterwards how it went."""

    def test_a_streamed_call_counts_once_with_what_is_told_of_it(self, otlp: Any) -> None:
        opened = otlp.span(OPENED, trace=1, start=-2.6, end=-2.5)
        told = otlp.span(STREAMED, trace=1, start=0.0)
        calls = (*otlp.calls(opened), *otlp.calls(told))

        assert [(c.counts, c.streamed, c.input_tokens, c.output_tokens) for c in calls] == [(True, True, 7, 8)]
        assert calls[0].duration_seconds == pytest.approx(2.5)
        assert otlp.ignored == {"same_call": 1}

    def test_a_call_that_was_answered_at_once_counts(self, otlp: Any) -> None:
        call = otlp.call({**OPENED, "gen_ai.usage.input_tokens": 7})

        assert (call.streamed, call.duration_seconds) == (False, 1.0)

    @pytest.mark.parametrize(
        ("name", "operations"),
        [("Message with 'm'", ["chat"]), ("Embedding Creation with 'm'", ["embeddings"]), ("my own span", [])],
    )
    def test_an_older_span_tells_all_by_its_name_and_its_data(
        self, otlp: Any, name: str, operations: list[str]
    ) -> None:
        told = {
            "logfire.span_type": "span", "request_data": '{"model": "m", "max_tokens": 9}',
            "response_data": '{"usage": {"input_tokens": 7, "output_tokens": 8}}',
        }  # fmt: skip
        calls = otlp.calls(otlp.span(told, name=name), scope="logfire.anthropic")

        assert [call.operation for call in calls] == operations
        for call in calls:
            assert (call.provider, call.request_model, call.max_output_tokens) == ("anthropic", "m", 9)
            assert (call.input_tokens, call.output_tokens) == (7, 8)

    def test_an_answer_in_its_own_words_is_one(self, otlp: Any) -> None:
        assert otlp.call({**OPENED, "response_data": '{"message":{}}'}).counts

    def test_a_call_that_failed_counts(self, otlp: Any) -> None:
        assert otlp.call(OPENED, status=2).outcome is Outcome.ERROR

    def test_a_framework_that_sends_through_logfire_needs_no_answer(self, otlp: Any) -> None:
        assert otlp.call({**CHAT, "logfire.span_type": "span"}).counts

    def test_a_duration_of_anybody_else_is_nobodys(self, otlp: Any) -> None:
        assert otlp.call({**CHAT, "duration": 9.0}).duration_seconds == 1.0


@pytest.mark.parametrize(
    "name",
    ["gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", "gen_ai.response.model", "server.address",
     "server.port", "gen_ai.request.stream", "gen_ai.request.max_tokens", "gen_ai.response.finish_reasons",
     "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"],
)  # fmt: skip
def test_what_repeats_from_span_to_span_in_the_convention_is_decoded_once(name: str) -> None:
    slot = fields.slots()[name]

    assert (slot.rank, slot.label_like, slot.mark) == (0, True, "")


def test_an_attribute_called_time_is_nobodys_port(otlp: Any) -> None:
    assert otlp.call({"gen_ai.operation.name": "chat", "time": 8000}).server_port == ""
