def test_a_renumbered_list_of_one_sentence_is_flagged(look) -> None:
    said = look("repetition", "\n".join(f"{at}. Always keep your tools clean and dry." for at in range(30)))

    assert said["repetition"] == {"repeated": 1}
    assert said["=repetition"] > 0.4
    assert (
        look("repetition", "\n".join(f"第{at}点，请务必保持工具清洁和干燥。" for at in range(60)))["=repetition"] > 0.4
    )


def test_prose_repeats_nothing(look, prose) -> None:
    assert look("repetition", prose["english"]) == {"repetition": {}, "=repetition": 0.0}
    assert look("repetition", prose["chinese"]) == {"repetition": {}, "=repetition": 0.0}


def test_a_short_answer_is_not_flagged(look) -> None:
    assert look("repetition", "yes yes yes yes yes yes yes yes yes yes")["repetition"] == {}
