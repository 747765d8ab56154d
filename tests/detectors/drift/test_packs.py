import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.drift.kinds import Kind
from detectors.drift.packs import Plan, build, decode
from detectors.drift.seasons import Season, stratum

WORDS = ["stop"] * 90 + ["length"] * 30 + ["other"] * 5 + [f"rare-{place}" for place in range(40)]


def test_a_reference_survives_encoding_and_a_changed_one_is_refused() -> None:
    pack = build("x", Kind.NUMBER, np.random.default_rng(1).normal(size=500), made_at=1)
    data = pack.encode()

    assert decode(data) == pack
    for wrong in (data.replace(b'"n":500', b'"n":501'), data[:-5], b"{}"):
        with pytest.raises(ValueError, match="reference"):
            decode(wrong)


def test_a_persons_word_for_a_reference_does_not_make_it_another() -> None:
    pack = build("x", Kind.FLAG, np.zeros(200), made_at=1.0)
    approved = pack.approved("ann", 2.0, "a good week")

    assert approved.id == pack.id
    assert decode(approved.encode()).approval == approved.approval


def test_the_same_observations_make_the_same_reference() -> None:
    values = np.random.default_rng(2).normal(size=900)

    assert build("x", Kind.NUMBER, values, made_at=1.0).id == build("x", Kind.NUMBER, values.tolist(), made_at=1.0).id
    assert build("x", Kind.NUMBER, values, made_at=1.0).id != build("y", Kind.NUMBER, values, made_at=1.0).id


def test_few_distinct_values_get_a_bin_each() -> None:
    pack = build("x", Kind.NUMBER, [1.0, 2.0, 2.0, 7.0] * 100, made_at=0.0)

    assert [pack.bin(value) for value in (0.0, 1.0, 2.0, 7.0, 99.0)] == [0, 0, 1, 2, 2]
    assert pack.strata["all"].counts == (100, 200, 100)


def test_the_rarest_words_and_new_ones_are_other() -> None:
    pack = build("x", Kind.CATEGORY, WORDS * 4, made_at=0.0)

    assert pack.categories[:2] == ("stop", "length")
    assert len(pack.categories) == 20
    assert pack.bin("never seen") == pack.bin("other") == 20
    assert sum(pack.strata["all"].counts) == pack.n == len(WORDS) * 4


def test_numbers_that_are_none_are_left_out_and_take_no_bin() -> None:
    pack = build("x", Kind.NUMBER, [math.nan, 1.0, 2.0] * 100, made_at=0.0)

    assert pack.n == 200
    assert pack.bin(math.nan) is None
    assert pack.bin("2") is None


@pytest.mark.parametrize("kind", [Kind.NUMBER, Kind.FLAG, Kind.SHARE])
def test_too_few_observations_are_refused(kind: Kind) -> None:
    with pytest.raises(ValueError, match="99 are too few"):
        build("x", kind, np.zeros(99), made_at=0.0)


def test_a_season_needs_times_and_leaves_out_hours_with_too_little() -> None:
    times = np.arange(0.0, 3700.0)
    with pytest.raises(ValueError, match="time of each"):
        build("x", Kind.FLAG, np.zeros(3700), made_at=0.0, plan=Plan(season=Season.HOUR))

    pack = build("x", Kind.FLAG, np.zeros(3650), made_at=0.0, times=times[:3650], plan=Plan(season=Season.HOUR))
    assert set(pack.strata) == {"00"}
    assert pack.n == 3600


def test_a_stratum_is_the_hour_and_whether_it_is_a_weekend() -> None:
    friday_evening = 1_700_254_800.0  # 2023-11-17 21:00 UTC

    assert stratum(Season.NONE, friday_evening) == "all"
    assert stratum(Season.HOUR, friday_evening) == "21"
    assert stratum(Season.HOUR_AND_WEEKEND, friday_evening) == "21"
    assert stratum(Season.HOUR_AND_WEEKEND, friday_evening, 4 * 3600.0) == "01w"
    assert stratum(Season.HOUR_AND_WEEKEND, friday_evening + 3 * 86400) == "21"


def test_a_signal_without_any_variation_has_a_band_all_the_same() -> None:
    for kind, value in ((Kind.NUMBER, 3.0), (Kind.FLAG, 1.0), (Kind.SHARE, 0.0)):
        pack = build("x", kind, np.full(300, value), made_at=0.0)
        for score in pack.scores("all"):
            assert score.band.lo < score.band.hi


def test_independent_numbers_get_the_least_tolerance_and_copies_a_design_effect() -> None:
    chance = np.random.default_rng(3)
    plain = build("x", Kind.NUMBER, chance.normal(size=20_000), made_at=0.0)
    copies = build("x", Kind.NUMBER, np.repeat(chance.normal(size=2_000), 10), made_at=0.0)

    assert plain.strata["all"].bands["location"].tolerance < 0.03
    assert copies.design_effect == pytest.approx(10.0, rel=0.5)
    assert copies.strata["all"].bands["location"].tolerance > 0.1


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=100, max_size=300), st.sampled_from(list(Kind))
)
def test_any_observations_make_a_reference_or_are_too_few(values: list[float], kind: Kind) -> None:
    given = [str(value) for value in values] if kind is Kind.CATEGORY else values
    if kind is not Kind.CATEGORY and sum(not math.isnan(value) for value in values) < 100:
        with pytest.raises(ValueError, match="too few"):
            build("x", kind, given, made_at=0.0)
        return
    pack = build("x", kind, given, made_at=0.0)
    assert msgspec.json.decode(pack.encode())["n"] == pack.n
    for score in pack.scores("all"):
        assert ((score.values >= 0) & (score.values <= 1)).all()
    for value in given:
        assert pack.bin(value) in (None, *range(pack.bins))
