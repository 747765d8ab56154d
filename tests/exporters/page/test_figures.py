import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.page.figures import age, count, estimate, rate, seconds, share, size
from exporters.page.totals import Estimate

SPACE = "\u00a0"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0 ms"), (0.00034, "0.34 ms"), (0.0123, "12.3 ms"), (0.34, "340 ms"), (0.9994, "999 ms"),
        (0.9996, "1 s"), (1.236, "1.24 s"), (9.996, "10 s"), (81.92, "81.9 s"),
    ],
)  # fmt: skip
def test_a_latency_has_three_digits_and_the_fitting_unit(value: float, text: str) -> None:
    assert str(seconds(value)) == text.replace(" ", SPACE)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.001, "<0.01"), (0.25, "0.25"), (9.999, "10"), (12.34, "12.3"), (999.7, "1k"), (12_345, "12.3k"),
     (4_560_000, "4.56M"), (2e18, "2000000T")],
)  # fmt: skip
def test_a_rate_reads_short_and_never_as_zero_when_it_is_not(value: float, text: str) -> None:
    assert rate(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0%"), (0.0001, "<0.1%"), (0.012, "1.2%"), (0.0997, "10%"), (0.5, "50%"), (1, "100%")]
)
def test_a_share_is_a_percentage_and_never_zero_when_it_is_not(value: float, text: str) -> None:
    assert str(share(value)) == text


def test_bytes_are_decimal() -> None:
    assert [str(size(value)) for value in (0, 512, 71.4e6)] == [f"0{SPACE}B", f"512{SPACE}B", f"71.4{SPACE}MB"]


def test_a_quantile_beyond_the_buckets_says_at_least() -> None:
    assert str(estimate(Estimate(10.0, at_least=True))) == f"≥{SPACE}10{SPACE}s"


@pytest.mark.parametrize(
    ("value", "parts"),
    [(-5, ((0, "second"),)), (0, ((0, "second"),)), (59.9, ((59, "second"),)), (3600, ((1, "hour"),)),
     (7_500, ((2, "hour"), (5, "minute"))), (90_061, ((1, "day"), (1, "hour")))],
)  # fmt: skip
def test_an_age_has_its_two_largest_units(value: float, parts: tuple[tuple[int, str], ...]) -> None:
    assert age(value) == parts


@given(st.floats(0, 1e15))
def test_a_count_is_at_most_six_characters_wide(value: float) -> None:
    assert len(count(value)) <= 6
