"""A partition that has more to give and gives nothing is stalled; one that waits for others is not."""

from kafka import TopicPartition

from collector.kafka.progress import STALL_SECONDS, Progress

ONE = TopicPartition("ticks", 0)


def watched(progress: Progress, offsets: list[int], end: int, *, idle: bool = True) -> list[int]:
    """Seconds at which it was stalled, looked at each second."""
    found = []
    for second, offset in enumerate(offsets):
        if idle:
            progress.idle(second - 0.5)
        if progress.is_stalled(ONE, offset, end, float(second)):
            found.append(second)
    return found


def test_what_gets_nowhere_for_long_is_stalled_again_and_again() -> None:
    wait = int(STALL_SECONDS)

    assert watched(Progress(), [5] * (2 * wait + 1), 9) == [wait, 2 * wait]


def test_what_gets_on_or_is_at_its_end_is_not() -> None:
    assert watched(Progress(), list(range(60)), 100) == []
    assert watched(Progress(), [9] * 60, 9) == []


def test_what_waits_until_others_were_read_is_not() -> None:
    assert watched(Progress(), [5] * 60, 9, idle=False) == []
