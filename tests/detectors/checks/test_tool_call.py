import pytest

from watchkeeper.core.records import ToolCall

TOOLS = (
    '[{"type":"function","function":{"name":"look","parameters":{"type":"object","required":["q"]}}},'
    '{"name":"stop","input_schema":{"type":"object"}}]'
)


@pytest.mark.parametrize(
    ("calls", "hits"),
    [
        ([ToolCall("look", '{"q": 1}')], {}),
        ([ToolCall("stop", "")], {}),
        ([ToolCall("fly", "{}")], {"not_offered": 1}),
        ([ToolCall("look", "{}")], {"schema": 1}),
        ([ToolCall("look", '{"q": ')], {"not_json": 1}),
        ([ToolCall("look", "[1]")], {"not_an_object": 1}),
        ([ToolCall("stop", "{}")] * 3, {"repeated": 1}),
        ([ToolCall("stop", "{}")] * 2, {}),
    ],
)
def test_calls_against_what_was_offered(look, calls: list[ToolCall], hits: dict[str, int]) -> None:
    assert look("tool_call", "x", text={"calls": tuple(calls), "tools": TOOLS}) == {"tool_call": hits}


def test_without_an_offer_any_name_will_do(look) -> None:
    assert look("tool_call", "x", text={"calls": (ToolCall("fly", "{}"),)}) == {"tool_call": {}}
    assert look("tool_call", "x", text={"calls": (ToolCall("fly", "{}"),), "tools": "not json"}) == {"tool_call": {}}


def test_a_result_that_is_an_error_is_counted(look) -> None:
    assert look("tool_call", "x", text={"context": "Error: no such file"}) == {"tool_call": {"result_error": 1}}
    assert look("tool_call", "x", text={"context": "No errors were found"}) == {"tool_call": {}}


def test_an_answer_without_tools_is_not_judged(look) -> None:
    assert look("tool_call", "x") == {}
