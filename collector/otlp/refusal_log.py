"""What the receivers refused: a count for every reason, and now and then one line for the operator."""

import logging
import random
import time
import traceback
from collections.abc import Callable
from threading import Lock
from typing import Final

import msgspec

from collector.otlp import answers
from collector.otlp.answers import Refusal
from collector.otlp.intake import Signal
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.vocabulary import health

LOG_INTERVAL_SECONDS: Final = 60.0
"""between two lines about the same reason"""

_LOG: Final = logging.getLogger("watchkeeper.otlp")
_SOURCE: Final = ("source", "otlp")


class RefusalLog:
    """Counts refused requests from any thread. Every series exists at 0 from the start, so that its first one shows."""

    def __init__(
        self, ledger: Ledger, retry_after_seconds: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """:param retry_after_seconds: mean of the delay advised to senders"""
        self._ledger = ledger
        self._retry_after_seconds = retry_after_seconds
        self._monotonic = monotonic
        self._lock = Lock()
        self._unsaid: dict[str, int] = {}
        self._said_at: dict[str, float] = {}
        for refusal in answers.OF_NO_SIGNAL:
            self._count(None, refusal, 0)
        for signal in Signal:
            for refusal in answers.OF_A_SIGNAL:
                self._count(signal, refusal, 0)

    def delay_seconds(self) -> float:
        """What to advise one sender: the mean, half more or less, so that they do not all come back at once."""
        return self._retry_after_seconds * random.uniform(0.5, 1.5)  # noqa: S311 - jitter

    def add(self, signal: Signal | None, refusal: Refusal) -> None:
        """Count one, and log a line unless there was one about this reason in the last minute."""
        self._count(signal, refusal, 1)
        now = self._monotonic()
        with self._lock:
            count = self._unsaid.get(refusal.reason, 0) + 1
            said_at = self._said_at.get(refusal.reason)
            if said_at is not None and now - said_at < LOG_INTERVAL_SECONDS:
                self._unsaid[refusal.reason] = count
                return
            self._unsaid[refusal.reason] = 0
            self._said_at[refusal.reason] = now
        _LOG.warning(
            "otlp refused %d %s (reason %s, %s): %s",
            count,
            "request" if count == 1 else "requests",
            refusal.reason,
            signal.value if signal else "no signal",
            refusal.advice,
        )

    def add_fault(self, signal: Signal | None, fault: BaseException | None) -> None:
        """Count a request that failed through our own fault; say what and where, but not its words: they may quote."""
        frames = traceback.extract_tb(fault.__traceback__) if fault else []
        place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "an unknown place"
        advice = f"{type(fault).__name__} at {place}; {answers.INTERNAL.advice}"
        self.add(signal, msgspec.structs.replace(answers.INTERNAL, advice=advice))

    def _count(self, signal: Signal | None, refusal: Refusal, amount: int) -> None:
        labels = (_SOURCE, *((("signal", signal.value),) if signal else ()), ("reason", refusal.reason))
        self._ledger.add(health.REFUSED_REQUESTS, amount, labels)
