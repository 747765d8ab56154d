from watchkeeper.core.records import Completion, Outcome, Text, ToolCall


def test_blanks_alone_are_empty(look) -> None:
    assert look("empty", " \n\t　") == {"empty": {"blank": 1}}
    assert look("empty", "否") == {"empty": {}}


def test_a_tool_call_is_an_answer(look) -> None:
    assert look("empty", "{}", text={"calls": (ToolCall("f", "{}"),)}) == {"empty": {}}
    assert look("empty", " ", tool_names=("f",)) == {"empty": {}}


def test_reasoning_without_an_answer_is_its_own_kind(look) -> None:
    assert look("empty", "<think>Hm.</think>\n") == {"empty": {"only_reasoning": 1}}


def test_no_token_of_output_is_empty_without_any_text(of) -> None:
    assert of("empty", Completion(at=0.0, output_tokens=0)) == {"empty": {"no_tokens": 1}}
    assert of("empty", Completion(at=0.0, output_tokens=5)) == {"empty": {}}
    assert of("empty", Completion(at=0.0)) == {}
    assert of("empty", Completion(at=0.0, output_tokens=0, counts=False)) == {}


def test_a_sender_that_keeps_answers_to_itself_sends_no_empty_answers(of) -> None:
    assert of("empty", Completion(at=0.0, text=Text("Why?"), output_tokens=50)) == {"empty": {}}
    assert of("empty", Completion(at=0.0, text=Text("Why?"))) == {}


def test_a_call_that_failed_or_embeds_is_not_judged(of) -> None:
    assert of("empty", Completion(at=0.0, output_tokens=0, outcome=Outcome.ERROR)) == {}
    assert of("empty", Completion(at=0.0, output_tokens=0, operation="embeddings")) == {}
