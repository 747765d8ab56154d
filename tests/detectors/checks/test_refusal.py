import pytest


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("I'm sorry, but I can't help with that.", "english"),
        ("I\u2019m unable to do this.", "english"),
        ("As an AI language model, I cannot say.", "english"),
        ("抱歉，我无法提供这类信息。", "chinese"),
        ("很抱歉，我不能协助您。", "chinese"),
    ],
)
def test_what_models_say_when_they_decline_is_flagged(look, answer: str, kind: str) -> None:
    assert list(look("refusal", answer)["refusal"]) == [kind]


@pytest.mark.parametrize("answer", ["Sure, here is how.", "好的，步骤如下。", "Sorry for the delay, here it is."])
def test_an_answer_is_not(look, answer: str) -> None:
    assert look("refusal", answer) == {"refusal": {}}


def test_only_the_beginning_is_read(look) -> None:
    late = "word " * 100 + "I can't help with that."

    assert look("refusal", late) == {"refusal": {}}
    assert look("refusal", late, config={"first_characters": 1000})["refusal"]


def test_reasoning_is_not_the_answer(look) -> None:
    assert look("refusal", "<think>I can't help with that? I can.</think>Sure.") == {"refusal": {}}
