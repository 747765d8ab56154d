"""Bodies that real clients sent. They lie beside the checkout, not in it (testkit.recorded)."""

import gzip
import json
from typing import Any

import pytest

from collector.otlp.intake import Encoding, Intake, Signal
from collector.otlp.pending import HOLD_SECONDS
from watchkeeper.core.records import Completion, Outcome
from watchkeeper.core.testkit import recorded

FOLDER = recorded() / "otlp"

NOW = 1_795_293_000.0
V2 = "otel-openai-v2-2.1b0"
CLIENTS = [
    "otel-genai-openai-1.3b0",
    "python-otlp-json-exporter-0.66b1",
    V2,
    "openllmetry-openai-0.62.4",
    "openinference-openai-0.1.66",
    "openlit-1.45.0",
]
CALLS = {client: 4 if client == V2 else 5 for client in CLIENTS}
NO_CACHE = {V2}
NO_REASONING = {V2, "openlit-1.45.0"}
NO_RESPONSE_ID = {"openinference-openai-0.1.66"}
FILES = {Encoding.PROTOBUF: "pb", Encoding.JSON: "json"}


def body(client: str, signal: Signal, encoding: Encoding) -> bytes | None:
    path = FOLDER / "captured" / client / f"{signal.value}.{FILES[encoding]}"
    return path.read_bytes() if path.exists() else None


def send(intake: Intake, client: str, signal: Signal, encoding: Encoding) -> None:
    sent = body(client, signal, encoding)
    if sent is not None:
        assert intake.take(signal, encoding, sent, {}, NOW).rejected == 0


def recorded(client: str) -> list[Encoding]:
    return [encoding for encoding in Encoding if client != "python-otlp-json-exporter-0.66b1" or encoding == "json"]


CASES = [
    pytest.param(client, encoding, id=f"{client}-{encoding}") for client in CLIENTS for encoding in recorded(client)
]


@pytest.mark.parametrize(("client", "encoding"), CASES)
class TestCaptured:
    def calls(self, otlp: Any, client: str, encoding: Encoding, *signals: Signal) -> list[Completion]:
        for signal in signals or (Signal.TRACES,):
            send(otlp.intake, client, signal, encoding)
        return sorted(otlp.read(NOW).completions, key=lambda call: call.at)

    def test_five_calls_become_the_five_expected_records(self, protobuf: Any, client: str, encoding: Encoding) -> None:
        found = self.calls(protobuf, client, encoding)
        plain, streamed, tool, failed = found[:4]

        assert CALLS[client] == len(found)
        assert {call.provider for call in found} == {"openai"}
        assert {call.service for call in found} == {"chat-app"}
        for call in (plain, streamed, tool):
            assert (
                call.operation, call.request_model, call.response_model,
            ) == ("chat", "gpt-4o-mini", "gpt-4o-mini-2024-07-18")  # fmt: skip
            assert (call.input_tokens, call.output_tokens, call.outcome) == (1200, 64, Outcome.OK)
            assert call.cached_input_tokens == (None if client in NO_CACHE else 1024)
            assert call.response_id == ("" if client in NO_RESPONSE_ID else "chatcmpl-stub-0001")
        assert plain.reasoning_tokens == (None if client in NO_REASONING else 32)
        assert (plain.finish_reasons, plain.streamed, plain.time_to_first_token_seconds) == (("stop",), False, None)
        assert (plain.max_output_tokens, plain.temperature) == (100, 0.2)
        assert tool.finish_reasons == ("tool_call",)
        assert (
            failed.operation, failed.request_model, failed.input_tokens, failed.outcome, failed.error_type,
        ) == ("chat", "boom", None, Outcome.REJECTED, "RateLimitError")  # fmt: skip
        if client == V2:
            assert (
                streamed.finish_reasons, streamed.streamed, streamed.time_to_first_token_seconds,
            ) == ((), False, None)  # fmt: skip
            return
        assert (streamed.finish_reasons, streamed.streamed) == (("stop",), True)
        assert 0.15 <= (streamed.time_to_first_token_seconds or 0) <= 0.17
        assert tool.tool_names == ("get_weather",)
        embedding = found[4]
        assert (
            embedding.operation, embedding.request_model, embedding.input_tokens,
        ) == ("embeddings", "text-embedding-3-small", 5)  # fmt: skip

    @pytest.mark.parametrize("traces_first", [True, False])
    def test_with_its_log_records_each_call_is_still_counted_once(
        self, protobuf: Any, client: str, encoding: Encoding, traces_first: bool
    ) -> None:
        order = (Signal.TRACES, Signal.LOGS) if traces_first else (Signal.LOGS, Signal.TRACES)
        found = self.calls(protobuf, client, encoding, *order)

        assert CALLS[client] == sum(call.counts for call in found)
        assert len([call for call in found if call.duration_seconds is not None]) == CALLS[client]
        said = {call.text.answer for call in found if call.text}
        assert {"The weather in Paris is rainy.", "The weather is rainy."} <= said
        reasons = [reason for call in found if call.counts or not traces_first for reason in call.finish_reasons]
        assert sorted(reasons) == (["stop", "tool_call"] if client == V2 and traces_first else
                                   ["stop", "stop", "tool_call"])  # fmt: skip

    @pytest.mark.parametrize("traces_first", [True, False])
    def test_its_metrics_are_used_only_without_its_spans(
        self, protobuf: Any, client: str, encoding: Encoding, traces_first: bool
    ) -> None:
        alone, beside = protobuf.fresh(), protobuf.fresh()
        order = (Signal.TRACES, Signal.METRICS) if traces_first else (Signal.METRICS, Signal.TRACES)
        send(alone.intake, client, Signal.METRICS, encoding)
        for signal in order:
            send(beside.intake, client, signal, encoding)
        used = {sample.metric.name for sample in beside.read(NOW + HOLD_SECONDS).samples}

        assert used <= {"gen_ai.client.operation.time_per_output_chunk"}
        if body(client, Signal.METRICS, encoding) is not None:
            durations = [
                sample.value for sample in alone.read(NOW + HOLD_SECONDS).samples
                if sample.metric.name == "gen_ai.client.operation.duration"
            ]  # fmt: skip
            assert sum(sum(value.counts) for value in durations) == CALLS[client]


def test_a_gzip_body_is_the_same_body() -> None:
    folder = FOLDER / "captured" / "python-otlp-json-exporter-0.66b1"

    assert json.loads(gzip.decompress((folder / "traces.json.gz").read_bytes())) == json.loads(
        (folder / "traces.json").read_bytes()
    )


@pytest.mark.parametrize("name", ["langwatch.claude_code", "langwatch.raw_otlp_advanced"])
def test_all_zero_ids_are_refused_by_partial_success(protobuf: Any, name: str) -> None:
    sent = (FOLDER / "public" / f"{name}.otlp.json").read_bytes()
    taken = protobuf.intake.take(Signal.TRACES, Encoding.JSON, sent, {}, NOW)

    assert (taken.rejected, taken.message) == (1, "rejected: invalid_id 1")
    assert protobuf.read().items == 0


@pytest.mark.parametrize(
    ("name", "signal"), [("trace", Signal.TRACES), ("logs", Signal.LOGS), ("metrics", Signal.METRICS)]
)
def test_the_protocols_own_examples_are_taken_and_carry_nothing_of_genai(
    protobuf: Any, name: str, signal: Signal
) -> None:
    sent = (FOLDER / "public" / f"opentelemetry-proto.{name}.json").read_bytes()

    assert protobuf.intake.take(signal, Encoding.JSON, sent, {}, NOW).rejected == 0
    assert protobuf.ignored.keys() == {"not_genai"}


@pytest.mark.parametrize(
    "name",
    [
        "openinference.openinference_client_span_tool_calls",
        "openinference.otel_genai_client_span_tool_calls",
        "openinference.otel_genai_deprecated_client_span_tool_calls",
    ],
)
def test_one_call_in_three_dialects_is_one_record(otlp: Any, name: str) -> None:
    call = otlp.call(json.loads((FOLDER / "public" / f"{name}.attributes.json").read_bytes()))

    assert (
        call.operation, call.provider, call.request_model, call.response_model, call.input_tokens, call.output_tokens,
    ) == ("chat", "openai", "gpt-4", "gpt-4-0613", 97, 52)  # fmt: skip
    assert (call.max_output_tokens, call.temperature) == (200, 0.5)
    assert call.text.prompt == (
        'Weather in Paris?\nAbsolutely! Let me check the weather for you.\n{"location":"Paris"}\nrainy, 57°F'
    )
    assert call.text.answer == "The weather in Paris is currently rainy with a temperature of 57°F."


def test_a_vercel_span_is_a_streamed_chat(otlp: Any) -> None:
    [given] = json.loads((FOLDER / "public" / "vercel-ai-sdk-v6.streamText-doStream.span.json").read_bytes())
    span = otlp.span(given["attributes"], name=given["name"], start=-5.386307375)
    [call] = otlp.calls(span)

    assert (
        call.operation, call.provider, call.request_model, call.response_model,
    ) == ("chat", "openai", "gpt-4o-mini", "gpt-4o-mini-2024-07-18")  # fmt: skip
    assert (
        call.input_tokens, call.output_tokens, call.cached_input_tokens, call.reasoning_tokens,
    ) == (15, 112, 0, 0)  # fmt: skip
    assert (call.streamed, call.finish_reasons) == (True, ("stop",))
    assert call.time_to_first_token_seconds == pytest.approx(0.4268535)
    assert call.text.prompt == "Write a short poem about TypeScript."
    assert call.text.answer.startswith("In code’s embrace")


def test_a_turn_of_an_agent_that_is_no_model_call_is_not_one(otlp: Any) -> None:
    given = json.loads((FOLDER / "public" / "langwatch.codex.session_task_turn.attributes.json").read_bytes())
    otlp.send(otlp.span(given["attributes"], name=given["spanName"]), scope=given["scopeName"])

    assert otlp.ignored == {"not_genai": 1}
