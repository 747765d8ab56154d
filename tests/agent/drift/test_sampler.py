"""Rows drawn for the record: each with the same chance, a few of each hour, the last word told."""

import random
from collections import Counter

from watchkeeper.agent.drift.sampler import Sampler

AT = 1_790_000_000.0 // 3600 * 3600
SEGMENT = "shop/chat/qwen"


def test_each_row_of_an_hour_has_the_same_chance():
    counts: Counter[float] = Counter()
    for seed in range(2_000):
        sampler = Sampler(5, random.Random(seed))
        for number in range(50):
            sampler.add(SEGMENT, {"x": float(number)}, AT + number)
        [drawn] = sampler.drain()
        assert (drawn.seen, len(drawn.rows), len({row.values["x"] for row in drawn.rows})) == (50, 5, 5)
        counts.update(row.values["x"] for row in drawn.rows)

    assert min(counts.values()) > 140  # 200 on average, standard deviation 13
    assert max(counts.values()) < 260


def test_an_hour_that_ends_is_told_with_all_it_had_and_the_next_begins_anew():
    sampler = Sampler(2, random.Random(1))
    sampler.add(SEGMENT, {"x": 1.0}, AT + 3599)
    sampler.add(SEGMENT, {"x": 2.0}, AT + 3600)

    assert [(one.hour, one.seen, one.rows[0].values) for one in sampler.drain()] == [
        (AT, 1, {"x": 1.0}),
        (AT + 3600, 1, {"x": 2.0}),
    ]
    assert sampler.drain() == ()


def test_what_did_not_change_is_not_told_again():
    sampler = Sampler(1, random.Random(1))
    sampler.add(SEGMENT, {"x": 1.0}, AT)
    assert len(sampler.drain()) == 1
    sampler.add("a/b/c", {"x": 1.0}, AT)
    sampler.add("a/b/c", {}, AT)

    assert [(one.segment, one.seen) for one in sampler.drain()] == [("a/b/c", 1)]
