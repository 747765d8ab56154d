import pytest

from watchkeeper.agent.agent import idle_seconds


@pytest.mark.parametrize(
    ("tick", "intervals", "idle"),
    [
        (0.5, [1.0], 1.5),  # a node: its devices are read before the tick that would have nothing to tell
        (0.5, [60.0], 1.5),
        (0.5, [1.0, 0.05], 0.5),  # what is sent here leaves at every tick
        (0.5, [0.0], 0.5),
        (0.5, [], 0.5),
        (5.0, [1.0], 5.0),
    ],
)
def test_where_sources_are_read_seldom_ticks_wait_for_them(tick: float, intervals: list[float], idle: float) -> None:
    assert idle_seconds(tick, intervals) == idle
