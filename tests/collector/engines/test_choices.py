import pytest

from collector._pages.page import Page, Series, Value
from collector.engines.choices import Choice, alone_if_there, having, in_turn, lacking_if_others, one_per_data_rank
from watchkeeper.core.records import Distribution

NO_PAGE = Page({}, None, {})
Picked = dict[tuple[tuple[str, str], ...], Value]


def one(value: Value, **labels: str) -> Series:
    return Series(tuple(sorted(labels.items())), value)


def pick(choice: Choice, *series: Series) -> Picked:
    return {chosen.labels: chosen.value for chosen in choice(NO_PAGE, series)}


def test_having_takes_the_values_asked_for_and_series_without_the_label() -> None:
    choice = having("stage", "decode_loop", "decode")

    assert pick(choice, one(1.0, stage="decode_loop"), one(2.0, stage="tokenize"), one(3.0)) == {
        (("stage", "decode_loop"),): 1.0,
        (): 3.0,
    }


def test_a_total_is_left_out_beside_its_parts_and_taken_where_it_stands_alone() -> None:
    choice = lacking_if_others("source", "total")

    assert pick(
        choice,
        one(3.0, m="a", source="total"),
        one(2.0, m="a", source="host"),
        one(5.0, m="b", source="total"),
    ) == {(("m", "a"), ("source", "host")): 2.0, (("m", "b"), ("source", "total")): 5.0}


def test_a_total_is_taken_alone_and_its_parts_where_there_is_none() -> None:
    choice = alone_if_there("priority", "")

    assert pick(choice, one(3.0, m="a", priority=""), one(2.0, m="a", priority="1"), one(5.0, m="b", priority="1")) == {
        (("m", "a"), ("priority", "")): 3.0,
        (("m", "b"), ("priority", "1")): 5.0,
    }


def test_ranks_that_tell_the_same_requests_are_one_and_data_ranks_stay_apart() -> None:
    assert pick(
        one_per_data_rank,
        one(4.0, dp_rank="0", tp_rank="0", pp_rank="0"),
        one(5.0, dp_rank="0", tp_rank="1", pp_rank="0"),
        one(9.0, dp_rank="0", tp_rank="0", pp_rank="1"),
        one(6.0, dp_rank="1", tp_rank="2", pp_rank="0"),
    ) == {(("dp_rank", "0"),): 5.0, (("dp_rank", "1"),): 6.0}


def test_without_a_first_stage_the_one_that_is_there_counts() -> None:
    assert pick(one_per_data_rank, one(4.0, pp_rank="1")) == {(): 4.0}


@pytest.mark.parametrize("turned", [False, True])
def test_of_histograms_the_lowest_rank_counts_in_any_order(turned: bool) -> None:
    ranks = [one(Distribution((1.0,), (number, 0.0), 1.0), tp_rank=rank) for rank, number in (("10", 3.0), ("2", 2.0))]

    assert pick(one_per_data_rank, *(ranks[::-1] if turned else ranks)) == {(): Distribution((1.0,), (2.0, 0.0), 1.0)}


def test_choices_in_turn_work_on_what_is_left() -> None:
    choice = in_turn(having("stage", "a"), one_per_data_rank, alone_if_there("priority", ""))

    assert pick(
        choice,
        one(1.0, stage="a", tp_rank="0", priority=""),
        one(2.0, stage="a", tp_rank="0", priority="1"),
        one(7.0, stage="b", tp_rank="0", priority=""),
    ) == {(("priority", ""), ("stage", "a")): 1.0}
