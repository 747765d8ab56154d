import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.drift.shares import Budget, divide


def test_equal_detectors_get_equal_shares_of_what_the_reserve_leaves() -> None:
    assert divide(["a", "b"]).shares == {"a": 0.45, "b": 0.45}


def test_a_critical_signal_gets_more() -> None:
    budget = divide(["a", "b", "c"], {"a": 2.0}, reserve=0.0)

    assert budget.shares == {"a": 0.5, "b": 0.25, "c": 0.25}


def test_who_comes_later_is_paid_from_the_reserve_and_nobody_elses_share_moves() -> None:
    budget = divide([str(place) for place in range(30)])
    later = budget.with_one("new")

    assert later.shares["new"] == pytest.approx(0.03)
    assert {name: later.shares[name] for name in budget.shares} == budget.shares
    assert later.with_one("new") is later


@pytest.mark.parametrize(("weights", "reserve"), [({"a": 0.0}, 0.1), ({}, 1.0), ({}, -0.1)])
def test_weights_and_reserves_out_of_range_are_refused(weights: dict[str, float], reserve: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        divide(["a"], weights, reserve)


def test_more_than_the_whole_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 1"):
        Budget({"a": 0.8, "b": 0.2}, 0.1)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30)), max_size=200))
def test_whatever_comes_and_goes_the_budget_is_never_overspent(steps: list[tuple[bool, int]]) -> None:
    budget = divide(["0", "1", "2"])
    for comes, name in steps:
        budget = budget.with_one(str(name)) if comes else budget.without(str(name))

        assert budget.spent == pytest.approx(1.0)
        assert all(share > 0 for share in budget.shares.values())
