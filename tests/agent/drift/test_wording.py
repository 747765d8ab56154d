import random

import numpy as np
import pytest

from detectors.drift import packs
from detectors.drift.bands import Band
from detectors.drift.kinds import Kind
from detectors.drift.packs import Pack
from detectors.drift.verdicts import Crossing
from watchkeeper.agent.drift import wording


@pytest.fixture(scope="module")
def tokens() -> Pack:
    chance = random.Random(1)
    values = [100 * chance.lognormvariate(0, 0.5) for _ in range(4000)]
    return packs.build("input_tokens", Kind.NUMBER, values, made_at=0.0)


def crossing(pack: Pack, score: str) -> Crossing:
    band = Band(0.4, 0.6, 0.5, 0.0, 0.99, 1.0)
    return Crossing(score, 100.0, 50.0, 20.0, 0.8, 300, band, pack.id, 0.5, 1000.0)


def said(pack: Pack, values: list[float], score: str = "location") -> str:
    window = np.bincount([pack.bin(value) or 0 for value in values], minlength=pack.bins).astype(float)
    return wording.summary(pack, crossing(pack, score), window, np.array(pack.strata["all"].counts, dtype=float))


def test_a_median_within_the_reference_is_told_as_it_is(tokens: Pack) -> None:
    assert said(tokens, [150.0] * 99).startswith("input_tokens higher: median about 1")


@pytest.mark.parametrize(("value", "how"), [(5000.0, "higher: median above 2"), (1.0, "lower: median below 3")])
def test_a_median_past_all_that_the_reference_knows_is_above_or_below_its_end(
    tokens: Pack, value: float, how: str
) -> None:
    assert said(tokens, [value] * 99).startswith(f"input_tokens {how}")


def test_a_narrower_spread_is_told_by_the_middle_half(tokens: Pack) -> None:
    assert said(tokens, [95.0, 105.0] * 50, "spread").startswith("input_tokens less spread out: half of it in 9")
