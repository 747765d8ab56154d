"""What of a call's text is told apart for the checks: reasoning, results of tools, calls, tools offered, schema."""

import json
from typing import Any

from watchkeeper.core.records import Text, ToolCall

TOOLS = [{"type": "function", "name": "weather", "parameters": {"type": "object"}}]
ASKED = [
    {"role": "user", "parts": [{"type": "text", "content": "Rain?"}]},
    {"role": "tool", "parts": [{"type": "tool_call_response", "id": "1", "response": {"result": "heavy rain"}}]},
]
ANSWERED = [
    {
        "role": "assistant",
        "finish_reason": "tool_call",
        "parts": [
            {"type": "reasoning", "content": "They ask about rain."},
            {"type": "text", "content": "I will look."},
            {"type": "tool_call", "name": "weather", "arguments": {"city": "Ulm"}},
        ],
    }
]


def told(otlp: Any, **more: object) -> Text:
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.input.messages": json.dumps(ASKED),
        "gen_ai.output.messages": json.dumps(ANSWERED),
        "gen_ai.tool.definitions": json.dumps(TOOLS),
        **more,
    }
    text = otlp.call(attributes).text
    assert isinstance(text, Text)
    return text


def test_parts_of_the_conventions_messages_are_told_apart(otlp: Any) -> None:
    text = told(otlp)

    assert text.reasoning == "They ask about rain."
    assert text.context == "heavy rain"
    assert text.calls == (ToolCall("weather", '{"city":"Ulm"}'),)
    assert json.loads(text.tools) == TOOLS
    assert text.schema == ""


def test_they_stay_parts_of_prompt_and_answer(otlp: Any) -> None:
    text = told(otlp)

    assert text.prompt == "Rain?\nheavy rain"
    assert text.answer == 'They ask about rain.\nI will look.\n{"city":"Ulm"}'


def test_an_output_type_of_json_asks_for_any_json(otlp: Any) -> None:
    assert told(otlp, **{"gen_ai.output.type": "json"}).schema == "{}"


def test_a_schema_in_the_parameters_of_the_call_is_what_the_answer_has_to_fit(otlp: Any) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object", "required": ["a"]}}}

    text = told(otlp, **{"llm.invocation_parameters": json.dumps({"response_format": wanted})})

    assert json.loads(text.schema) == {"type": "object", "required": ["a"]}


def test_messages_in_chat_shape_are_told_apart_too(otlp: Any) -> None:
    asked = [{"role": "user", "content": "Rain?"}, {"role": "tool", "content": "heavy rain"}]
    calls = [{"function": {"name": "weather", "arguments": '{"city":"Ulm"}'}}]
    answered = [{"role": "assistant", "reasoning": "Hm.", "tool_calls": calls}]

    text = told(otlp, **{"gen_ai.input.messages": json.dumps(asked), "gen_ai.output.messages": json.dumps(answered)})

    assert (text.context, text.reasoning) == ("heavy rain", "Hm.")
    assert text.calls == (ToolCall("weather", '{"city":"Ulm"}'),)


def test_what_is_told_apart_shows_in_no_repr(otlp: Any) -> None:
    assert "rain" not in repr(told(otlp))
    assert "Ulm" not in repr(told(otlp).calls)
