import sys

from detectors.checks._forms import has_number, lower
from watchkeeper.core.prepared import HEAD_CHARACTERS, TAIL_CHARACTERS, Prepared, bounded
from watchkeeper.core.records import Completion, Text, ToolCall


def prepared(answer: str, **more: object) -> Prepared:
    return Prepared(Completion(at=0.0, text=Text("", answer, **more)))  # type: ignore[arg-type]


def test_every_character_stays_at_its_place_in_lower_case() -> None:
    every = "".join(map(chr, (*range(0xD800), *range(0xE000, sys.maxunicode + 1))))

    assert len(lower(every)) == len(every)


def test_apostrophes_are_made_one() -> None:
    assert lower("I’M and I`m") == "i'm and i'm"


def test_a_number_may_be_written_with_blanks_and_hyphens() -> None:
    assert has_number(b"no 138-1234 5678!", 11)
    assert not has_number(b"1381234567a8", 11)


def test_a_long_text_keeps_its_head_and_its_tail() -> None:
    text = bounded("h" * HEAD_CHARACTERS + "m" * 1_000_000 + "t" * TAIL_CHARACTERS)

    assert text == "h" * HEAD_CHARACTERS + "\n" + "t" * TAIL_CHARACTERS


def test_lone_surrogates_become_replacement_characters_and_pairs_characters() -> None:
    assert bounded("a\ud800b \ud83d\ude00") == "a\ufffdb 😀"


def test_the_answer_is_what_is_said() -> None:
    told = prepared('Hm.\nYes.\n{"a":1}', reasoning="Hm.", calls=(ToolCall("f", '{"a":1}'),))

    assert (told.reasoning, told.answer) == ("Hm.", "Yes.")


def test_thinking_in_tags_is_not_what_is_said() -> None:
    assert [
        (one.reasoning, one.answer) for one in map(prepared, ("<think>Hm.</think>\n\nYes.", "Hm.</think>Yes."))
    ] == [
        ("Hm.", "Yes."),
        ("Hm.", "Yes."),
    ]
    assert (prepared("<think>Hm").reasoning, prepared("<think>Hm").answer) == ("Hm", "")


def test_a_form_is_made_once() -> None:
    made = []

    def form(call: Prepared) -> int:
        made.append(call)
        return 7

    call = prepared("x")

    assert (call.form(form), call.form(form), len(made)) == (7, 7, 1)
