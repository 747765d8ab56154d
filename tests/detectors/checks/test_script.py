import pytest


@pytest.mark.parametrize(
    ("answer", "script"), [("It is 很好 today", "han"), ("Moscow, Москва", "cyrillic"), ("สวัสดี", "thai")]
)
def test_letters_that_the_prompt_has_none_of_are_flagged(look, answer: str, script: str) -> None:
    assert list(look("script", answer, prompt="How is it?")["script"]) == [script]


def test_what_the_prompt_speaks_or_the_operator_expects_is_not(look) -> None:
    assert look("script", "很好", prompt="你好吗") == {"script": {}}
    assert look("script", "很好", prompt="How?", config={"expected": ("han",)}) == {"script": {}}
    assert look("script", "漢字かな", prompt="日本") == {"script": {}}


def test_a_translation_asked_for_is_not_judged(look) -> None:
    assert look("script", "你好", prompt="Translate hello into Chinese") == {}


def test_marks_and_pictures_beside_an_alphabet_are_no_letters_of_it(look) -> None:
    for prompt in ("Well?", "Translate hello into Chinese"):
        assert look("script", "Fine。 😀 ーー٪", prompt=prompt) == {"script": {}}


def test_single_greek_letters_are_names_of_quantities(look) -> None:
    assert look("script", "Let α + β = γ, with π and Ω.", prompt="Angles?") == {"script": {}}
    assert look("script", "λέξη", prompt="Word?") == {"script": {"greek": 4}}


def test_without_a_prompt_nothing_is_unexpected(look) -> None:
    assert look("script", "很好") == {}


def test_one_letter_is_too_few(look) -> None:
    assert look("script", "the sign 好", prompt="Which?") == {"script": {}}
