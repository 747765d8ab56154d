import pytest

from detectors.checks.reasoning_loop import repeated

CIRCLE = "Wait, maybe the answer is seven, but let me check once more whether it is. "


def test_a_thought_that_comes_again_and_again_is_a_circle(look) -> None:
    said = look("reasoning_loop", f"<think>{CIRCLE * 80}</think>Seven.")

    assert said["reasoning_loop"]["circle"] >= 3
    assert said["=reasoning_repeated"] > 0.9


def test_chinese_circles_are_found_too(look) -> None:
    assert look("reasoning_loop", "x", text={"reasoning": "x"}) == {}
    assert look("reasoning_loop", f"<think>{'等一下，也许答案是七，让我再检查一遍。' * 300}</think>七")[
        "reasoning_loop"
    ]


def test_reasoning_that_moves_on_is_not(look) -> None:
    steps = " ".join(
        f"Step {at}: {at} times {at + 1} gives {at * (at + 1)}, which I note as item {at * 7}." for at in range(99)
    )

    assert look("reasoning_loop", f"<think>{steps}</think>Done.")["reasoning_loop"] == {}


def test_without_reasoning_nothing_is_said(look) -> None:
    assert look("reasoning_loop", CIRCLE * 80) == {}


def test_a_group_is_eight_words_or_sixteen_characters() -> None:
    seven, eight = "one two three four five six seven ", "one two three four five six seven eight "
    words = f"{eight}x {seven}y {eight}"
    dense = "一二三四五六七八九十甲乙丙丁戊己"

    assert repeated(words) == [pytest.approx(1 / 18)]
    assert repeated(seven) == [0.0]
    assert repeated(f"{dense}x{dense}") == [pytest.approx(1 / 18)]
    assert repeated(dense[1:]) == [0.0]
