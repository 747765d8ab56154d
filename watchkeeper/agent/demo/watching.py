"""Lines of progress while the demo runs."""

import time
from collections.abc import Callable, Sequence
from threading import Event
from typing import Final

from watchkeeper.agent.demo import summary
from watchkeeper.agent.demo.children import Child, fetch
from watchkeeper.agent.demo.promised import Page

GOES_ON: Final = "Not all that is promised has shown yet: going on until it has. Ctrl-C stops."


def watch(
    page: str,
    children: Sequence[Child],
    seconds: float | None,
    stop: Event,
    is_enough: Callable[[Page, float], bool] = lambda _, __: False,
    more_seconds: float = 0.0,
    is_shown: Callable[[Page], bool] = lambda _: True,
) -> None:
    """
    A line after every pause, until the time is over, `stop` is set or `is_enough` of what /metrics says after so many
    seconds.

    :param more_seconds: that it may go on, at most, while not all `is_shown` that has to be
    :raises DemoFailed: one of the processes has ended
    """
    print(summary.PROGRESS_HEAD, flush=True)
    started = time.monotonic()
    elapsed, until, shown = 0.0, seconds, False
    while until is None or elapsed < until:
        if stop.wait(pause_seconds(elapsed, until)):
            return
        elapsed = time.monotonic() - started
        for child in children:
            child.check()
        text = fetch(f"{page}/metrics")
        if text is not None:
            now = Page(text)
            print(summary.progress(now, elapsed), flush=True)
            shown = is_shown(now)
            if is_enough(now, elapsed):
                return
        if seconds is not None and elapsed >= seconds:
            if shown or not more_seconds:
                return
            if until == seconds:
                until = seconds + more_seconds
                print(GOES_ON, flush=True)


def pause_seconds(elapsed: float, seconds: float | None) -> float:
    """To the next line: 5 s, after the first minute 15 s, and never past the end."""
    pause = 5.0 if elapsed < 59 else 15.0
    return pause if seconds is None else min(pause, seconds - elapsed)
