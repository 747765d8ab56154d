import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.checks._alphabets import answer_alphabets
from detectors.checks._forms import lower
from detectors.checks.mojibake import _SWITCH, _TOUCH, PLUGIN, MojibakeConfig
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.prepared import Prepared
from watchkeeper.core.records import Completion, Text

CHECK = PLUGIN.build(MojibakeConfig(), Ledger())
LETTERS = "aeiost bcdfgKж漢한كשअไ–é"
SAMPLES = st.lists(
    st.text(LETTERS, min_size=1, max_size=50) | st.text("bcdfgk", min_size=5, max_size=9) | st.just("word"),
    max_size=150,
)


@given(SAMPLES, st.sampled_from((" ", "\n", "\u3000")))
@settings(deadline=None, max_examples=200)
def test_gibberish_is_what_the_first_40_characters_of_the_first_120_words_show(words: list[str], blank: str) -> None:
    answer = blank.join(words) or "."
    sample = " ".join(word[:40] for word in lower(answer).split()[:120])
    odd, plain = (len(re.findall(form, sample)) for form in ("[bcdfghjklmnpqrstvwxz]{5}", "[a-z]{5,30}"))
    is_switched = not answer.isascii() and len(_SWITCH.findall(sample)) >= 6

    flag = CHECK.score(Prepared(Completion(at=0.0, text=Text("", answer))))[0]

    assert dict(flag.hits).get("gibberish", 0) == (is_switched or (odd >= 4 and plain >= 8 and odd / plain > 0.2))


@pytest.mark.parametrize(
    ("answer", "is_gibberish"),
    [
        ("bcdfg " * 4 + "words " * 4, True),
        ("bcdfg " * 3 + "words " * 4, False),
        ("bcdyf " * 8, False),
        (f"{'a' * 35}bcdfg " * 8, True),
        (f"{'a' * 36}bcdfg " * 8, False),
        ("it " * 104 + "words " * 12 + "bcdfg " * 4, True),
        ("it " * 105 + "words " * 12 + "bcdfg " * 4, False),
        ("漢ก " * 6, True),
        ("жa " * 6, True),
        ("كa " * 6, True),
        ("אa " * 6, True),
        ("漢a " * 6, False),
        ("漢字 " * 6 + "жж " * 6, False),
    ],
)
def test_where_gibberish_begins(look, answer: str, is_gibberish: bool) -> None:
    assert look("mojibake", answer) == {"mojibake": {"gibberish": 1} if is_gibberish else {}}


def test_in_lower_case_no_letter_is_of_an_alphabet_that_the_answer_has_not() -> None:
    capitals = [letter for letter in map(chr, range(0x110000)) if letter.lower() != letter]

    assert [one for one in capitals if (alphabets(one.lower()) & _TOUCH) - alphabets(one)] == []


def alphabets(answer: str) -> frozenset[str]:
    return answer_alphabets(Prepared(Completion(at=0.0, text=Text("", answer))))


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
@pytest.mark.parametrize("text", ["Die Straße ist schön", "Это тест кодировки", "委员会在星期四开会"])
def test_utf_8_read_as_another_encoding_is_flagged(look, text: str, encoding: str) -> None:
    damaged = text.encode().decode(encoding, "replace")

    assert look("mojibake", damaged)["mojibake"]


def test_chinese_read_as_gbk_is_flagged(look, prose) -> None:
    assert look("mojibake", prose["chinese"].encode().decode("gbk", "replace"))["mojibake"]


@pytest.mark.parametrize(
    ("text", "kind"),
    [("a\x00b", "control"), ("caf\ufffd", "replacement"), ("icon \ue001", "private_use"), ("x\x85\x86y", "control")],
)
def test_characters_that_no_text_has_are_counted_by_kind(look, text: str, kind: str) -> None:
    assert look("mojibake", text)["mojibake"][kind] >= 1


def test_a_lone_surrogate_counts_as_a_replacement(look) -> None:
    assert look("mojibake", "half \ud83d of a sign")["mojibake"] == {"replacement": 1}


@pytest.mark.parametrize(
    "text",
    [
        "« C'est déjà l'été », dit-elle…", "Amanhã», disse ele.", "naïve façade – “quoted”", "日本語のテキストです。",
        "Čeští žáci psali písemku.", "tab\tand\r\nline", "Smile 😀 please 👨‍👩‍👧", "Привет, мир!", "שלום עולם",
    ],
)  # fmt: skip
def test_sound_text_of_many_languages_is_not_flagged(look, text: str) -> None:
    assert look("mojibake", text) == {"mojibake": {}}


def test_random_letters_are_gibberish_and_prose_is_not(look, prose) -> None:
    dice = random.Random(1)
    words = ["".join(dice.choices("abcdefghijklmnopqrstuvwxyz", k=8)) for _ in range(40)]

    assert look("mojibake", " ".join(words)) == {"mojibake": {"gibberish": 1}}
    assert look("mojibake", prose["english"]) == {"mojibake": {}}


def test_alphabets_in_turn_within_words_are_gibberish(look) -> None:
    assert look("mojibake", "жa漢ב ةb한я กx字д مz語л 한ж漢ب " * 3)["mojibake"] == {"gibberish": 1}
