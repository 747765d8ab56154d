import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.checks.language import PLUGIN, LanguageConfig
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.prepared import Prepared
from watchkeeper.core.records import Completion, Text

MARKS = re.compile(r"[*#`|_<>{}\[\]()/\\=+:0-9\"\s-]+")
PIECES = st.sampled_from(
    ("word", "Straße", "слово", "文字", "7", "- ", "**", "`x`", "\n", "\x1c", "\x85", "\u3000", ".", "²")
)


class Hears:
    """A model that tells no language, and what it was asked."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def predict(self, text: str, threshold: float) -> tuple[Any, Any]:
        self.heard.append(text)
        return (), ()


def heard(text: str) -> list[str]:
    check = PLUGIN.build(LanguageConfig(), Ledger())
    check._model = Hears()
    check.score(Prepared(Completion(at=0.0, text=Text("", text))))
    return check._model.heard


@given(st.lists(PIECES, max_size=80).map("".join))
@settings(deadline=None, max_examples=100)
def test_the_model_is_given_150_bytes_without_marks_figures_and_double_blanks(text: str) -> None:
    plain = MARKS.sub(" ", text[:300]).strip()
    letters = sum(map(str.isalpha, plain[:150]))
    is_enough = letters >= (30 if plain.isascii() else 10)

    assert heard(text) == ([plain.encode()[:150].decode("utf-8", "ignore")] if is_enough else [])


@pytest.mark.parametrize(("letter", "least"), [("a ", 30), ("a'", 30), ("é ", 10), ("字", 10)])
def test_so_many_letters_are_enough(letter: str, least: int) -> None:
    assert heard(letter * (least - 1)) == []
    assert heard(letter * least) == [(letter * least).strip()]


def test_letters_that_stand_too_far_behind_are_not_counted() -> None:
    assert heard("." * 150 + "a" * 100) == []


def test_an_answer_in_another_language_is_flagged(look, prose) -> None:
    chinese, english = prose["chinese"], prose["english"]

    assert look("language", chinese, prompt=english) == {"language": {"switched": 1}, "=language": "zh"}
    assert look("language", english, prompt=chinese) == {"language": {"switched": 1}, "=language": "en"}


def test_an_answer_in_the_same_language_is_not(look, prose) -> None:
    assert look("language", prose["english"], prompt=prose["english"]) == {"language": {}, "=language": "en"}


def test_a_translation_asked_for_is_not_judged_but_its_language_is_told(look, prose) -> None:
    prompt = f"Translate this into Chinese: {prose['english']}"

    assert look("language", prose["chinese"], prompt=prompt) == {"=language": "zh"}


def test_what_is_too_short_to_tell_is_left_out(look) -> None:
    assert look("language", "Yes, of course.", prompt="Sure?") == {}


def test_figures_and_code_say_nothing(look) -> None:
    assert look("language", "1 + 2 = 3\n" * 30, prompt="Sum?") == {}


def test_a_share_is_spread_evenly(prose) -> None:
    check = PLUGIN.build(LanguageConfig(share=0.25), Ledger())
    call = Completion(at=0.0, text=Text("", prose["english"]))

    assert [bool(check.score(Prepared(call))) for _ in range(8)] == [False, False, False, True] * 2


@pytest.mark.parametrize("text", ["english", "chinese"])
def test_the_model_may_be_just_as_sure_as_it_has_to_be(look, prose, text: str) -> None:
    model = PLUGIN.build(LanguageConfig(), Ledger())._model
    _, [sure] = model.predict(prose[text].encode()[:150].decode(errors="ignore"))

    assert look("language", prose[text], config={"confidence_ratio": sure - 1e-6}) != {}
    assert look("language", prose[text], config={"confidence_ratio": sure + 1e-6}) == {}


def test_what_the_model_is_not_sure_of_is_left_out(look) -> None:
    mixed = "Das Meeting war okay, but der Chef sagte no comment und left early."

    assert look("language", mixed, config={"confidence_ratio": 0.99}) == {}
