"""One span to one record: times, failures, engines, and what surrounds model calls."""

import json
from typing import Any

import pytest

from collector.otlp.intake import Encoding
from watchkeeper.core.records import Outcome, Vantage
from watchkeeper.core.vocabulary.operations import AGENT_DURATION, TOOL_DURATION, WORKFLOW_DURATION
from watchkeeper.core.vocabulary.requests import CLIENT_DURATION

CHAT = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai"}
STREAMED = {**CHAT, "gen_ai.request.stream": True}


class TestTimes:
    def test_a_duration_is_end_minus_start(self, otlp: Any) -> None:
        call = otlp.call(CHAT, start=-1.5, end=0.0)

        assert call.duration_seconds == pytest.approx(1.5)
        assert call.at == pytest.approx(otlp.now)

    @pytest.mark.parametrize(("start", "end"), [(0.0, -1.0), (-86_500.0, 0.0)], ids=["backwards", "over a day"])
    def test_a_duration_that_cannot_be_is_unknown_and_the_call_still_counts(
        self, otlp: Any, start: float, end: float
    ) -> None:
        call = otlp.call(CHAT, start=start, end=end)

        assert call.duration_seconds is None
        assert call.counts
        assert otlp.invalid == {"duration": 1}

    @pytest.mark.parametrize("missing", ["start_time_unix_nano", "end_time_unix_nano"])
    def test_a_missing_time_is_no_duration(self, otlp: Any, missing: str) -> None:
        span = otlp.span(CHAT)
        setattr(span, missing, 0)
        [call] = otlp.calls(span)

        assert call.duration_seconds is None
        assert otlp.invalid == {"duration": 1}

    @pytest.mark.parametrize("end", [-3700.0, 400.0], ids=["old", "from the future"])
    def test_a_call_from_another_time_happened_now(self, otlp: Any, end: float) -> None:
        call = otlp.call(CHAT, start=end - 1, end=end)

        assert call.at == otlp.now
        assert call.duration_seconds == pytest.approx(1.0)

    @pytest.mark.parametrize("first", [1.5, -0.1], ids=["after the end", "negative"])
    def test_a_first_token_outside_the_call_is_unknown(self, otlp: Any, first: float) -> None:
        call = otlp.call({**STREAMED, "gen_ai.response.time_to_first_chunk": first})

        assert call.time_to_first_token_seconds is None
        assert otlp.invalid == {"time_to_first_token": 1}

    def test_a_call_that_is_not_streamed_has_no_first_token(self, otlp: Any) -> None:
        openlit = {**CHAT, "gen_ai.request.stream": False, "gen_ai.server.time_to_first_token": 0.9}

        assert otlp.call(openlit).time_to_first_token_seconds is None
        assert otlp.call({**CHAT, "gen_ai.server.time_to_first_token": 0.9}).time_to_first_token_seconds is None

    @pytest.mark.parametrize(
        "event",
        [
            "First Token Stream Event",
            "gen_ai.content.completion.chunk",
            "llm.content.completion.chunk",
            "ai.stream.firstChunk",
        ],
    )
    def test_the_first_chunk_may_be_an_event(self, otlp: Any, event: str) -> None:
        events = [("other", -0.9, {}), (event, -0.75, {"n": 1}), (event, -0.5, {})]
        for status in (0, 2):
            call = otlp.call(CHAT, events=events, status=status)

            assert call.time_to_first_token_seconds == pytest.approx(0.25, abs=1e-6)
            assert call.streamed

    def test_a_first_chunk_before_the_start_is_unknown(self, otlp: Any) -> None:
        call = otlp.call(CHAT, events=[("First Token Stream Event", -1.5, {})])

        assert call.time_to_first_token_seconds is None
        assert otlp.invalid == {"time_to_first_token": 1}

    def test_milliseconds_are_not_seconds(self, otlp: Any) -> None:
        vercel = {"ai.operationId": "ai.streamText.doStream", "ai.response.msToFirstChunk": 426.85}

        assert otlp.call(vercel).time_to_first_token_seconds == pytest.approx(0.42685)


class TestFailures:
    def test_a_status_without_a_name_is_still_a_failure(self, otlp: Any) -> None:
        call = otlp.call(CHAT, status=2)

        assert (call.outcome, call.error_type) == (Outcome.ERROR, "_OTHER")

    def test_a_name_without_a_status_is_a_failure(self, otlp: Any) -> None:
        call = otlp.call({**CHAT, "error.type": "429"})

        assert (call.outcome, call.error_type) == (Outcome.REJECTED, "429")

    def test_the_name_may_be_in_an_exception_event(self, otlp: Any) -> None:
        exception = ("exception", 0.0, {"exception.message": "x", "exception.type": "openai.RateLimitError"})
        call = otlp.call(CHAT, status=2, events=[("other", 0.0, {}), exception, exception])

        assert (call.outcome, call.error_type) == (Outcome.REJECTED, "RateLimitError")

    def test_an_exception_that_was_dealt_with_is_no_failure(self, otlp: Any) -> None:
        call = otlp.call(CHAT, status=1, events=[("exception", 0.0, {"exception.type": "ValueError"})])

        assert (call.outcome, call.error_type) == (Outcome.OK, "")

    @pytest.mark.parametrize(
        ("words", "outcome"),
        [
            ("Error code: 429 - {'message': 'private'}", Outcome.REJECTED),
            ("status_code: 401, model_name: m, body: private", Outcome.CLIENT_ERROR),
            ("API error occurred: Status 404", Outcome.CLIENT_ERROR),
            ("RateLimited('Error code: 429 - private')Traceback", Outcome.REJECTED),
            ("429 RESOURCE_EXHAUSTED. private", Outcome.REJECTED),
            ("Request timed out.", Outcome.TIMEOUT),
            ("Error code: 500", Outcome.ERROR),
            ("private", Outcome.ERROR),
        ],
    )
    def test_a_name_that_says_little_is_explained_by_the_code_in_its_words(
        self, otlp: Any, words: str, outcome: Outcome
    ) -> None:
        exception = ("exception", 0.0, {"exception.type": "ServiceException", "exception.message": words})
        call = otlp.call(CHAT, status=2, events=[exception])

        assert (call.outcome, call.error_type) == (outcome, "ServiceException")
        assert "private" not in repr(call)

    def test_a_name_that_says_enough_is_believed(self, otlp: Any) -> None:
        exception = ("exception", 0.0, {"exception.message": "Error code: 500"})
        call = otlp.call({**CHAT, "error.type": "RateLimitError"}, status=2, events=[exception])

        assert call.outcome is Outcome.REJECTED


class TestNumbers:
    def test_kinds_of_tokens_that_add_up_to_the_total_leave_each_other_out(self, otlp: Any) -> None:
        usage = '{"input": 515, "input_cache_read": 512, "output": 95, "output_reasoning": 32, "total": 1154}'
        call = otlp.call({**CHAT, "langfuse.observation.usage_details": usage})

        assert (call.input_tokens, call.cached_input_tokens) == (1027, 512)
        assert (call.output_tokens, call.reasoning_tokens) == (127, 32)

    @pytest.mark.parametrize("total", [610, -5, "610", None, True])
    def test_without_such_a_total_they_are_taken_as_sent(self, otlp: Any, total: object) -> None:
        usage = {"input": 515, "input_cache_read": 512, "output": 95, "total": total}
        call = otlp.call({**CHAT, "langfuse.observation.usage_details": json.dumps(usage)})

        assert (call.input_tokens, call.output_tokens) == (515, 95)

    def test_cache_beside_the_input_is_added_to_it(self, otlp: Any) -> None:
        call = otlp.call(
            {
                **CHAT,
                "gen_ai.usage.input_tokens": 10,
                "gen_ai.usage.cache_read.input_tokens": 100,
                "gen_ai.usage.cache_write.input_tokens": 5,
            }
        )

        assert (call.input_tokens, call.cached_input_tokens, call.cache_write_tokens) == (115, 100, 5)

    def test_cache_within_the_input_stays(self, otlp: Any) -> None:
        call = otlp.call({**CHAT, "gen_ai.usage.input_tokens": 1200, "gen_ai.usage.cache_read.input_tokens": 1024})

        assert call.input_tokens == 1200

    @pytest.mark.parametrize(("answer", "thoughts", "output"), [(20, 500, 520), (520, 500, 520), (0, 5, 5), (7, 0, 7)])
    def test_reasoning_beside_the_answer_is_added_to_it(
        self, otlp: Any, answer: int, thoughts: int, output: int
    ) -> None:
        tokens = {"gen_ai.usage.output_tokens": answer, "gen_ai.usage.reasoning.output_tokens": thoughts}

        call = otlp.call({**CHAT, **tokens})

        assert (call.output_tokens, call.reasoning_tokens) == (output, thoughts)

    @pytest.mark.parametrize("sent", [-1, 2_000_000_000, "many", True, [1], {"a": 1}, float("nan"), float("inf")])
    def test_a_wrong_count_is_unknown_and_counted(self, otlp: Any, sent: object) -> None:
        call = otlp.call({**CHAT, "gen_ai.usage.input_tokens": sent})

        assert call.input_tokens is None
        assert call.counts
        assert otlp.invalid == {"input_tokens": 1}

    @pytest.mark.parametrize("sent", ["None", "", None])
    def test_not_given_is_not_wrong(self, otlp: Any, sent: object) -> None:
        assert otlp.call({**CHAT, "gen_ai.usage.input_tokens": sent}).input_tokens is None
        assert otlp.invalid == {}

    @pytest.mark.parametrize("tokens", [0, 127, 128, 16_383, 16_384, 2_097_152, 1_000_000_000])
    def test_numbers_of_every_length_are_read(self, otlp: Any, tokens: int) -> None:
        assert otlp.call({**CHAT, "gen_ai.usage.input_tokens": tokens}).input_tokens == tokens


VLLM = {
    "gen_ai.latency.time_to_first_token": 0.2,
    "gen_ai.latency.e2e": 0.9,
    "gen_ai.latency.time_in_queue": 0.05,
    "gen_ai.latency.time_in_model_prefill": 0.15,
    "gen_ai.latency.time_in_model_decode": 0.7,
    "gen_ai.usage.prompt_tokens": 10,
    "gen_ai.usage.completion_tokens": 20,
    "gen_ai.request.id": "cmpl-1",
}


class TestEngines:
    def test_a_vllm_span_is_an_engines_view_of_a_chat(self, otlp: Any) -> None:
        call = otlp.call(VLLM, name="llm_request", scope="vllm.llm_engine")

        assert (call.vantage, call.operation, call.provider) == (Vantage.ENGINE, "chat", "vllm")
        assert (call.duration_seconds, call.time_to_first_token_seconds) == (0.9, 0.2)
        assert (call.queue_seconds, call.prefill_seconds, call.decode_seconds) == (0.05, 0.15, 0.7)
        assert (call.input_tokens, call.output_tokens, call.response_id) == (10, 20, "cmpl-1")
        assert call.outcome is None

    @pytest.mark.parametrize(
        ("name", "scope", "service", "provider"),
        [
            ("llm_request", "", "", "vllm"),
            ("llm_request", "trt.llm", "", "tensorrt_llm"),
            ("Req 1234abcd", "", "", "sglang"),
            ("Req 1234abcd", "sglang server", "sglang", "sglang"),
            ("request", "", "sglang", "sglang"),
            ("request", "", "", ""),
        ],
    )
    def test_names_give_the_engine_away(self, otlp: Any, name: str, scope: str, service: str, provider: str) -> None:
        span = otlp.span({"gen_ai.latency.e2e": 0.5}, name=name)
        [call] = otlp.calls(span, scope=scope, resource={"service.name": service})

        assert provider == call.provider

    def test_a_finish_reason_tells_the_outcome_where_there_is_no_status(self, otlp: Any) -> None:
        stopped = otlp.call({**VLLM, "gen_ai.response.finish_reasons": '["stop"]'})
        aborted = otlp.call({**VLLM, "gen_ai.response.finish_reasons": '["abort"]'})

        assert (stopped.outcome, aborted.outcome) == (Outcome.OK, Outcome.CANCELLED)

    def test_without_its_own_duration_the_spans_is_taken(self, otlp: Any) -> None:
        assert otlp.call({"gen_ai.latency.time_in_queue": 0.1}, start=-2.0).duration_seconds == pytest.approx(2.0)


class TestWho:
    def test_resource_attributes_say_whose_call_it_is(self, otlp: Any) -> None:
        resource = {
            "service.name": "shop",
            "service.version": "2",
            "service.namespace": "beaten",
            "k8s.namespace.name": "prod",
            "k8s.pod.name": "shop-1",
        }
        [call] = otlp.calls(otlp.span(CHAT), resource=resource)

        assert (call.service, call.service_version, call.namespace, call.pod) == ("shop", "2", "prod", "shop-1")

    def test_the_service_namespace_stands_in_for_the_cluster_s(self, otlp: Any) -> None:
        [call] = otlp.calls(otlp.span(CHAT), resource={"service.namespace": "team"})

        assert call.namespace == "team"

    def test_a_tenant_comes_from_the_span_then_the_resource_then_the_header(self, otlp: Any) -> None:
        sent = otlp.fresh(tenant_attribute="team.id", tenant_header="X-Tenant")
        by_header = {"x-tenant": "header"}

        def tenant(attributes: dict[str, object], resource: dict[str, object]) -> str:
            [call] = sent.calls(sent.span({**CHAT, **attributes}), resource=resource, headers=by_header)
            return str(call.tenant)

        assert tenant({"team.id": "span"}, {"team.id": "resource"}) == "span"
        assert tenant({}, {"team.id": "resource"}) == "resource"
        assert tenant({}, {}) == "header"

    def test_a_tenant_may_be_an_attribute_that_means_something_already(self, otlp: Any) -> None:
        sent = otlp.fresh(tenant_attribute="gen_ai.agent.name")
        call = sent.call({**CHAT, "gen_ai.agent.name": "a"})

        assert (call.tenant, call.agent) == ("a", "a")

    def test_nobody_asked_for_a_tenant(self, otlp: Any) -> None:
        [call] = otlp.calls(otlp.span({**CHAT, "tenant": "t"}), headers={"x-tenant": "t", "": "t"})

        assert call.tenant == ""

    def test_the_scope_of_a_client_stands_in_for_a_missing_provider(self, otlp: Any) -> None:
        call = otlp.call({"gen_ai.operation.name": "chat"}, scope="opentelemetry.instrumentation.anthropic")

        assert call.provider == "anthropic"

    def test_a_server_address_that_is_a_url_becomes_host_and_port(self, otlp: Any) -> None:
        call = otlp.call({**CHAT, "server.address": "http://10.0.0.1:8000/v1/"})

        assert (call.server_address, call.server_port) == ("10.0.0.1", "8000")


class TestSurroundings:
    @pytest.mark.parametrize(
        ("attributes", "metric", "label"),
        [
            ({"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "x"}, AGENT_DURATION, "gen_ai.agent.name"),
            ({"traceloop.span.kind": "agent", "traceloop.entity.name": "x"}, AGENT_DURATION, "gen_ai.agent.name"),
            ({"openinference.span.kind": "AGENT", "agent.name": "x"}, AGENT_DURATION, "gen_ai.agent.name"),
            ({"traceloop.span.kind": "workflow", "traceloop.entity.name": "x"}, WORKFLOW_DURATION,
             "gen_ai.workflow.name"),
            ({"gen_ai.operation.name": "invoke_workflow", "gen_ai.workflow.name": "x"}, WORKFLOW_DURATION,
             "gen_ai.workflow.name"),
            ({"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "x"}, TOOL_DURATION, "gen_ai.tool.name"),
            ({"openinference.span.kind": "TOOL", "tool.name": "x"}, TOOL_DURATION, "gen_ai.tool.name"),
            ({"ai.operationId": "ai.toolCall", "ai.toolCall.name": "x"}, TOOL_DURATION, "gen_ai.tool.name"),
            ({"langfuse.observation.type": "tool", "gen_ai.tool.name": "x"}, TOOL_DURATION, "gen_ai.tool.name"),
        ],
    )  # fmt: skip
    def test_agents_workflows_and_tools_are_durations_of_their_own(
        self, otlp: Any, attributes: dict[str, object], metric: object, label: str
    ) -> None:
        otlp.send(otlp.span({**attributes, "error.type": "a.Boom"}, start=-2.0))
        reading = otlp.read()
        [sample] = reading.samples

        assert metric == sample.metric
        assert sample.value == pytest.approx(2.0)
        assert (("service.name", "app"), (label, "x"), ("error.type", "Boom")) == sample.labels
        assert (reading.items, reading.completions) == (1, ())

    @pytest.mark.parametrize("operation", ["retrieval", "create_agent", "search_memory", "fetch_response", "plan"])
    def test_other_operations_are_client_operations(self, otlp: Any, operation: str) -> None:
        otlp.send(otlp.span({"gen_ai.operation.name": operation, "gen_ai.provider.name": "p"}))
        [sample] = otlp.read().samples

        assert sample.metric == CLIENT_DURATION
        assert (
            ("service.name", "app"),
            ("gen_ai.operation.name", operation),
            ("gen_ai.provider.name", "p"),
        ) == sample.labels

    @pytest.mark.parametrize(
        "attributes",
        [
            {"http.method": "POST", "http.url": "http://x/v1/chat/completions", "http.status_code": 200},
            {"openinference.span.kind": "CHAIN", "input.value": "x"},
            {"traceloop.span.kind": "task"},
            {"langfuse.observation.type": "span"},
            {"total_time": "1s"},
            {"input_tokens": 5, "output_tokens": 6, "model": "m"},
            {},
        ],
        ids=str,
    )
    def test_other_spans_carry_nothing_to_measure(self, otlp: Any, attributes: dict[str, object]) -> None:
        otlp.send(otlp.span(attributes))

        assert otlp.read().items == 0
        assert otlp.ignored == {"not_genai": 1}

    def test_an_operation_without_a_duration_is_ignored_with_a_reason(self, otlp: Any) -> None:
        otlp.send(otlp.span({"gen_ai.operation.name": "invoke_agent"}, start=0.0, end=-1.0))

        assert otlp.read().items == 0
        assert otlp.ignored == {"no_duration": 1}


class TestText:
    def test_text_is_cut_at_its_limit(self, otlp: Any) -> None:
        long = json.dumps([{"role": "user", "parts": [{"type": "text", "content": "x" * 100_000}]}])
        call = otlp.call({**CHAT, "gen_ai.input.messages": long})

        assert len(call.text.prompt) == 65_536

    def test_text_that_is_no_json_is_text(self, otlp: Any) -> None:
        call = otlp.call({**CHAT, "gen_ai.input.messages": "[not json", "gen_ai.output.messages": '{"odd": 1}'})

        assert (call.text.prompt, call.text.answer) == ("[not json", '{"odd": 1}')

    def test_numbered_messages_are_put_in_order(self, otlp: Any) -> None:
        call = otlp.call(
            {**CHAT, **{f"gen_ai.prompt.{n}.content": f"m{n}" for n in (10, 2, 1)}, "gen_ai.prompt.1.role": "user"}
        )

        assert call.text.prompt == "m1\nm2\nm10"

    def test_pictures_and_files_are_no_text(self, otlp: Any) -> None:
        parts = [
            {"type": "blob", "content": "AAAA"},
            {"type": "text", "content": "ho"},
            {"type": "tool_call_response", "id": "1", "response": {"result": "sunny"}},
            {"type": "reasoning", "content": "hm"},
        ]
        call = otlp.call({**CHAT, "gen_ai.input.messages": json.dumps([{"role": "user", "parts": parts}])})

        assert call.text.prompt == "ho\nsunny\nhm"

    def test_structured_messages_are_read_like_json_text(self, otlp: Any) -> None:
        parts = [{"type": "text", "content": "ho"}, {"type": "blob", "content": "AAAA"}, {"type": "new"}]
        answer = [{"role": "assistant", "parts": parts, "finish_reason": "stop", "name": None}]
        call = otlp.call({**CHAT, "gen_ai.output.messages": answer})

        assert call.text.answer == "ho"
        assert call.finish_reasons == ("stop",)

    def test_instructions_that_the_messages_repeat_are_there_once(self, otlp: Any) -> None:
        call = otlp.call(
            {
                **CHAT,
                "gen_ai.system_instructions": '[{"type": "text", "content": "be terse"}]',
                "gen_ai.input.messages": '[{"role": "system", "content": "be terse"}, {"role": "user", "text": "hi"}]',
            }
        )

        assert call.text.prompt == "be terse\nhi"

    def test_deep_json_text_does_no_harm(self, otlp: Any) -> None:
        call = otlp.call({**CHAT, "gen_ai.input.messages": "[" * 50_000})

        assert call.text.prompt == "[" * 50_000

    def test_neither_repr_nor_answer_shows_text(self, otlp: Any) -> None:
        call = otlp.call({**CHAT, "gen_ai.input.messages": "secret words"})

        assert "secret" not in repr(call)


def test_both_encodings_give_the_same_record(both: tuple[Any, Any]) -> None:
    given = {
        **STREAMED,
        "gen_ai.request.model": "m",
        "server.port": 443,
        "gen_ai.usage.input_tokens": 12_345_678,
        "gen_ai.response.finish_reasons": ["stop", "length"],
        "gen_ai.response.time_to_first_chunk": 0.5,
        "gen_ai.input.messages": [{"role": "user", "parts": [{"type": "text", "content": "hi"}]}],
        "unread": {"deep": [1, 2.5, True, None, b"x"]},
    }
    protobuf, json_ = (sent.call(given, status=2, trace=5, span=6, parent=7, name="ü") for sent in both)

    assert protobuf == json_


def test_an_unread_attribute_is_never_decoded(protobuf: Any) -> None:
    sent = protobuf
    span = sent.span(CHAT).SerializeToString() + bytes([0x4A, 6]) + b"\x0a\x01x\x12\x01\xff"
    sent.intake.take(sent.Traces, Encoding.PROTOBUF, _wrapped(span), {}, sent.now)

    assert len(sent.read().completions) == 1


def _wrapped(span: bytes) -> bytes:
    for number in (2, 2, 1):
        size = len(span)
        length = bytes([size]) if size < 0x80 else bytes([size & 0x7F | 0x80, size >> 7])
        span = bytes([number << 3 | 2]) + length + span
    return span
