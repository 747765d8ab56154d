"""What of an exchange is told apart for the checks: reasoning, calls, log probabilities, and what the request asks."""

import json
from typing import Any

import msgspec
import pytest

from collector.tap import dialects, request
from collector.tap.answer import Answer


def streamed(*deltas: dict[str, Any], room: int = 1000) -> Answer:
    answer = Answer(room)
    for delta in deltas:
        event = {"choices": [{"index": 0, **delta}]}
        dialects.chunk_event(answer, json.dumps(event).encode(), 1.0)
    return answer


def asked(**body: object) -> request.Asked:
    return msgspec.json.decode(json.dumps({"model": "m", **body}), type=request.Asked)


def test_reasoning_is_a_part_of_the_words() -> None:
    answer = streamed({"delta": {"reasoning_content": "Hm. "}}, {"delta": {"content": "Yes"}})

    assert "".join(answer.words) == "Hm. Yes"
    assert "".join(answer.reasoning) == "Hm. "


def test_pieces_of_a_tool_call_are_put_together() -> None:
    answer = streamed(
        {"delta": {"tool_calls": [{"index": 0, "function": {"name": "look", "arguments": '{"a"'}}]}},
        {"delta": {"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]}},
        {"delta": {"tool_calls": [{"index": 1, "function": {"name": "stop", "arguments": "{}"}}]}},
    )

    assert [(name, "".join(pieces)) for name, pieces in answer.calls.values()] == [("look", '{"a":1}'), ("stop", "{}")]
    assert answer.tools == ["look", "stop"]


def test_without_room_for_text_nothing_is_kept_of_it() -> None:
    answer = streamed(
        {"delta": {"reasoning": "x", "tool_calls": [{"index": 0, "function": {"name": "look", "arguments": "{}"}}]}},
        room=0,
    )

    assert (answer.words, answer.reasoning, answer.calls, answer.tools) == ([], [], {}, ["look"])


@pytest.mark.parametrize(
    "logprobs",
    [
        {"content": [{"token": "a", "logprob": -0.5, "top_logprobs": []}, {"token": "b", "logprob": -9999.0}]},
        {"token_logprobs": [-0.5, None, -9999.0], "tokens": ["a", "b", "c"]},
    ],
)
def test_log_probabilities_of_chats_and_completions_are_kept(logprobs: dict[str, Any]) -> None:
    assert streamed({"delta": {"content": "a"}, "logprobs": logprobs}).logprobs == [-0.5, -9999.0]


@pytest.mark.parametrize("logprobs", [3, [], {"content": 3}, {"content": [3]}, {"token_logprobs": "x"}, {}])
def test_log_probabilities_in_another_shape_cost_nothing_else(logprobs: Any) -> None:
    answer = streamed({"delta": {"content": "a"}, "logprobs": logprobs})

    assert (answer.logprobs, answer.words) == ([], ["a"])


def test_log_probabilities_are_bounded() -> None:
    many = {"token_logprobs": [-1.0] * 5000}

    assert len(streamed({"delta": {"content": "a"}, "logprobs": many}).logprobs) == 4096


def test_results_of_tools_are_told_apart_in_both_apis() -> None:
    chat = asked(messages=[{"role": "user", "content": "Rain?"}, {"role": "tool", "content": "heavy rain"}])
    responses = asked(input=[{"role": "user", "content": "Rain?"}, {"type": "function_call_output", "output": "rain"}])

    assert (chat.brought(100), responses.brought(100)) == ("heavy rain", "rain")


@pytest.mark.parametrize(
    ("body", "schema"),
    [
        ({"response_format": {"type": "json_object"}}, "{}"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "array"}}}},
            '{"type":"array"}',
        ),
        ({"text": {"format": {"type": "json_schema", "schema": {"type": "array"}}}}, '{"type":"array"}'),
        ({"format": "json"}, "{}"),
        ({"format": {"type": "object"}}, '{"type":"object"}'),
        ({"response_format": {"type": "text"}}, ""),
        ({"response_format": 3}, ""),
        ({}, ""),
    ],
)
def test_the_form_that_a_request_asks_for(body: dict[str, Any], schema: str) -> None:
    assert asked(**body).schema() == schema


def test_an_offer_of_tools_that_is_too_long_is_left_out() -> None:
    assert asked(tools=[{"name": "x"}]).offer(100) == '[{"name": "x"}]'
    assert asked(tools=[{"name": "x" * 200}]).offer(100) == ""
