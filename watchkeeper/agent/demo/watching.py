"""Lines of progress while the demo runs."""

import time
from collections.abc import Callable, Sequence
from threading import Event

from watchkeeper.agent.demo import summary
from watchkeeper.agent.demo.children import Child, fetch
from watchkeeper.agent.demo.promised import Page


def watch(
    page: str,
    children: Sequence[Child],
    seconds: float | None,
    stop: Event,
    is_enough: Callable[[Page, float], bool] = lambda _, __: False,
) -> None:
    """
    A line after every pause, until the time is over, `stop` is set or `is_enough` of what /metrics says after so many
    seconds.

    :raises DemoFailed: one of the processes has ended
    """
    print(summary.PROGRESS_HEAD, flush=True)
    started = time.monotonic()
    elapsed = 0.0
    while seconds is None or elapsed < seconds:
        if stop.wait(pause_seconds(elapsed, seconds)):
            return
        elapsed = time.monotonic() - started
        for child in children:
            child.check()
        text = fetch(f"{page}/metrics")
        if text is not None:
            now = Page(text)
            print(summary.progress(now, elapsed), flush=True)
            if is_enough(now, elapsed):
                return


def pause_seconds(elapsed: float, seconds: float | None) -> float:
    """To the next line: 5 s, after the first minute 15 s, and never past the end."""
    pause = 5.0 if elapsed < 59 else 15.0
    return pause if seconds is None else min(pause, seconds - elapsed)
