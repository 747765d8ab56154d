import random

import pytest

from detectors.checks.pii import is_resident_id, kinds


@pytest.mark.parametrize(
    ("text", "hits"),
    [
        ("身份证号11010519491231002X。", {"resident_id": 1}),
        ("我的手机是 13812345678", {"mobile": 1}),
        ("call me: +86 138 1234 5678", {"mobile": 1}),
        ("Card 4111 1111 1111 1111 and 6222021234567890128?", {"card": 2}),
        ("write to wang.wei@corp.com.cn now", {"mail": 1}),
        ("a@b.io, c@d.io", {"mail": 2}),
        ("手机 13812345678 13912345679", {"mobile": 2}),
    ],
)
def test_personal_data_is_counted_by_kind(look, text: str, hits: dict[str, int]) -> None:
    assert look("pii", text)["pii"] == hits
    assert look("pii", "", prompt=text)["pii_prompt"] == hits


def test_a_number_that_is_possibly_one_stands_beside_others_that_are() -> None:
    text = "订单 13812345678 与 13912345678, a@b.io, c@d.io"

    assert sorted(kinds(text, text.encode(), {})) == ["mail", "mail", "possible_mobile", "possible_mobile"]


@pytest.mark.parametrize(
    "text",
    [
        "身份证号110105194912310021。", "身份证号110105194913310025", "号码 990105194912310023", "x13812345678",
        "id 4111111111111112",
        "user@example.com",
        "pi is 3.14159265358979323846", "a @mention and x@y", "commit 1381234567812345678123456781234",
        "2024-01-02 03:04:05 2024-01-02", "x13812345678y",
    ],
)  # fmt: skip
def test_what_only_looks_like_it_is_not(look, text: str) -> None:
    assert look("pii", text) == {"pii": {}, "pii_possible": {}}


def test_a_number_like_a_mobile_without_its_word_is_only_possible(look) -> None:
    assert look("pii", "订单 13812345678 已发货") == {"pii": {}, "pii_possible": {"possible_mobile": 1}}


def test_prompts_can_be_left_alone(look) -> None:
    assert look("pii", "x", prompt="a@b.io", config={"prompts": False}) == {"pii": {}, "pii_possible": {}}


def test_few_random_numbers_pass_for_a_resident_id() -> None:
    dice = random.Random(3)
    passed = sum(is_resident_id("".join(dice.choices("0123456789", k=18))) for _ in range(20_000))

    assert passed <= 4
