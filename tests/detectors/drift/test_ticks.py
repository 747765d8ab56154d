"""Counts of replicas add up: any split of the traffic, any order, any redelivery gives the same evidence."""

from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.drift.kinds import Kind
from detectors.drift.packs import build
from detectors.drift.ticks import Merger, MergerState, OpenTick, Taken
from detectors.drift.watch import Watch

PACK = build("latency", Kind.NUMBER, np.random.default_rng(1).lognormal(0.0, 0.8, 4000), made_at=0.0)
SECONDS = 10.0

Sent = tuple[str, int, dict[str, dict[int, int]], float]
"""source, tick, counts, when it was sent"""


def sent_by_replicas(values: np.ndarray, times: np.ndarray, owner: np.ndarray) -> list[Sent]:
    """What each replica sends of the stream, in the order in which ticks end; then two ticks without anything."""
    held: dict[tuple[int, int], dict[int, int]] = {}
    for value, now, who in zip(values.tolist(), times.tolist(), owner.tolist(), strict=True):
        place = PACK.bin(value)
        assert place is not None
        bins = held.setdefault((int(now // SECONDS), who), {})
        bins[place] = bins.get(place, 0) + 1
    last = max(number for number, _ in held) + 1
    told = [
        (f"replica-{who}", number, {"latency": bins}, (number + 1) * SECONDS) for (number, who), bins in held.items()
    ]
    empty: list[Sent] = [
        (f"replica-{who}", last + more, {}, (last + more + 1) * SECONDS)
        for more in (0, 1)
        for who in set(owner.tolist())
    ]
    return sorted(told, key=lambda one: one[1]) + empty


def evidence(records: list[Sent], restart: Callable[[int], bool] = lambda _: False) -> tuple[float, int]:
    """Score, and observations counted. `restart`: whether all is written down and read back before this record."""
    merger, watch, counted = Merger(), Watch(PACK, 1.0, 1e6, SECONDS), 0
    score = 0.0
    for place, record in enumerate(records):
        if restart(place):
            kept = msgspec.msgpack.encode(merger.state())
            merger = Merger()
            merger.restore(msgspec.msgpack.decode(kept, type=MergerState))
        merger.add(*record)
        for number, streams in merger.due():
            counts = [streams["latency"].get(bin_, 0) for bin_ in range(PACK.bins)]
            counted += sum(counts)
            score = watch.tick(counts, number * SECONDS, 1000.0).score
    return score, counted


def stream() -> tuple[np.ndarray, np.ndarray]:
    chance = np.random.default_rng(5)
    return chance.lognormal(0.15, 0.8, 2000), np.sort(chance.uniform(0.0, 400.0, 2000))


def swapped(records: list[Sent], chance: np.random.Generator) -> list[Sent]:
    """Each up to one tick away from where it was."""
    return sorted(records, key=lambda one: one[1] + chance.uniform(0.0, 1.0))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 16), st.integers(0, 2**32), st.floats(0.0, 0.9))
def test_any_split_over_replicas_with_swaps_and_duplicates_gives_the_same_score(
    count: int, seed: int, again: float
) -> None:
    chance = np.random.default_rng(seed)
    values, times = stream()
    alone = evidence(sent_by_replicas(values, times, np.zeros(values.size, dtype=int)))
    records = sent_by_replicas(values, times, chance.integers(0, count, values.size))
    ending = [one for one in records if not one[2]]
    told = [one for one in records if one[2] for _ in range(1 + int(chance.random() < again))]

    merged = evidence(swapped(told, chance) + ending)

    assert alone[1] == merged[1] == 2000
    assert abs(merged[0] - alone[0]) <= 1e-8
    assert alone[0] > 0.1


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.floats(0.01, 0.5))
def test_a_restart_before_any_record_changes_nothing(seed: int, how_often: float) -> None:
    chance = np.random.default_rng(seed)
    values, times = stream()
    records = swapped(sent_by_replicas(values, times, chance.integers(0, 5, values.size)), chance)

    assert evidence(records, lambda _: bool(chance.random() < how_often)) == evidence(records)


def test_replicas_whose_clocks_differ_by_90_seconds_lose_nothing_in_whatever_order_they_are_read() -> None:
    values, times = stream()
    owner = np.random.default_rng(6).integers(0, 2, values.size)
    skewed = times + 90.0 * owner
    both = sent_by_replicas(values, skewed, owner)
    by_true_time = sorted(both, key=lambda one: one[3] - 90.0 * (one[0] == "replica-1"))

    first, second = evidence(by_true_time), evidence(sorted(by_true_time, key=lambda one: (one[3] // 20, one[0])))

    assert first[1] == 2000
    assert abs(first[0] - second[0]) <= 1e-8


@pytest.mark.parametrize("first", [0, 1])
def test_after_an_outage_of_all_replicas_it_does_not_matter_who_comes_back_first(first: int) -> None:
    values, times = stream()
    owner = np.random.default_rng(6).integers(0, 2, values.size)
    records = sent_by_replicas(values, times, owner)
    before = [one for one in records if one[1] < 10]
    waiting = [one for one in records if one[1] >= 10]
    back_at = 5000.0  # all that waited is sent at once, one replica after the other
    late = [(*one[:3], back_at) for who in (first, 1 - first) for one in waiting if one[0] == f"replica-{who}"]

    assert abs(evidence(before + late)[0] - evidence(records)[0]) <= 1e-8


def test_a_tick_ends_with_the_first_observation_after_it_and_an_empty_one_never_is() -> None:
    open_tick = OpenTick(2, 10.0)

    assert open_tick.add(0, 12.0) is None
    assert open_tick.add(1, 19.9) is None
    ended = open_tick.add(1, 71.0)
    assert ended is not None
    assert (ended.at, ended.counts) == (10.0, (1, 1))
    assert open_tick.close(79.9) is None
    assert open_tick.close(80.0) is not None
    assert open_tick.close(1000.0) is None


def test_a_tick_by_count_ends_with_its_last_observation() -> None:
    open_tick = OpenTick(1, 10.0, observations=3)

    assert [open_tick.add(0, 1.0) is None for _ in range(6)] == [True, True, False, True, True, False]


def begun() -> Merger:
    """One that has waited long enough for all replicas to show themselves."""
    merger = Merger()
    merger.restore(MergerState(-(2**62), 60.0, 0.0, {}, {}))
    return merger


def test_in_the_first_minute_nothing_is_over() -> None:
    merger = Merger(grace_seconds=60.0)
    over = {}
    for number in range(10):
        merger.add("a", number, {"s": {0: 1}}, number * 10.0)
        over[number] = [tick for tick, _ in merger.due()]

    assert [number for number, ticks in over.items() if ticks] == [6, 7, 8, 9]
    assert over[6] == [0, 1, 2, 3, 4]


def counts_of(merger: Merger) -> list[tuple[int, dict[int, int]]]:
    return [(number, streams["s"]) for number, streams in merger.due()]


def test_a_tick_is_over_when_every_live_replica_is_two_ahead() -> None:
    merger = begun()
    for number in (1, 2, 3):
        merger.add("a", number, {"s": {0: 1}}, number * 10.0)
    merger.add("b", 2, {"s": {1: 5}}, 30.0)
    assert counts_of(merger) == []

    merger.add("b", 3, {}, 40.0)

    assert counts_of(merger) == [(1, {0: 1})]


def test_a_replica_that_is_gone_holds_the_others_back_for_the_grace_and_no_longer() -> None:
    merger = begun()
    merger.add("gone", 0, {"s": {0: 1}}, 10.0)
    closed = []
    for number in range(10):
        merger.add("a", number, {"s": {1: 1}}, number * 10.0 + 10.0)
        closed.append((number, [over for over, _ in counts_of(merger)]))

    assert closed[6] == (6, [])
    assert closed[7] == (7, [0, 1, 2, 3, 4, 5])


def test_a_late_record_counts_in_the_next_tick() -> None:
    merger = begun()
    for number in range(1, 6):
        merger.add("a", number, {"s": {0: 1}}, number * 10.0)
    assert [number for number, _ in merger.due()] == [1, 2, 3]

    assert merger.add("b", 1, {"s": {7: 1}}, 60.0) is Taken.LATE
    merger.add("b", 6, {}, 70.0)
    merger.add("a", 6, {}, 70.0)
    assert counts_of(merger) == [(4, {0: 1, 7: 1})]


def test_a_record_is_counted_once_per_start_of_its_replica() -> None:
    merger = begun()
    said = [
        merger.add(who, number, {"s": {0: 1}}, 40.0) for who, number in (("a/1", 3), ("a/1", 1), ("a/1", 3), ("a/2", 3))
    ]

    assert said == [Taken.TAKEN, Taken.TAKEN, Taken.DUPLICATE, Taken.TAKEN]


def test_a_record_too_old_to_know_is_refused_unless_its_replica_is_remembered() -> None:
    merger = begun()
    merger.add("b", 900, {"s": {0: 1}}, 0.0)
    for number in range(901, 1101):
        merger.add("a", number, {"s": {0: 1}}, number * 10.0)
        merger.due()

    assert merger.add("c", 1000, {"s": {0: 1}}, 11_100.0) is Taken.EXPIRED
    assert merger.add("a", 1036, {"s": {0: 1}}, 11_100.0) is Taken.EXPIRED
    assert merger.add("b", 950, {"s": {0: 1}}, 11_100.0) is Taken.LATE


def test_a_clock_that_was_far_ahead_and_was_set_right_does_not_stop_the_evidence() -> None:
    merger = begun()
    for number in range(100_000, 100_005):
        merger.add("a/1", number, {"s": {0: 1}}, number * 10.0)
        merger.due()
    said = []
    for number in range(100, 120):
        said.append(merger.add("a/2", number, {"s": {0: 1}}, number * 10.0))
        merger.due()

    assert said[0] is Taken.EXPIRED
    assert set(said[8:]) == {Taken.TAKEN}
    assert merger.state().closed == 117


def test_memory_is_bounded_whatever_is_sent() -> None:
    merger = begun()
    for number in range(5000):
        merger.add("holds back", 0, {}, 0.0)
        merger.add("a", number, {"s": {0: 1}}, 0.0)
        merger.due()
    assert len(merger.state().open) == 64
    for number in range(17_000):
        merger.add(f"replica {number}", 5000, {}, 0.0)
    assert len(merger.state().sources) == 16_384
