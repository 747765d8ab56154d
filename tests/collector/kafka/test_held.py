"""A partition that has more to give and gives nothing is stalled; one that waits for others is not."""

from collector.kafka.held import STALL_SECONDS, Held


def watched(offsets: list[int], end: int, *, idle: bool = True) -> list[int]:
    """Seconds at which it was stalled, looked at each second."""
    held, found = Held(0), []
    for second, offset in enumerate(offsets):
        held.next = offset
        if held.is_stalled(end, float(second), second - 0.5 if idle else float("-inf")):
            found.append(second)
    return found


def test_what_gets_nowhere_for_long_is_stalled_again_and_again() -> None:
    wait = int(STALL_SECONDS)

    assert watched([5] * (2 * wait + 1), 9) == [wait, 2 * wait]


def test_what_gets_on_or_is_at_its_end_is_not() -> None:
    assert watched(list(range(60)), 100) == []
    assert watched([9] * 60, 9) == []


def test_what_waits_until_others_were_read_is_not() -> None:
    assert watched([5] * 60, 9, idle=False) == []
