"""Which states hold, whoever wrote them and in whatever order: nothing that a mark promised is skipped."""

from hypothesis import given, settings
from hypothesis import strategies as st

from collector.kafka.states import newest
from watchkeeper.core.wire import MarkRecord, StateRecord, encode


def state(segment: str, offset: int, life: int = 0, version: int = 1) -> bytes:
    return encode(StateRecord(segment, offset, b"", life, version))


def mark(offset: int, life: int = 0, **segments: int) -> bytes:
    return encode(MarkRecord(offset, segments, life))


def test_without_anything_all_is_read() -> None:
    assert newest([]) == newest([None, b"", b"what is this"])
    assert (newest([]).offset, newest([]).has_mark) == (0, False)


def test_the_larger_offset_wins_though_it_was_written_first() -> None:
    kept = newest([state("a", 9), mark(10, a=9), state("a", 5), mark(6, a=5)])

    assert [one.offset for one in kept.states] == [9]
    assert kept.offset == 10


def test_states_written_after_the_mark_are_used_and_what_others_miss_is_read() -> None:
    kept = newest([state("a", 5), state("b", 6), mark(7, a=5, b=6), state("a", 20)])

    assert {one.segment: one.offset for one in kept.states} == {"a": 20, "b": 6}
    assert kept.offset == 7


def test_a_state_that_the_mark_names_and_that_is_older_or_gone_is_read_further_back() -> None:
    assert newest([state("a", 3), mark(10, a=9, b=8)]).offset == 0
    assert newest([state("a", 3), state("b", 8), mark(10, a=9, b=8)]).offset == 3
    assert newest([state("a", 9, version=2), mark(10, a=9)]).offset == 0


def test_what_was_kept_of_a_log_before_it_began_anew_is_not_taken_for_newer() -> None:
    kept = newest([state("a", 900), mark(901, a=900), state("a", 4, 1), mark(5, 1, a=4)])

    assert [(one.offset, one.life) for one in kept.states] == [(4, 1)]
    assert (kept.offset, kept.life) == (5, 1)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=6), st.randoms(use_true_random=False), st.sets(st.integers(0, 40))
)
def test_whoever_wrote_in_whatever_order_and_whatever_was_compacted_no_record_is_skipped(
    steps: list[int], chance: object, gone: set[int]
) -> None:
    """Segment `a` has a record at every offset, `b` at every third; two owners write at places of their own."""
    written = []
    for _ in range(2):
        offset = 0
        for step in steps:
            offset += chance.randint(1, step)  # type: ignore[attr-defined]
            held = {"a": offset, "b": max((at + 1 for at in range(offset) if at % 3 == 1), default=0)}
            written.append([*(state(name, at) for name, at in held.items()), mark(offset, **held)])
    chance.shuffle(written)  # type: ignore[attr-defined]
    values = [one for each in written for one in each]
    left = [value for place, value in enumerate(values) if place not in gone or place >= len(values) - 3]

    kept = newest(left)

    known = {one.segment: one.offset for one in kept.states}
    unread_a = [at for at in range(200) if at >= known.get("a", 0)]
    unread_b = [at for at in range(200) if at >= known.get("b", 0) and at % 3 == 1]
    assert kept.offset <= min(unread_a)
    assert kept.offset <= min(unread_b)
