import pytest


def test_the_engines_own_word_is_exact(look) -> None:
    assert look("truncation", "Half of a", finish_reasons=("length",)) == {"truncation": {"limit": 1}}
    assert look("truncation", "Done.", finish_reasons=("stop",)) == {"truncation": {}, "truncation_suspect": {}}


def test_without_a_reason_only_suspicion_is_left(look) -> None:
    assert look("truncation", "Done.") == {"truncation_suspect": {}}


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("Run this:\n```sh\nls -l", "fence"),
        ('{"a": [1, 2', "json"),
        ("word " * 60 + "and then the", "sentence"),
        ("这件事情说来话长" * 30 + "然后我们", "sentence"),
    ],
)
def test_what_looks_cut_is_suspected(look, answer: str, kind: str) -> None:
    assert look("truncation", answer) == {"truncation_suspect": {kind: 1}}


@pytest.mark.parametrize(
    "answer",
    ["```sh\nls\n```", '{"a": 1}', "word " * 60 + "end.", "说来话长。" * 60, "a\n" * 150 + "- last item", "Yes"],
)
def test_what_ends_well_is_not(look, answer: str) -> None:
    assert look("truncation", answer) == {"truncation_suspect": {}}
