"""Keeps parts running: one thread a source, one broad catch, a count and a back-off for every failure."""

import logging
import queue
import random
import threading
import time
import traceback
from collections.abc import Callable
from typing import Final

from watchkeeper.core.errors import Retryable, Unavailable
from watchkeeper.core.interfaces import Exporter, Holding, Source
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Batch, Reading
from watchkeeper.core.vocabulary import health

HUNG_SECONDS: Final = 60.0
_BACKOFF_SECONDS: Final = (1.0, 30.0)
_PARKED_SECONDS: Final = 60.0

Readings = queue.Queue[tuple[str, Reading, threading.Event]]
"""of each source one at most: it waits until that is folded, and what comes meanwhile waits where it can be refused"""


class Failures:
    """
    How often a part failed in a row; logs when the state changes and counts every time. Of an error that nobody
    foresaw the kind and the place are logged and not its words: they may quote what was read.
    """

    def __init__(self, kind: str, name: str, count: Callable[[str], None]) -> None:
        self._log = logging.getLogger(f"watchkeeper.{kind}.{name}")
        self._name = name
        self._count = count
        self.in_a_row = 0
        self._is_ending = False

    def end(self) -> None:
        """The part is being closed: that a call of it goes well no longer shows that what it needs is back."""
        self._is_ending = True

    def attempt(self, action: Callable[[], None]) -> float:
        """Run `action`; seconds to wait before the next try on top of the part's own pace (0 when it went well)."""
        try:
            action()
        except Unavailable as error:
            return self._failed("unavailable", error, _PARKED_SECONDS)
        except Retryable as error:
            return self._failed("retryable", error, self._backoff())
        except Exception as error:  # noqa: BLE001 - the supervisor: one broken part never stops its neighbours
            return self._failed(type(error).__name__, error, self._backoff())
        if self.in_a_row and not self._is_ending:
            tries = "1 failed try" if self.in_a_row == 1 else f"{self.in_a_row} failed tries"
            self._log.warning("%s is back after %s", self._name, tries)
            self.in_a_row = 0
        return 0.0

    def _failed(self, reason: str, error: Exception, wait_seconds: float) -> float:
        self._count(reason)
        if self.in_a_row == 0:
            said = f" {error}" if isinstance(error, Unavailable | Retryable) else f"\n{places(error)}"
            self._log.error("%s failed (%s):%s", self._name, reason, said)
        self.in_a_row += 1
        return wait_seconds

    def _backoff(self) -> float:
        low, high = _BACKOFF_SECONDS
        return random.uniform(low / 2, min(high, low * 2.0 ** min(self.in_a_row, 10)))  # noqa: S311 - jitter


def places(error: BaseException) -> str:
    """Where it was raised, frame by frame, without what it says."""
    return "".join(traceback.format_tb(error.__traceback__)).rstrip()


def place(error: BaseException) -> str:
    """The last of them alone: file and line."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "an unknown place"


def log_thread_end(ended: threading.ExceptHookArgs) -> None:
    """For a thread that an error ends: Python's own way prints the error's words."""
    name = ended.thread.name if ended.thread else "unknown"
    where = places(ended.exc_value) if ended.exc_value else ""
    logging.getLogger("watchkeeper").error("thread %s ended (%s):\n%s", name, ended.exc_type.__name__, where)


class SourceRunner:
    """Reads one source at its pace, in a thread of its own, so that a hang stays where it is."""

    def __init__(self, name: str, source: Source, interval_seconds: float, readings: Readings, ledger: Ledger) -> None:
        self.name = name
        self.source = source
        self.interval_seconds = interval_seconds
        self._readings = readings
        self._ledger = ledger
        self._label = (("source", name),)
        self._failures = Failures("source", name, self._count)
        self._stop = threading.Event()
        self._reading_since: float | None = None
        self._handing_over_seconds = 0.0
        self._thread = threading.Thread(target=self._run, name=f"source-{name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def report(self, monotonic: float) -> None:
        """Set the source's gauges: up is 0 after a failed read and during one that hangs."""
        since = self._reading_since
        hung = since is not None and monotonic - since > HUNG_SECONDS
        self._ledger.set(health.SOURCE_UP, 0.0 if hung or self._failures.in_a_row else 1.0, self._label)

    def stop(self) -> None:
        """Begin to close the source; its thread then reads what was acknowledged, and ends."""
        self._failures.end()
        threading.Thread(target=self._close, name=f"close-{self.name}", daemon=True).start()

    def join(self, seconds: float) -> None:
        """Wait for the end, at most so long."""
        self._thread.join(seconds)

    def is_alive(self) -> bool:
        """Whether it may still hand something over."""
        return self._thread.is_alive()

    def _close(self) -> None:
        Failures("source", self.name, self._count).attempt(self.source.close)
        self._stop.set()

    def _run(self) -> None:
        wait_seconds = 0.0
        while not self._stop.wait(wait_seconds):
            wait_seconds = self._failures.attempt(self._read)
            wait_seconds += max(0.0, self.interval_seconds - self._handing_over_seconds)
        self._failures.attempt(self._read)

    def _read(self) -> None:
        self._handing_over_seconds = 0.0
        self._reading_since = started = time.monotonic()
        try:
            with self._ledger.steps.timed(f"read {self.name}", self._label):
                reading = self.source.read(time.time())
        finally:
            self._reading_since = None
            self._ledger.add(health.SOURCE_READ_TIME, time.monotonic() - started, self._label)
        if reading != _NOTHING:
            self._hand_over(reading)

    def _hand_over(self, reading: Reading) -> None:
        started, done = time.monotonic(), threading.Event()
        self._readings.put((self.name, reading, done))
        done.wait()
        if isinstance(self.source, Holding):
            self.source.folded()
        self._handing_over_seconds = time.monotonic() - started

    def _count(self, reason: str) -> None:
        self._ledger.add(health.SOURCE_FAILURES, 1, (*self._label, ("reason", reason)))


_NOTHING: Final = Reading()


class ExporterGuard:
    """An exporter whose failures are counted and never reach its neighbours."""

    def __init__(self, name: str, exporter: Exporter, ledger: Ledger) -> None:
        self.name = name
        self.exporter = exporter
        self._ledger = ledger
        self._label = (("exporter", name),)
        self._failures = Failures("exporter", name, self._count)

    def write(self, batch: Batch) -> None:
        self._failures.attempt(lambda: self._write(batch))
        self._ledger.set(health.EXPORTER_UP, 0.0 if self._failures.in_a_row else 1.0, self._label)

    def _write(self, batch: Batch) -> None:
        with self._ledger.steps.timed(f"write {self.name}", self._label):
            self.exporter.write(batch)

    def close(self, seconds: float) -> bool:
        """Close within a time; False when it goes on longer, and is left behind."""
        failures = Failures("exporter", self.name, self._count)
        closing = threading.Thread(
            target=lambda: failures.attempt(self.exporter.close), name=f"close-{self.name}", daemon=True
        )
        closing.start()
        closing.join(seconds)
        return not closing.is_alive()

    def _count(self, reason: str) -> None:
        self._ledger.add(health.EXPORTER_FAILURES, 1, (*self._label, ("reason", reason)))
