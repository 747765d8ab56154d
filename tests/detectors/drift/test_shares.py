import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.drift.shares import Budget, divide


def test_equal_detectors_get_equal_shares_of_what_the_reserve_leaves() -> None:
    assert divide(["a", "b"]).shares == {"a": 0.45, "b": 0.45}


def test_who_comes_later_lowers_the_shares_of_all() -> None:
    first = divide(["a", "b"])

    assert divide(["a", "b", "c"], first.shares).shares == pytest.approx({"a": 0.3, "b": 0.3, "c": 0.3})


def test_a_share_does_not_rise_when_another_detector_goes() -> None:
    three = divide(["a", "b", "c"])

    assert divide(["a", "b"], three.shares).shares == pytest.approx({"a": 0.3, "b": 0.3})


@pytest.mark.parametrize("reserve", [1.0, -0.1])
def test_a_reserve_out_of_range_is_refused(reserve: float) -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\)"):
        divide(["a"], reserve=reserve)


def test_more_than_the_whole_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 1"):
        Budget({"a": 0.8, "b": 0.2}, 0.1)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sets(st.integers(0, 30)), max_size=20))
def test_whatever_comes_and_goes_the_budget_is_never_overspent_and_no_share_rises(steps: list[set[int]]) -> None:
    budget = Budget()
    for names in steps:
        later = divide(map(str, names), budget.shares)

        assert later.spent <= 1 + 1e-9
        assert later.shares.keys() == {str(name) for name in names}
        assert all(share <= budget.shares.get(name, 1.0) for name, share in later.shares.items())
        budget = later
