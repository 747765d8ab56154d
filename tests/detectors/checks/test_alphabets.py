import re

import pytest

from detectors.checks._alphabets import PRIVATE, PRIVATE_RANGES, RANGES, answer_alphabets
from detectors.checks.mojibake import _SWITCH, _TOUCH, _TOUCH_LATIN
from watchkeeper.core.prepared import Prepared
from watchkeeper.core.records import Completion, Text


def possible(answer: str) -> frozenset[str]:
    return answer_alphabets(Prepared(Completion(at=0.0, text=Text("", answer))))


@pytest.mark.parametrize("name", [*RANGES, PRIVATE])
def test_each_character_of_an_alphabet_makes_it_possible_wherever_it_stands(name: str) -> None:
    for first, last in re.findall("(.)-(.)", {**RANGES, PRIVATE: PRIVATE_RANGES}[name]):
        letters = [*map(chr, range(ord(first), ord(last), 61)), last]

        assert [one for one in letters if name not in possible(f"is “{one}” it?")] == []


def test_a_text_may_have_many() -> None:
    assert possible("Привет 世界, नमस्ते") >= {"cyrillic", "han", "devanagari"}
    assert possible("Привет 世界, नमस्ते").isdisjoint({"kana", "hangul", "thai", "arabic", "greek", PRIVATE})


@pytest.mark.parametrize("answer", ["plain", "“naïve” – façade…", "ﬁn · ½ → ✓", ""])
def test_latin_and_its_marks_are_no_other_alphabet(answer: str) -> None:
    assert possible(answer) == frozenset()


def test_letters_that_touch_across_alphabets_are_of_those_that_are_looked_for() -> None:
    others = [chr(code) for code in range(0x100, 0x10000, 8) if not 0xD800 <= code < 0xE000]
    before = [one for one in others if any(_SWITCH.match(one + after) for after in "aж漢ب한ऄ\u0e00\u0590")]
    after_latin = [one for one in before if _SWITCH.match(f"{one}a")]

    assert before
    assert [one for one in before if not possible(one) & _TOUCH] == []
    assert [one for one in after_latin if not possible(one) & _TOUCH_LATIN] == []
