"""Counts of replicas add up: any split of the traffic, any order, any redelivery gives the same evidence."""

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.drift.kinds import Kind
from detectors.drift.packs import build
from detectors.drift.ticks import Merger, MergerState, OpenTick, Taken, TickRecord
from detectors.drift.watch import Watch

PACK = build("latency", Kind.NUMBER, np.random.default_rng(1).lognormal(0.0, 0.8, 4000), made_at=0.0)
SECONDS = 10.0


def record(number: int, counts: tuple[int, ...] = (1, 0), replica: str = "a", started: str = "1") -> TickRecord:
    return TickRecord("s", "r", replica, started, number, counts)


def replicas(values: np.ndarray, times: np.ndarray, owner: np.ndarray) -> list[TickRecord]:
    """What each replica sends of the stream."""
    open_ticks: dict[int, OpenTick] = {}
    records = []
    for value, now, who in zip(values.tolist(), times.tolist(), owner.tolist(), strict=True):
        place = PACK.bin(value)
        assert place is not None
        ended = open_ticks.setdefault(who, OpenTick(PACK.bins, SECONDS)).add(place, now)
        if ended is not None:
            records.append((who, ended))
    for who, tick in open_ticks.items():
        ended = tick.close(float(times[-1]) + 2 * SECONDS)
        if ended is not None:
            records.append((who, ended))
    return [
        TickRecord("s", PACK.id, f"replica-{who}", "1", int(ended.at // SECONDS), ended.counts)
        for who, ended in records
    ]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 16), st.randoms(use_true_random=False), st.floats(0.0, 0.9))
def test_any_split_over_replicas_in_any_order_with_duplicates_gives_the_same_score(
    count: int, chance: "object", again: float
) -> None:
    shuffle = np.random.default_rng(chance.randrange(2**32))  # type: ignore[attr-defined]
    stream = np.random.default_rng(5)
    values, times = stream.lognormal(0.15, 0.8, 2000), np.sort(stream.uniform(0.0, 400.0, 2000))
    alone = Watch(PACK, 1.0, 1e6, SECONDS)
    for value, now in zip(values.tolist(), times.tolist(), strict=True):
        alone.update(value, now)
    alone_said = alone.update(float(values[-1]), 1000.0)

    records = replicas(values, times, shuffle.integers(0, count, values.size))
    records += [one for one in records if shuffle.random() < again]
    merger, merged = Merger(PACK.id, PACK.bins, SECONDS), Watch(PACK, 1.0, 1e6, SECONDS)
    for place in shuffle.permutation(len(records)).tolist():
        merger.add(records[place], 400.0)
    for tick in merger.due(1000.0):
        merged_said = merged.tick(tick.counts, tick.at, 1000.0)

    assert abs(merged_said.score - alone_said.score) <= 1e-8
    assert alone_said.score > 0.1


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


def test_a_late_record_counts_in_the_next_tick() -> None:
    merger = Merger("r", 2)
    merger.add(record(1), 15.0)
    merger.due(26.0)

    assert merger.add(record(1, (0, 5), replica="b"), 27.0) is Taken.LATE
    assert merger.add(record(2, (0, 1)), 29.0) is Taken.TAKEN
    assert [(tick.at, tick.counts) for tick in merger.due(36.0)] == [(20.0, (0, 6))]


def test_a_record_is_counted_once_per_start_of_its_replica() -> None:
    merger = Merger("r", 2)
    said = [
        merger.add(record(number, started=start), 40.0) for number, start in ((3, "1"), (1, "1"), (3, "1"), (3, "2"))
    ]

    assert said == [Taken.TAKEN, Taken.TAKEN, Taken.DUPLICATE, Taken.TAKEN]


def test_a_record_too_old_to_know_foreign_or_from_the_future_is_refused() -> None:
    merger = Merger("r", 2)
    merger.add(record(1000), 10_000.0)

    assert merger.add(record(1000 - 64), 10_000.0) is Taken.EXPIRED
    assert merger.add(record(1000, replica="b", counts=(1, 1, 1)), 10_000.0) is Taken.FOREIGN
    assert merger.add(TickRecord("s", "other", "b", "1", 1000, (1, 1)), 10_000.0) is Taken.FOREIGN
    assert merger.add(record(1065, replica="b"), 10_000.0) is Taken.AHEAD
    merger.due(10_000.0)
    assert merger.add(record(900, replica="c"), 10_000.0) is Taken.EXPIRED


def test_replicas_that_are_gone_are_forgotten() -> None:
    merger = Merger("r", 2)
    for number in range(2000):
        merger.add(record(number, replica=str(number)), number * 10.0)
        merger.due(number * 10.0)

    assert len(merger.state().sources) < 70


def test_a_restarted_merger_still_knows_what_it_counted() -> None:
    merger = Merger("r", 2)
    merger.add(record(1), 15.0)
    state = msgspec.msgpack.decode(msgspec.msgpack.encode(merger.state()), type=MergerState)
    other = Merger("r", 2)
    other.restore(state)

    assert other.add(record(1), 16.0) is Taken.DUPLICATE
    assert [tick.counts for tick in other.due(30.0)] == [(1, 0)]
