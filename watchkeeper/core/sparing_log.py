"""A log for what others can make happen as often as they like."""

import logging
import time
from collections.abc import Callable


class SparingLog:
    """A line about the same thing once in a while, with how often it happened since the last. Not thread-safe."""

    def __init__(
        self, log: logging.Logger, interval_seconds: float = 60.0, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._log = log
        self._interval_seconds = interval_seconds
        self._monotonic = monotonic
        self._said: dict[str, tuple[float, int]] = {}

    def error(self, what: str, detail: str) -> None:
        """:param what: one of few, as it is remembered"""
        now = self._monotonic()
        said_at, unsaid = self._said.get(what, (float("-inf"), 0))
        if now - said_at < self._interval_seconds:
            self._said[what] = (said_at, unsaid + 1)
            return
        self._said[what] = (now, 0)
        more = f" ({unsaid} times more in between)" if unsaid else ""
        self._log.error("%s: %s%s", what, detail, more)
