from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector._pages.page import Value
from collector.engines.deltas import CLOCK_SKEW_SECONDS, MISSED_PAGES, Deltas, Key, Total
from watchkeeper.core.records import Distribution

BEGAN = 1_000_000.0
"""when we began to watch"""
FAMILY = "vllm_prompt_tokens"
KEY = Key("tokens", FAMILY, (("engine", "0"),))
OTHER = Key("tokens", FAMILY, (("engine", "1"),))


def watch(max_series: int = 100) -> Deltas:
    return Deltas(BEGAN, max_series)


def follow(deltas: Deltas, values: Sequence[Value], started: float | None = None) -> list[Value]:
    """Increments of one series over pages 5 s apart."""
    return [
        deltas.advance({KEY: Total(value, started)}, BEGAN + 5 * turn).increments[KEY]
        for turn, value in enumerate(values)
    ]


def many(*counts: float, bounds: tuple[float, ...] = (1.0, 2.0), total: float | None = None) -> Distribution:
    return Distribution(bounds, counts, float(sum(counts)) if total is None else total)


def test_an_engine_older_than_we_are_is_counted_from_where_it_stood() -> None:
    assert follow(watch(), [500.0, 510.0, 510.0], started=BEGAN - 1) == [0.0, 10.0, 0.0]


def test_an_engine_that_does_not_tell_its_start_is_counted_from_where_it_stood() -> None:
    assert follow(watch(), [500.0, 510.0]) == [0.0, 10.0]


def test_an_engine_that_started_after_us_is_counted_in_full() -> None:
    assert follow(watch(), [500.0, 510.0], started=BEGAN) == [500.0, 10.0]


def test_a_decrease_is_a_restart_and_the_new_total_counts_in_full() -> None:
    deltas = watch()

    assert follow(deltas, [500.0, 510.0, 7.0, 9.0]) == [0.0, 10.0, 7.0, 2.0]


def test_only_a_page_on_which_a_total_began_anew_is_a_reset() -> None:
    deltas = watch()
    resets = [deltas.advance({KEY: Total(value)}, BEGAN + value).reset for value in (5.0, 6.0, 1.0, 2.0)]

    assert resets == [False, False, True, False]


def test_rounding_of_a_sum_over_processes_is_no_restart() -> None:
    total = 611.1265457677748
    deltas = watch()

    assert follow(deltas, [total, total * (1 - 1e-13), total + 1])[1:] == [0.0, pytest.approx(1.0)]


def test_a_later_start_is_a_restart_even_when_the_total_is_higher() -> None:
    deltas = watch()
    deltas.advance({KEY: Total(5.0, BEGAN - 100)}, BEGAN)

    advance = deltas.advance({KEY: Total(8.0, BEGAN + 3)}, BEGAN + 5)

    assert (advance.increments[KEY], advance.reset) == (8.0, True)


def test_an_engine_whose_clock_stands_a_little_behind_is_still_seen_to_restart() -> None:
    deltas = watch()
    deltas.advance({KEY: Total(5.0, BEGAN - 100)}, BEGAN)

    restarted = Total(8.0, BEGAN + 3 - CLOCK_SKEW_SECONDS)

    assert deltas.advance({KEY: restarted}, BEGAN + 5).increments[KEY] == 8.0


def test_two_old_engines_taking_turns_behind_one_address_are_never_counted_in_full() -> None:
    deltas = watch()
    pages = [Total(900.0, BEGAN - 1000), Total(5000.0, BEGAN - 500)] * 3

    increments = [deltas.advance({KEY: total}, BEGAN + 5 * turn).increments[KEY] for turn, total in enumerate(pages)]

    assert increments == [0.0] * 6


def test_two_engines_that_have_just_started_behind_one_address_are_each_counted_in_full_once_at_most() -> None:
    deltas = watch()
    first, second = BEGAN - 10, BEGAN - 5

    given = [
        deltas.advance({KEY: Total(value, started)}, BEGAN + 5 * turn).increments[KEY]
        for turn, (value, started) in enumerate([(100.0, first), (50.0, second), (101.0, first), (51.0, second)])
    ]

    assert given == [0.0, 50.0, 0.0, 0.0]


def test_a_start_that_is_still_to_come_is_no_start() -> None:
    in_milliseconds = BEGAN * 1000

    assert follow(watch(), [500.0, 510.0], started=in_milliseconds) == [0.0, 10.0]


def test_a_risen_incarnation_is_a_restart_and_a_lower_one_another_engine() -> None:
    deltas = watch()

    def step(value: float, incarnation: float | None) -> Value:
        return deltas.advance({KEY: Total(value)}, BEGAN, incarnation=incarnation).increments[KEY]

    assert [step(50.0, 7.0), step(52.0, 7.0), step(60.0, 9.0), step(61.0, None), step(90.0, 3.0)] == [0, 2, 60, 1, 0]


def test_histograms_are_counted_bucket_by_bucket() -> None:
    assert follow(watch(), [many(1, 1, 1), many(1, 4, 2)]) == [many(0, 0, 0), many(0, 3, 1)]


@pytest.mark.parametrize("after", [many(0, 4, 9), many(1, 1, 1, total=2.5)])
def test_a_bucket_or_a_sum_that_falls_is_a_restart(after: Distribution) -> None:
    assert follow(watch(), [many(1, 1, 1), after]) == [many(0, 0, 0), after]


def test_other_bounds_start_over() -> None:
    wider = many(3, 3, 3, 3, bounds=(1.0, 2.0, 4.0))
    more = many(3, 3, 3, 5, bounds=(1.0, 2.0, 4.0))

    assert follow(watch(), [many(1, 1, 1), wider, more])[1:] == [
        many(0, 0, 0, 0, bounds=(1.0, 2.0, 4.0)),
        many(0, 0, 0, 2, bounds=(1.0, 2.0, 4.0)),
    ]


def test_other_bounds_with_fewer_observations_are_a_restart() -> None:
    fewer = many(1, 0, 0, 0, bounds=(1.0, 2.0, 4.0))

    assert follow(watch(), [many(1, 1, 1), fewer])[1] == fewer


def test_a_family_that_changes_its_kind_starts_over() -> None:
    assert follow(watch(), [5.0, many(1, 1, 1), 9.0]) == [0.0, many(0, 0, 0), 0.0]


def test_a_series_that_appears_in_a_known_family_began_at_zero() -> None:
    deltas = watch()
    deltas.advance({KEY: Total(900.0)}, BEGAN, families={FAMILY})

    advance = deltas.advance({KEY: Total(900.0), OTHER: Total(3.0)}, BEGAN + 5, families={FAMILY})

    assert advance.increments == {KEY: 0.0, OTHER: 3.0}


def test_a_series_that_appears_together_with_its_family_is_counted_from_where_it_stood() -> None:
    deltas = watch()
    deltas.advance({KEY: Total(900.0)}, BEGAN, families={"another"})

    assert deltas.advance({OTHER: Total(3.0)}, BEGAN + 5, families={FAMILY}).increments == {OTHER: 0.0}


@pytest.mark.parametrize("started", [None, BEGAN + 1])
def test_a_series_that_comes_back_after_it_was_forgotten_is_not_counted_twice(started: float | None) -> None:
    deltas = watch()
    assert deltas.advance({KEY: Total(40.0, BEGAN + 1)}, BEGAN + 2, families={FAMILY}).increments == {KEY: 40.0}
    for turn in range(MISSED_PAGES):
        deltas.advance({}, BEGAN + 3 + turn, families={FAMILY})
    assert len(deltas) == 0

    assert deltas.advance({KEY: Total(45.0, started)}, BEGAN + 60, families={FAMILY}).increments == {KEY: 0.0}


def test_a_series_that_begins_is_counted_in_full_also_after_another_was_forgotten() -> None:
    deltas = watch()
    deltas.advance({KEY: Total(40.0)}, BEGAN, families={FAMILY})
    for turn in range(MISSED_PAGES):
        deltas.advance({}, BEGAN + 3 + turn, families={FAMILY})

    assert deltas.advance({OTHER: Total(7.0)}, BEGAN + 60, families={FAMILY}).increments == {OTHER: 7.0}


def test_where_too_many_were_forgotten_a_new_series_may_be_one_of_them() -> None:
    deltas = watch(max_series=1)
    for turn in range(8):
        deltas.advance({Key("tokens", FAMILY, (("engine", f"{turn}"),)): Total(40.0)}, BEGAN + turn, {FAMILY})

    assert len(deltas._forgotten) <= 1
    assert deltas.advance({OTHER: Total(45.0)}, BEGAN + 60, families={FAMILY}).increments == {OTHER: 0.0}


def test_a_series_that_is_away_for_a_while_goes_on_where_it_was() -> None:
    deltas = watch()
    deltas.advance({KEY: Total(40.0)}, BEGAN)
    for turn in range(MISSED_PAGES - 1):
        deltas.advance({}, BEGAN + turn)

    assert deltas.advance({KEY: Total(45.0)}, BEGAN + 60).increments == {KEY: 5.0}


def test_state_is_bounded_when_every_page_has_other_series() -> None:
    deltas = watch(max_series=50)

    for turn in range(200):
        deltas.advance(
            {Key("tokens", FAMILY, (("engine", f"{turn}.{rank}"),)): Total(1.0) for rank in range(10)}, BEGAN
        )

    assert len(deltas) <= 60


@settings(deadline=None, max_examples=150)
@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=30), st.one_of(st.none(), st.floats(BEGAN - 99, BEGAN + 99)))
def test_increments_are_never_negative_whatever_the_engine_says(values: list[float], started: float | None) -> None:
    assert all(isinstance(increment, float) and increment >= 0 for increment in follow(watch(), values, started))


@settings(deadline=None, max_examples=100)
@given(st.lists(st.integers(0, 1000), min_size=2, max_size=30), st.data())
def test_however_often_a_growing_total_is_read_the_increments_add_up_to_the_same(
    steps: list[int], data: st.DataObject
) -> None:
    totals = [float(sum(steps[: turn + 1])) for turn in range(len(steps))]
    inner = data.draw(st.lists(st.sampled_from(totals), max_size=10).map(sorted))

    often = follow(watch(), [totals[0], *totals, totals[-1]])
    rarely = follow(watch(), [totals[0], *inner, totals[-1]])

    assert sum(map(_number, often)) == sum(map(_number, rarely)) == totals[-1] - totals[0]


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(*[st.integers(0, 50)] * 3), min_size=1, max_size=12), st.lists(st.booleans(), max_size=12))
def test_histogram_increments_add_up_to_what_the_engine_observed_over_restarts(
    observed: list[tuple[int, int, int]], restarts: list[bool]
) -> None:
    deltas = Deltas(BEGAN, 100)
    held = [0.0, 0.0, 0.0]
    started = BEGAN
    added = [0.0, 0.0, 0.0]
    for turn, more in enumerate(observed):
        now = BEGAN + 100 * (turn + 1)
        if turn < len(restarts) and restarts[turn]:
            held, started = [0.0, 0.0, 0.0], now - 50
        held = [have + new for have, new in zip(held, more, strict=True)]
        increment = deltas.advance({KEY: Total(many(*held), started)}, now).increments[KEY]
        assert isinstance(increment, Distribution)
        added = [have + new for have, new in zip(added, increment.counts, strict=True)]

    assert added == [float(sum(column)) for column in zip(*observed, strict=True)]


def _number(value: Value) -> float:
    assert isinstance(value, float)
    return value
