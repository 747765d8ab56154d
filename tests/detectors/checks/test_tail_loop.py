import pytest

from detectors.checks.tail_loop import loop


@pytest.mark.parametrize("piece", ["ha ", "the same sentence again. ", "同样的话说了又说。", "\n- item"])
def test_a_loop_at_the_end_is_flagged(look, prose, piece: str) -> None:
    assert look("tail_loop", prose["english"] + piece * 100) == {"tail_loop": {"phrase": 1}}


def test_one_character_again_and_again_is_its_own_kind(look) -> None:
    assert look("tail_loop", "I am sure" + "!" * 300) == {"tail_loop": {"character": 1}}


@pytest.mark.parametrize("language", ["english", "chinese"])
def test_prose_is_not_flagged(look, prose, language: str) -> None:
    assert look("tail_loop", prose[language]) == {"tail_loop": {}}


def test_two_copies_are_no_loop() -> None:
    assert loop("x" * 50 + "a sentence of some length, twice. " * 2) == (0, 0)


def test_a_loop_shorter_than_asked_for_is_not_flagged(look) -> None:
    assert look("tail_loop", "well " + "ha " * 40, config={"looping_characters": 200}) == {"tail_loop": {}}
    assert look("tail_loop", "well " + "ha " * 40, config={"looping_characters": 100}) == {"tail_loop": {"phrase": 1}}


def test_reasoning_that_loops_without_an_answer_is_flagged(look) -> None:
    assert look("tail_loop", "<think>" + "wait, no. " * 100) == {"tail_loop": {"phrase": 1}}
