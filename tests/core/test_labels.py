import unicodedata

from hypothesis import given, settings
from hypothesis import strategies as st

from watchkeeper.core.labels import MAX_CHARACTERS, OTHER, LabelBounds, clean


@settings(deadline=None)
@given(st.text(alphabet=st.characters(), max_size=400))
def test_a_cleaned_value_is_valid_utf8_without_control_characters_and_bounded(value: str) -> None:
    cleaned = clean(value)

    cleaned.encode("utf-8")
    assert len(cleaned) <= MAX_CHARACTERS
    assert not any(unicodedata.category(character) == "Cc" for character in cleaned)


@settings(deadline=None)
@given(st.text(max_size=300))
def test_cleaning_twice_changes_nothing_more(value: str) -> None:
    assert clean(clean(value)) == clean(value)


def test_two_long_values_that_differ_at_the_end_stay_two() -> None:
    assert clean("a" * 500 + "x") != clean("a" * 500 + "y")


def test_quotes_and_chinese_text_are_kept() -> None:
    assert clean('模型 "七"\\') == '模型 "七"\\'


def test_a_newline_does_not_survive() -> None:
    assert clean("a\nb") == "a\ufffdb"


def test_past_the_bound_a_value_becomes_other() -> None:
    bounds = LabelBounds(limit=3)

    admitted = [bounds.admit("model", str(number)) for number in range(10_000)]

    assert admitted[:3] == ["0", "1", "2"]
    assert set(admitted[3:]) == {OTHER}
    assert bounds.sizes() == {"model": 3}


def test_values_no_longer_in_use_make_room() -> None:
    bounds = LabelBounds(limit=1)
    bounds.admit("model", "old")

    bounds.retain([])

    assert bounds.admit("model", "new") == "new"
