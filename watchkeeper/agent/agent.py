"""One running watchkeeper: the parts of a role, wired to a pipeline, started and drained in order."""

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from watchkeeper import __version__
from watchkeeper.agent.claim import Claim
from watchkeeper.agent.parts import parts_of
from watchkeeper.agent.process import ProcessMeter
from watchkeeper.agent.supervisor import Failures, Readings
from watchkeeper.agent.wiring import configured_drift, configured_fleet, wire
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.fleet import Checkpoint
from watchkeeper.core.interfaces import Plugin, Resumable
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.vocabulary import health

_LOG = logging.getLogger("watchkeeper")
_SOURCES_SHARE: Final = 0.5
_PIPELINE_SHARE: Final = 0.6
_COUNTING_SHARE: Final = 0.75
_LAST_TICK_SHARE: Final = 0.85
_LOGS_SHARE: Final = 0.9
"""
of shutdown_seconds: by then the sources, the pipeline with its checks, what it counts without them, its last tick, and
what is kept of logs have to be done
"""
_LOOK_AGAIN_SECONDS: Final = 0.05
_STALLED_SECONDS: Final = 60.0


class Stopped(NamedTuple):
    """How an agent ended: whether all that was acknowledged is counted, and the parts that are still at it."""

    whole: bool
    late: tuple[str, ...]


class Agent:
    """
    Builds every part that the role and the configuration ask for.

    :raises ConfigError: every part's problems at once; nothing keeps running
    """

    def __init__(
        self,
        config: Any,
        sources: tuple[Plugin, ...],
        exporters: tuple[Plugin, ...],
        signals: tuple[Plugin, ...] = (),
        checks: tuple[Plugin, ...] = (),
    ) -> None:
        self._ledger = Ledger()
        self._readings: Readings = queue.Queue()
        self._stopping = threading.Event()
        self._ending = threading.Event()
        self._claim = Claim(config.state_folder)
        try:
            parts = parts_of(
                config, sources, exporters, signals, checks, self._ledger, self._readings, is_alive=self.is_alive
            )
        except ConfigError:
            self._claim.release()
            raise
        self._exporters, self._runners, self._judges = parts.exporters, parts.runners, parts.judges
        self._web, self._control, self._capture = parts.web, parts.control, parts.capture
        self._logs = {runner.name: runner.source for runner in self._runners if isinstance(runner.source, Resumable)}
        is_recorded = "store" in parts.names
        sampled_rows = config.exporters.store.rows_per_hour if is_recorded else 0
        self._wired = wire(
            config,
            self._judges,
            configured_drift(config, self._ledger, time.time(), sampled_rows=sampled_rows),
            self._ledger,
            [guard.write for guard in self._exporters],
            is_tapped="tap" in parts.names,
            capture=self._capture,
            is_recorded=is_recorded,
            fleet=configured_fleet(config, self._ledger, self._keep),
        )
        self._pipeline = self._wired.pipeline
        self._process = ProcessMeter(self._ledger, time.time(), __version__, config.role)
        self._failures = Failures("agent", "pipeline", self._count)
        self._ticked_at = time.monotonic()
        self._tick_seconds: float = config.tick_seconds
        self._idle_seconds = idle_seconds(self._tick_seconds, [runner.interval_seconds for runner in self._runners])
        self._has_news = False
        self._shutdown_seconds: float = config.shutdown_seconds
        self._thread = threading.Thread(target=self._run, name="pipeline", daemon=True)

    @property
    def url(self) -> str:
        return self._web.url

    def is_alive(self) -> bool:
        """Whether the pipeline still moves: what liveness probes ask for."""
        return time.monotonic() - self._ticked_at < _STALLED_SECONDS + self._tick_seconds

    def start(self) -> None:
        """Take traffic. Ready once everything listens and the first tick is out."""
        with self._ledger.steps.timed("start", always=True):
            self._tick()
            self._web.start()
            for runner in self._runners:
                runner.start()
            self._thread.start()
            if self._control is not None:
                self._control.start()
                _LOG.info("control API at %s", self._control.url)
            self._web.set_ready(True)

    def stop(self) -> Stopped:
        """Refuse new work, carry what was acknowledged to the exporters, close. Bounded by shutdown_seconds."""
        started, budget = time.monotonic(), self._shutdown_seconds

        def left(share: float) -> float:
            return max(0.05, started + share * budget - time.monotonic())

        self._web.set_ready(False)
        if self._control is not None:
            self._control.stop()
        with self._ledger.steps.timed("stop sources", always=True):  # leaves with the last tick, as nothing later can
            for runner in self._runners:
                runner.stop()
            self._stopping.set()
            for runner in self._runners:
                runner.join(left(_SOURCES_SHARE))
        self._thread.join(left(_PIPELINE_SHARE))
        if self._thread.is_alive():
            self._pipeline.give_up_checking()
            self._thread.join(left(_COUNTING_SHARE))
            self._ending.set()
            self._thread.join(left(_LAST_TICK_SHARE))
        whole = not self._thread.is_alive()
        late = [] if whole else ["pipeline"]
        late += [runner.name for runner in self._runners if runner.is_alive()]
        self._judges.close()
        if self._wired.drift is not None:
            self._wired.drift.close(time.time())
        if self._wired.fleet is not None:
            self._wired.fleet.close(time.time())
        late += [name for name, log in self._logs.items() if not _done(log.finish, left(_LOGS_SHARE))]
        if self._capture is not None:
            self._capture.close()
        late += [guard.name for guard in self._exporters if not guard.close(left(1.0))]
        if late:
            _LOG.warning("stopped without waiting for %s: shutdown_seconds (%g) were over", ", ".join(late), budget)
        if not whole:
            _LOG.error("part of what was acknowledged is not counted; raise shutdown_seconds")
        if self._pipeline.unchecked:
            _LOG.warning(
                "answers of %d calls were counted and not checked: shutdown_seconds (%g) were over",
                self._pipeline.unchecked,
                budget,
            )
        self._web.stop()
        self._claim.release()
        return Stopped(whole, tuple(late))

    def _run(self) -> None:
        while not self._is_drained():
            self._failures.attempt(self._accept)
            if time.monotonic() >= self._due_at:
                self._failures.attempt(self._tick)
        self._failures.attempt(lambda: self._pipeline.settle(time.time()))
        self._failures.attempt(self._tick)

    def _is_drained(self) -> bool:
        """Whether nothing is left, and nothing can come or is waited for: sources may have a last reading to bring."""
        if not self._stopping.is_set() or not self._readings.empty():
            return False
        return self._ending.is_set() or not any(runner.is_alive() for runner in self._runners)

    @property
    def _due_at(self) -> float:
        """Of the next tick: at once when something was read, so that what sources tell leaves right after it came."""
        return self._ticked_at + (self._tick_seconds if self._has_news else self._idle_seconds)

    def _accept(self) -> None:
        try:
            until_due = max(0.0, self._due_at - time.monotonic())
            most = _LOOK_AGAIN_SECONDS if self._stopping.is_set() else until_due
            name, reading, done = self._readings.get(timeout=min(until_due, most))
        except queue.Empty:
            return
        self._has_news = True
        try:
            self._pipeline.accept(name, reading, time.time())
        finally:
            done.set()
        if reading.reached:
            self._logs[name].reached(reading.reached)

    def _keep(self, checkpoint: Checkpoint) -> None:
        for log in self._logs.values():
            log.keep(checkpoint)

    def _tick(self) -> None:
        self._ticked_at, self._has_news = time.monotonic(), False
        with self._ledger.steps.timed("tick"):
            for runner in self._runners:
                runner.report(time.monotonic())
            self._process.report()
            self._refresh(time.time())
            self._pipeline.tick(time.time())

    def _refresh(self, now: float) -> None:
        self._web.refresh(now)
        if self._control is not None:
            self._control.refresh(now)

    def _count(self, reason: str) -> None:
        self._ledger.add(health.PIPELINE_FAILURES, 1, (("reason", reason),))


def idle_seconds(tick_seconds: float, intervals: Sequence[float]) -> float:
    """
    Between two ticks while nothing is read: where every source is read seldom, a tick between two readings would cost a
    node a tenth of its processor time and has nothing to tell.

    :param intervals: of the sources
    """
    return max(tick_seconds, min(3 * tick_seconds, 1.5 * min(intervals, default=0.0)))


def _done(action: Callable[[], None], seconds: float) -> bool:
    """Whether it came to its end in time; what it raises is nobody's concern any more."""
    failures = Failures("agent", "stop", lambda _: None)
    thread = threading.Thread(target=lambda: failures.attempt(action), name="finish", daemon=True)
    thread.start()
    thread.join(seconds)
    return not thread.is_alive()
