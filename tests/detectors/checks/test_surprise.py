import math

import pytest


def test_mean_worst_and_share_are_in_nats(look) -> None:
    said = look("surprise", "x", token_logprobs=(-0.1,) * 9 + (-4.0,))

    assert said["=surprise"] == pytest.approx(0.49)
    assert said["=surprise_worst"] == 4.0
    assert said["=surprise_share"] == 0.1


def test_a_token_at_the_limit_is_not_unlikely(look) -> None:
    assert look("surprise", "x", token_logprobs=(math.log(0.05),) * 8)["=surprise_share"] == 0.0


def test_certainty_is_zero_and_not_minus_zero(look) -> None:
    assert math.copysign(1, look("surprise", "x", token_logprobs=(0.0,) * 8)["=surprise"]) == 1


def test_few_tokens_say_nothing(look) -> None:
    assert look("surprise", "x", token_logprobs=(-1.0,) * 7) == {}
