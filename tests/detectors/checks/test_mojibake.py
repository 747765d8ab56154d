import random

import pytest


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
